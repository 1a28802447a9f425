"""Signals, kills and second processes, tried on the real command."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pneumojax.errors import UserError
from pneumojax.run.begin import locked
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.history import read_lines
from tests.support import kills

pytestmark = pytest.mark.fault

ROOT = Path(__file__).resolve().parents[2]
LONG = "--config.epochs=400"


def started(line, workdir, lines=20):
    """Starts the command, and returns when its metrics have this many lines."""
    process = subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and len(read_lines(workdir / "metrics.jsonl")) < lines:
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_it_came_in_and_ends_with_its_status(small, tmp_path, number):
    process = started(small(tmp_path / "run", LONG), tmp_path / "run")
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "saving after this step" in out
    steps = [x["step"] for x in read_lines(tmp_path / "run/metrics.jsonl") if x["kind"] == "step"]
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps("latest")[0] == steps[-1]
    (line,) = error.splitlines()
    assert line.startswith(f"saved after step {steps[-1]:,} of ")
    assert line.endswith("; the same command goes on from there")


@pytest.mark.slow
def test_a_signal_before_the_first_step_ends_at_once(small, tmp_path):
    process = subprocess.Popen(
        small(tmp_path / "run"), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (tmp_path / "run" / "config.json").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert error == "ended by SIGTERM; the same command goes on from there\n"


@pytest.mark.slow
def test_a_signal_at_any_instant_of_the_start_ends_a_run(small, tmp_path):
    """No signal is lost in an import, in tracing, in a cache or in a clean-up."""
    for tenths in range(0, 32, 6):
        workdir = tmp_path / f"run-{tenths}"
        process = subprocess.Popen(
            small(workdir, LONG),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not (workdir / "config.json").exists():
            time.sleep(0.005)
        time.sleep(tenths / 10)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGTERM, (tenths, error)
        assert error.endswith("; the same command goes on from there\n") and error.count("\n") == 1


def ended_by(program):
    """The output and the errors of a program that SIGTERM ends."""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert result.returncode == 128 + signal.SIGTERM, result
    return result.stdout, result.stderr


@pytest.mark.parametrize(
    ("interrupted", "within"),
    [
        ("jax.jit(terminate)(1)", "tracing, by JAX"),
        ("importlib.import_module('terminates')", "an import"),
        ("weakref.finalize(Thing(), terminate, 1)", "the end of an object"),
        ("json.loads('[1]', parse_int=terminate)", "no such thing"),
    ],
)
def test_a_signal_within_what_would_swallow_an_exception_is_raised_behind_it(
    tmp_path, interrupted, within
):
    (tmp_path / "terminates.py").write_text("__import__('__main__').terminate(1)")
    out, error = ended_by(f"""
import importlib, json, os, signal, sys, time, weakref
import jax
from pneumojax import signals
from pneumojax.errors import Stopped
sys.path.append({str(tmp_path)!r})
class Thing: pass
def terminate(argument):
    os.kill(os.getpid(), signal.SIGTERM)
    print("within went on", flush=True)
    return argument
def interrupted():
    {interrupted}
    time.sleep(60)
signals.raise_stopped()
try:
    interrupted()
except Stopped as stopped:
    signals.end_quietly()
    print(stopped)
    sys.exit(stopped.status)
""")
    went_on = "" if within == "no such thing" else "within went on\n"
    assert out.endswith(f"{went_on}ended by SIGTERM\n") and error == ""
    assert ("within went on" in out) == bool(went_on)


def test_a_signal_behind_the_last_step_is_not_forgotten():
    out, _ = ended_by("""
import os, signal, sys, time
from pneumojax import signals
from pneumojax.errors import Stopped
from pneumojax.training.stopping import StopRequest
signals.raise_stopped()
try:
    with StopRequest() as stop:
        assert not stop.reached(1)
        os.kill(os.getpid(), signal.SIGTERM)
        print("saved", flush=True)
    time.sleep(60)
except Stopped as stopped:
    sys.exit(stopped.status)
""")
    assert out.endswith("saved\n")


def test_a_second_signal_ends_at_once():
    """The process is in a step that never ends; it ends without a message."""
    out, error = ended_by("""
import os, signal, sys, time
from pneumojax.training.stopping import StopRequest
with StopRequest() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    print(stop.reached(1), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
""")
    assert out.splitlines()[-1] == "2" and error == ""


@pytest.mark.slow
def test_a_second_process_is_refused_and_a_killed_ones_folder_is_not(small, run_command, tmp_path):
    first = started(small(tmp_path / "run", LONG), tmp_path / "run")
    second = run_command(small(tmp_path / "run", LONG))
    assert second.returncode == 1
    assert f"is in use by process {first.pid} on" in second.stderr.splitlines()[-1]
    first.kill()
    first.communicate()
    third = started(small(tmp_path / "run", LONG), tmp_path / "run", 60)
    assert third.poll() is None
    third.kill()
    third.communicate()


def test_a_folder_is_held_once_and_let_go_with_what_held_it(tmp_path):
    refused = pytest.raises(UserError, match="is in use by process")
    with locked(tmp_path), refused, locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.slow
def test_killed_in_every_phase_a_run_ends_as_an_undisturbed_one(tmp_path):
    """This kills once in each phase; `python -m tests.support.kills` does it as often as asked."""
    record = kills.campaign(len(kills.PHASES), tmp_path, seed=0)
    assert len(record["kills"]) == len(kills.PHASES) and record["different"] == []
    assert {kill["phase"] for kill in record["kills"]} == set(kills.PHASES)


def test_the_harness_of_kills_sees_a_difference_in_anything_it_compares(tmp_path):
    run = tmp_path / "run"
    meta = run / "checkpoints" / "best" / "3" / "meta"
    for folder in (meta, run / "evaluation" / "val"):
        folder.mkdir(parents=True)
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5, "data_wait": 0.1}\n')
    (meta / "metadata").write_text(json.dumps({"digests": {"params": "ab"}}))
    (run / "evaluation/val/metrics.json").write_text(json.dumps({"n": 3, "run": "here"}))
    (run / "evaluation/val/predictions.csv").write_text("file,probability\n")
    (run / "films.csv").write_text("file\n")
    before = kills.outcome(run)
    for path, old, new, part in (
        ("metrics.jsonl", "0.5", "0.6", "lines"),
        ("checkpoints/best/3/meta/metadata", "ab", "ac", "checkpoints"),
        ("evaluation/val/metrics.json", "3", "4", "evaluation"),
        ("evaluation/val/predictions.csv", "file", "film", "predictions"),
        ("films.csv", "file", "film", "films"),
    ):
        text = (run / path).read_text()
        (run / path).write_text(text.replace(old, new))
        assert kills.differences(before, kills.outcome(run)) == [part]
        (run / path).write_text(text)
    clock = (run / "metrics.jsonl").read_text().replace("0.1", "0.2")
    (run / "metrics.jsonl").write_text(clock)
    assert kills.differences(before, kills.outcome(run)) == []
