"""Calls of several steps, and films that lie on the devices: the same numbers as step by step."""

import json
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from pneumojax.data.pipeline import BatchOrder
from pneumojax.data.resident import choose_layout, place_films
from pneumojax.errors import UserError
from pneumojax.sharding import make_mesh
from pneumojax.training.calls import automatic_steps
from tests.support import devices, equal_steps


def order(films, batch_size, **fields):
    labels = np.arange(films, dtype=np.int32) % 2
    return BatchOrder(labels, batch_size, seed=7, **fields)


@pytest.mark.parametrize("first_step", [0, 1, 3, 5, 12, 13])
@pytest.mark.parametrize("steps_per_call", [1, 2, 3, 5, 8])
def test_calls_take_each_step_once_in_order_and_end_with_each_epoch(first_step, steps_per_call):
    calls = order(50, 10).calls(first_step, steps_per_call)  # five steps in an epoch
    found = list(calls.until(20))
    assert [step for steps in found for step in steps] == list(range(first_step, 20))
    assert all(steps[0] // 5 == steps[-1] // 5 for steps in found)
    assert max(map(len, found)) <= steps_per_call
    assert calls.lengths(20) == sorted({len(steps) for steps in found}, reverse=True)


def test_a_run_from_its_first_step_has_at_most_two_lengths_of_calls():
    for films in range(10, 300, 10):
        for steps_per_call in (2, 7, 16):
            assert len(order(films, 10).calls(0, steps_per_call).lengths(films)) <= 2


@pytest.mark.parametrize("balanced", [False, True])
def test_the_rows_of_a_call_are_those_of_its_steps_one_by_one(balanced):
    batches = order(23, 4, balanced=balanced)
    rows, mask = batches.rows(range(3, 9))  # over the end of an epoch
    single = [batches.rows(range(step, step + 1)) for step in range(3, 9)]
    np.testing.assert_array_equal(rows, np.concatenate([each[0] for each in single]))
    np.testing.assert_array_equal(mask, np.concatenate([each[1] for each in single]))


def accelerator(gigabytes, count=4):
    """A mesh of devices that report so much memory."""
    device = SimpleNamespace(
        platform="gpu", memory_stats=lambda: {"bytes_limit": gigabytes * 10**9}
    )
    return SimpleNamespace(
        size=count, local_devices=[device], devices=SimpleNamespace(flat=[device])
    )


def settings(resident="auto", share=0.5):
    return SimpleNamespace(data=SimpleNamespace(resident=resident, resident_share=share))


class Films:
    """A million films of a thousand pixels: 1 GB."""

    preprocessing = SimpleNamespace(image_size=1000**0.5)

    def __len__(self):
        return 1_000_000


@pytest.mark.parametrize(
    ("gigabytes", "layout"), [(2.1, "replicated"), (1.9, "sharded"), (0.4, "off")]
)
def test_films_lie_on_accelerators_where_they_fit_the_share_of_memory(gigabytes, layout):
    assert choose_layout(Films(), settings(), accelerator(gigabytes)) == layout


def test_on_a_cpu_films_come_from_the_host_and_a_call_takes_one_step_unless_asked_otherwise():
    mesh = make_mesh()
    assert choose_layout(Films(), settings(), mesh) == "off"
    assert choose_layout(Films(), settings("sharded"), mesh) == "sharded"
    assert automatic_steps(1000, mesh) == 1


def test_a_layout_that_exceeds_a_devices_memory_is_refused_with_both_sizes():
    told = r"config.data.resident is 'replicated'.* take 1.0 GB of each device.* has 0.9 GB"
    with pytest.raises(UserError, match=told):
        choose_layout(Films(), settings("replicated"), accelerator(0.9))


@pytest.mark.parametrize(("per_epoch", "steps"), [(147, 21), (74, 16), (64, 32), (5, 16)])
def test_the_automatic_number_of_steps_divides_an_epoch_if_it_can(per_epoch, steps):
    assert automatic_steps(per_epoch, accelerator(80)) == steps


def test_a_batch_that_is_gathered_on_the_device_is_that_of_the_host():
    films, mesh = equal_steps.film_set(21), make_mesh()
    rows, mask = order(21, 6).rows(range(3, 4))
    for layout in ("replicated", "sharded"):
        resident = place_films(films, layout, mesh)
        batch = jax.jit(lambda films, rows: films.batch(rows))(
            resident, {"film": rows[0].astype(np.int32), "mask": mask[0]}
        )
        np.testing.assert_array_equal(batch["image"][..., 0], films.pixels(rows[0]))
        np.testing.assert_array_equal(batch["label"], films.labels[rows[0]])


RUNS = """
import contextlib, io, json, sys
from pathlib import Path
import jax
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.history import read_lines
from pneumojax.training.loop import train
from pneumojax.training.step_monitor import StepMonitor
from tests.support.equal_steps import NORM, small_config

root, scratch = sys.argv[1], Path(sys.argv[2])
jax.config.update("jax_compilation_cache_dir", str(scratch / "compiled"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
config = small_config("plain", "float32").copy_and_resolve_references()
config.model.stem, config.model.modules = (4, 4, 8), ((4, 4, 8, 2, 4, 4),)
config.update_from_flattened_dict(NORM | {"augment.flip": 0.5, "augment.mixup": 0.4})
config.data.root, config.epochs, config.checkpoint.every_steps = root, 2, 2
config.log.tensorboard = False
dispatched = StepMonitor.dispatched

def run(name, interrupted_at=None, **fields):
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})

    def interrupting(self, call):
        dispatched(self, call)
        if call.numbers[-1] == interrupted_at:
            raise KeyboardInterrupt

    with contextlib.redirect_stdout(io.StringIO()):
        if interrupted_at:
            StepMonitor.dispatched = interrupting
            with contextlib.suppress(KeyboardInterrupt):
                train(changed.lock(), scratch / name, scratch)
            StepMonitor.dispatched = dispatched
        train(changed.lock(), scratch / name, scratch)
    clocks = ("seconds_per_step", "data_wait", "time")
    lines = [
        {k: v for k, v in line.items() if k not in clocks}
        for line in read_lines(scratch / name / "metrics.jsonl")
    ]
    meta = Checkpoints(scratch / name / "checkpoints").newest_meta("latest")
    return {"lines": lines, "digests": meta["digests"]}

three = {"train__steps_per_call": 3}
found = {}
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None  # as if not installed
found["replicated"] = run("replicated", data__resident="replicated")
found["sharded, resumed"] = run("sharded", 6, data__resident="sharded")
found["sharded, 3 steps, resumed"] = run("sharded 3", 7, data__resident="sharded", **three)
del sys.modules["tensorflow"], sys.modules["tensorflow_datasets"]
found["from the host"] = run("host")
found["from the host, 3 steps"] = run("host 3", **three)
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 8])
def test_residence_and_calls_of_several_steps_keep_the_bits_on_several_devices(
    films_root, tmp_path, count
):
    """Batch norm, mirrored films, mixup and dropout; an epoch is a call of 3 steps and one of 1.

    Resident runs do without TensorFlow.
    """
    done = subprocess.run(
        [sys.executable, "-c", RUNS, films_root, tmp_path],
        env=devices.environment(count),
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for name in ("replicated", "sharded, resumed"):
        assert found[name] == found["from the host"], name
    scanned = found["from the host, 3 steps"]
    assert found["sharded, 3 steps, resumed"] == scanned
    for alone, in_calls in zip(found["from the host"]["lines"], scanned["lines"], strict=True):
        assert alone.keys() == in_calls.keys()
        for name, value in alone.items():
            if isinstance(value, float):
                # The compiler may order sums otherwise inside of a loop.
                value = pytest.approx(value, rel=1e-3, abs=1e-5)
            assert in_calls[name] == value, (name, alone)
