"""Jobs of several processes on this machine, which exchange sums over the loopback interface."""

import json
import signal
import time

import numpy as np
import pytest

from pneumojax.run.history import read_history, read_lines
from tests.support import devices, equal_steps

pytestmark = pytest.mark.slow


def test_steps_of_several_processes_are_those_of_one(start_processes, tmp_path):
    """The case has batch norm over all devices, augmentation, dropout and a padded last batch."""
    found = {}
    for processes in (2, 1):  # the single process has the same environment
        path = tmp_path / f"{processes}.npz"
        line = devices.program(path, cases=["augmented"])
        for process in start_processes(line, processes, variables=devices.environment()):
            assert process.wait(600) == 0, (tmp_path / "process-0.log").read_text()
        found[processes] = devices.load(path)
    for dtype, steps in equal_steps.STEPS.items():
        assert len(set(found[1][f"augmented/{dtype}/1"]["losses"])) == steps
    row = devices.row(found[1], "augmented", found[2], "augmented", 2)
    assert devices.agrees(row), row


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
    for name in ("train_loss", "val_loss"):  # float32 sums in another order
        np.testing.assert_allclose(
            [line[name] for line in two], [line[name] for line in one], rtol=1e-4
        )
    assert "written to" in (tmp_path / "process-0.log").read_text()
    assert "epoch 1" not in (tmp_path / "process-1.log").read_text()
    metrics = json.loads((tmp_path / "two" / "evaluation" / "val" / "metrics.json").read_text())
    assert metrics["n"] == 15


# The learning rate is so low that differences in rounding do not grow from step to step.
LONG = ("--config.epochs=400", "--config.optimizer.learning_rate=1e-8")
LONG += ("--config.checkpoint.every_steps=10",)


def losses(workdir):
    return [
        line["loss"] for line in read_lines(workdir / "metrics.jsonl") if line["kind"] == "step"
    ]


def stop_after(lines, workdir, job):
    wait_for_lines(workdir, lines, job[0])
    job[0].send_signal(signal.SIGTERM)
    assert [process.wait(120) for process in job] == [128 + signal.SIGTERM] * len(job)


@pytest.mark.fault
@pytest.mark.parametrize(("lost", "then"), [(0, 1), (1, 2), (1, 4)])
def test_a_job_that_loses_a_process_ends_within_a_minute_and_any_count_goes_on(
    small, start_processes, tmp_path, lost, then
):
    """Equal losses show that each step has the films that an undisturbed run has."""
    job = start_processes(small(tmp_path / "run", *LONG), 2)
    wait_for_lines(tmp_path / "run", 40, job[0])
    job[lost].send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert job[1 - lost].wait(60) != 0
    assert time.monotonic() - began < 60
    said = (tmp_path / f"process-{1 - lost}.log").read_text()
    assert "another process of this job has ended" in said
    assert "Traceback" not in said

    before = len(losses(tmp_path / "run"))
    job = start_processes(small(tmp_path / "run", *LONG), then)
    stop_after(40 + before * 3 // 2, tmp_path / "run", job)  # some lines are of epochs
    assert "resuming after step" in (tmp_path / "process-0.log").read_text()
    resumed, steps = losses(tmp_path / "run"), steps_written(tmp_path / "run")
    assert steps == list(range(1, len(steps) + 1)) and len(steps) > before

    alone = start_processes(small(tmp_path / "undisturbed", *LONG), 1)
    stop_after(len(resumed) * 3 // 2, tmp_path / "undisturbed", alone)
    undisturbed = losses(tmp_path / "undisturbed")
    assert np.std(undisturbed) > 0.01
    np.testing.assert_allclose(resumed, undisturbed[: len(resumed)], rtol=1e-4)


def test_a_run_of_eight_devices_goes_on_on_one(small, start_processes, tmp_path):
    eight = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    job = start_processes(small(tmp_path / "run", *LONG), 1, variables=eight)
    stop_after(20, tmp_path / "run", job)
    assert "devices: 8 x" in (tmp_path / "process-0.log").read_text()
    before = len(losses(tmp_path / "run"))
    job = start_processes(small(tmp_path / "run", *LONG), 1)
    stop_after(20 + before * 3 // 2, tmp_path / "run", job)
    assert f"resuming after step {before} of" in (tmp_path / "process-0.log").read_text()
    assert "devices: 1 x" in (tmp_path / "process-0.log").read_text()
    resumed = losses(tmp_path / "run")
    alone = start_processes(small(tmp_path / "undisturbed", *LONG), 1)
    stop_after(len(resumed) * 3 // 2, tmp_path / "undisturbed", alone)
    undisturbed = losses(tmp_path / "undisturbed")
    np.testing.assert_allclose(resumed, undisturbed[: len(resumed)], rtol=1e-4)


@pytest.mark.parametrize("kind", ["SLURM", "Open MPI"])
def test_under_a_cluster_the_flag_alone_makes_one_job(
    small, start_processes, cluster_variables, free_job, tmp_path, kind
):
    line = small(tmp_path / "run", "--config.epochs=1")
    for process in start_processes(line, 2, cluster=cluster_variables(kind, free_job)):
        assert process.wait(300) == 0, (tmp_path / "process-0.log").read_text()
    assert "devices: 2 x" in (tmp_path / "process-0.log").read_text()
    assert steps_written(tmp_path / "run") == [1, 2, 3, 4]


@pytest.mark.fault
def test_sigterm_to_one_process_saves_and_ends_all(small, start_processes, tmp_path):
    job = start_processes(small(tmp_path / "run", "--config.epochs=400"), 2)
    wait_for_lines(tmp_path / "run", 40, job[0])
    job[1].send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in job] == [128 + signal.SIGTERM] * 2
    assert "saved after step" in (tmp_path / "process-0.log").read_text()
