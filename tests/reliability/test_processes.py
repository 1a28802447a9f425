"""Jobs of several real processes on this machine, whose sums go over the loopback."""

import json
import signal
import sys
import time

import numpy as np
import pytest

from pneumojax.training.logbook import read_history, read_lines

pytestmark = pytest.mark.slow
TWENTY_STEPS = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from absl import flags
flags.DEFINE_bool("distributed", False, "")
flags.DEFINE_string("coordinator", None, "")
flags.DEFINE_integer("processes", None, "")
flags.DEFINE_integer("process", None, "")
flags.DEFINE_string("out", None, "")
given = flags.FLAGS
given(sys.argv)
from pneumojax import runtime
if given.distributed:
    runtime.join(given.coordinator, given.processes, given.process)
from configs import base
from pneumojax.data.pipeline import to_devices, _process_share
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state, make_mesh, make_network, replicated
from pneumojax.training.step import make_train_step

config = base.get_config()
config.data.image_size, config.batch_size = 32, 16
config.model.stem, config.model.modules = (4, 4, 8), ((4, 4, 8, 2, 4, 4),)
config.model.norm, config.model.dtype = "batch", "float64"
mesh = make_mesh()


def batch_of(step):
    rng = np.random.default_rng(step)
    batch = {
        "image": rng.integers(0, 256, (16, 32, 32, 1), np.uint8),
        "label": rng.integers(0, 2, 16, np.int32),
        "mask": (np.arange(16) < (16 if step % 3 else 11)).astype(np.float32),
        "film": np.arange(16, dtype=np.int32),
    }
    share = _process_share(16)
    return {name: array[share] for name, array in batch.items()}


with jax.enable_x64(True):
    network, optimizer = make_network(config), make_optimizer(config, 1)
    wide = lambda leaf: leaf.astype("float64") if leaf.dtype == jnp.float32 else leaf
    state = jax.jit(
        lambda: jax.tree.map(wide, initial_state(config, optimizer)), out_shardings=replicated(mesh)
    )()
    step = jax.jit(
        make_train_step(config, network, optimizer, 7, mesh), out_shardings=replicated(mesh)
    )
    losses = []
    for batch in to_devices(map(batch_of, range(20)), mesh):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
if runtime.leads():
    open(given.out, "w").write(json.dumps(losses))
"""


@pytest.mark.parametrize("count", [2, 4])
def test_twenty_steps_of_several_processes_are_those_of_one_in_float64(
    start_processes, tmp_path, count
):
    """With batch norm, dropout and padding in the last batch of some epochs."""
    (tmp_path / "twenty_steps.py").write_text(TWENTY_STEPS)
    line = [sys.executable, str(tmp_path / "twenty_steps.py")]
    for process in start_processes([*line, f"--out={tmp_path / 'several.json'}"], count):
        assert process.wait(300) == 0, (tmp_path / "process-0.log").read_text()
    # In the environment of the others, apart from the flags that make a job.
    (alone,) = start_processes([*line, f"--out={tmp_path / 'one.json'}"], 1)
    assert alone.wait(300) == 0, (tmp_path / "process-0.log").read_text()
    one, several = (
        json.loads((tmp_path / name).read_text()) for name in ("one.json", "several.json")
    )
    assert len(set(one)) == 20
    np.testing.assert_allclose(several, one, rtol=0, atol=1e-9)


def steps_written(workdir):
    return [
        line["step"] for line in read_lines(workdir / "metrics.jsonl") if line["kind"] == "step"
    ]


def wait_for_lines(workdir, count, process):
    while process.poll() is None and len(read_lines(workdir / "metrics.jsonl")) < count:
        time.sleep(0.01)


def test_a_job_of_two_writes_once_what_one_process_would(
    small, start_processes, run_command, tmp_path
):
    result = run_command(small(tmp_path / "one"))
    assert result.returncode == 0, result.stderr
    for process in start_processes(small(tmp_path / "two"), 2):
        assert process.wait(300) == 0, (tmp_path / "process-0.log").read_text()
    assert steps_written(tmp_path / "two") == steps_written(tmp_path / "one")
    one, two = (read_history(tmp_path / name) for name in ("one", "two"))
    for name in ("train_loss", "val_loss"):  # sums in float32, in another order
        np.testing.assert_allclose(
            [line[name] for line in two], [line[name] for line in one], rtol=1e-4
        )
    assert "written to" in (tmp_path / "process-0.log").read_text()
    assert "epoch 1" not in (tmp_path / "process-1.log").read_text()
    metrics = json.loads((tmp_path / "two" / "evaluation" / "val" / "metrics.json").read_text())
    assert metrics["n"] == 15


@pytest.mark.parametrize("lost", [0, 1])
def test_a_job_that_loses_a_process_ends_within_a_minute_and_another_count_goes_on(
    small, start_processes, tmp_path, lost
):
    long = ("--config.epochs=400", "--config.checkpoint.every_steps=10")
    job = start_processes(small(tmp_path / "run", *long), 2)
    wait_for_lines(tmp_path / "run", 40, job[0])
    job[lost].send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert job[1 - lost].wait(60) != 0
    assert time.monotonic() - began < 60
    said = (tmp_path / f"process-{1 - lost}.log").read_text()
    assert "another process of this job has ended" in said
    assert "Traceback" not in said

    before = steps_written(tmp_path / "run")[-1]
    resumed = start_processes(small(tmp_path / "run", *long), 1)[0]
    wait_for_lines(tmp_path / "run", before + 60, resumed)
    resumed.send_signal(signal.SIGTERM)
    assert resumed.wait(60) == 128 + signal.SIGTERM
    assert "resuming after step" in (tmp_path / "process-0.log").read_text()
    steps = steps_written(tmp_path / "run")
    assert steps == list(range(1, len(steps) + 1)) and len(steps) > before


def test_sigterm_to_one_process_saves_and_ends_all(small, start_processes, tmp_path):
    job = start_processes(small(tmp_path / "run", "--config.epochs=400"), 2)
    wait_for_lines(tmp_path / "run", 40, job[0])
    job[1].send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in job] == [128 + signal.SIGTERM] * 2
    assert "saved after step" in (tmp_path / "process-0.log").read_text()
