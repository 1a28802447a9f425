"""The record of the accelerator benchmark, its runner, and the figures that it computes."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.accelerator.bounds import least_seconds, operations
from benchmarks.accelerator.ceilings import Ceilings
from benchmarks.accelerator.correctness import relative_error
from benchmarks.accelerator.kernels import longest_kernels
from benchmarks.accelerator.plan import Case, cases
from benchmarks.accelerator.recipes import NETWORKS, Recipe
from benchmarks.accelerator.record import Record
from benchmarks.accelerator.runner import run_cases
from pneumojax.errors import UserError
from pneumojax.inference.network import make_network
from pneumojax.profiling.work import count_work


@dataclass(frozen=True)
class Ratio:
    """A result as a case returns it, with a figure that JSON cannot hold."""

    flag: str = ""
    median_seconds: float = 0.5
    largest: float = float("inf")


def case(name, run=Ratio, seconds=1.0):
    return Case(f"xla_flags/{name}", seconds, run)


def broken():
    raise MemoryError("out of memory\nand more")


@pytest.mark.slow
def test_finished_cases_are_kept_and_failed_ones_tried_again(tmp_path, capsys):
    ran = []
    planned = [case("a", lambda: ran.append("a") or Ratio()), case("b", broken)]
    path = tmp_path / "card.json"
    assert run_cases(planned, Record(path, {"card": "x"}), minutes=1) == ["xla_flags/b"]
    stored = json.loads(path.read_text())
    assert stored["cases"]["xla_flags/a"]["result"]["largest"] == "inf"
    assert stored["cases"]["xla_flags/b"]["error"] == "MemoryError: out of memory"
    assert stored["missing"] == ["xla_flags/b"]
    planned[1] = case("b")
    assert run_cases(planned, Record(path, {"card": "x"}), minutes=1) == []
    assert ran == ["a"] and json.loads(path.read_text())["missing"] == []


def test_a_case_that_brought_the_process_down_comes_after_the_others(tmp_path):
    order = []
    planned = [case(name, lambda name=name: order.append(name) or Ratio()) for name in "abc"]
    Record(tmp_path / "card.json", {}).begin("xla_flags/a")  # as if killed here
    run_cases(planned, Record(tmp_path / "card.json", {}), minutes=1)
    assert order == ["b", "c", "a"]


def test_a_case_that_would_not_fit_is_left_out_and_said_to_be_missing(tmp_path, capsys):
    record = Record(tmp_path / "card.json", {})
    missing = run_cases([case("long", seconds=100), case("short")], record, minutes=1)
    assert missing == ["xla_flags/long"] and not record.has("xla_flags/long")
    assert "xla_flags/long: left out, it may take 100 s" in capsys.readouterr().out


def test_results_of_two_machines_are_never_mixed(tmp_path):
    path = tmp_path / "card.json"
    Record(path, {"jax": "1"}).begin("case")
    with pytest.raises(UserError, match="measured with jax '1', and here it is '2'"):
        Record(path, {"jax": "2"})
    path.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        Record(path, {"jax": "1"})


def test_what_a_killed_write_left_behind_is_removed(tmp_path):
    left = tmp_path / ".card.json.123"
    left.write_text("{")
    Record(tmp_path / "card.json", {})
    assert not left.exists()


@pytest.mark.parametrize("smoke", [False, True])
def test_every_case_has_a_name_of_its_own_and_comes_after_what_it_needs(tmp_path, smoke):
    record = Record(tmp_path / "card.json", {})
    core = [case.name for case in cases(record, smoke=smoke, full=False)]
    full = [case.name for case in cases(record, smoke=smoke, full=True)]
    assert len(set(full)) == len(full) and full[: len(core)] == core
    assert core[0] == "ceilings"
    assert smoke or sum(c.seconds for c in cases(record, smoke=False, full=False)) <= 8 * 60


def test_the_operations_of_a_small_step_are_those_of_the_work_that_profiles_count():
    """The gradients of the lowered step also count positions that see padding only in part, and
    the gradient of the first kernel, so the two agree within a few per cent."""
    config = Recipe("base", "tf32", smoke=True).config()
    found = sum(operation.flops for operation in operations(config))
    work = count_work(make_network(config), config.data.image_size)
    assert found == pytest.approx(work.step_flops(config.batch_size), rel=0.05)


def test_bfloat16_halves_the_bytes_and_each_operation_is_bounded_by_the_slower_resource():
    wide, narrow = (
        operations(Recipe("base", precision, smoke=True).config())
        for precision in ("tf32", "bfloat16")
    )
    moved = sum(op.bytes for op in narrow) / sum(op.bytes for op in wide)
    assert moved == pytest.approx(0.5, abs=0.05)  # the last layer of the head stays float32
    fast = Ceilings(1, 1, 1e9, {"tf32": 1e30})
    by_memory = sum(op.bytes for op in wide) / 1e9
    assert least_seconds(wide, fast, "tf32") == pytest.approx(by_memory)
    slow = Ceilings(1, 1, 1e30, {"tf32": 1e9})
    by_arithmetic = sum(op.flops for op in wide) / 1e9
    assert least_seconds(wide, slow, "tf32") == pytest.approx(by_arithmetic)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_the_operations_of_every_network_are_those_of_the_work_that_profiles_count(network):
    config = Recipe(network, "bfloat16").config()
    found = sum(operation.flops for operation in operations(config))
    work = count_work(make_network(config), config.data.image_size)
    assert found == pytest.approx(work.step_flops(config.batch_size), rel=0.01)


def test_an_error_is_relative_to_the_exact_tensor():
    assert relative_error(np.array([3.0, 4.1]), np.array([3.0, 4.0])) == pytest.approx(0.02)
    assert relative_error(np.array([0.1]), np.array([0.0])) == pytest.approx(0.1)


def event(pid, tid, name, dur, **args):
    return {"ph": "X", "pid": pid, "tid": tid, "ts": 0, "dur": dur, "name": name, "args": args}


def named(kind, pid, name, tid=0):
    return {"ph": "M", "pid": pid, "tid": tid, "name": kind, "args": {"name": name}}


# The profiler writes such a trace on a GPU. It has a process for each card and one for the host, a
# line for each stream, and lines that repeat the kernels by module and by operation.
GPU_TRACE = [
    named("process_name", 1, "/device:GPU:0"),
    named("thread_name", 1, "Stream #13(Compute)", 13),
    named("thread_name", 1, "XLA Ops", 900),
    named("thread_name", 1, "XLA Modules", 901),
    named("process_name", 701, "/host:CPU"),
    named("thread_name", 701, "python", 5),
    {},
    event(1, 13, "sm90_xmma_fprop", 300.0, hlo_op="cudnn-conv.1", hlo_module="jit_step"),
    event(1, 13, "sm90_xmma_fprop", 100.0, hlo_op="cudnn-conv.1", hlo_module="jit_step"),
    event(1, 13, "loop_fusion_2", 600.0, hlo_op="fusion.2"),
    event(1, 900, "cudnn-conv.1", 5000.0),
    event(1, 901, "jit_step", 9000.0),
    event(701, 5, "PjitFunction(step)", 9000.0, hlo_op="not a kernel"),
    {"ph": "X", "pid": 1, "tid": 13, "name": "without a duration"},
]


def test_the_kernels_of_a_gpu_are_summed_over_its_streams():
    first, second = longest_kernels(GPU_TRACE, 10)
    assert (first.name, first.operation, first.calls) == ("loop_fusion_2", "fusion.2", 1)
    assert (second.name, second.calls) == ("sm90_xmma_fprop", 2)
    assert second.seconds == pytest.approx(4e-4)
    assert first.share == pytest.approx(0.6) and second.share == pytest.approx(0.4)
    assert longest_kernels(GPU_TRACE, 1) == [first]


def test_without_a_gpu_the_operations_of_the_host_are_taken():
    host = [e for e in GPU_TRACE if e.get("pid") == 701]
    assert [kernel.operation for kernel in longest_kernels(host, 10)] == ["not a kernel"]
