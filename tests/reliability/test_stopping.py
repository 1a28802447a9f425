"""Signals, kills and second processes, against the real command."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import kills
from pneumojax.errors import UserError
from pneumojax.lock import locked
from pneumojax.training.checkpoint import Checkpoints
from pneumojax.training.logbook import read_lines

pytestmark = pytest.mark.fault

ROOT = Path(__file__).resolve().parents[2]
LONG = "--config.epochs=400"


def started(line, workdir, lines=20):
    """The command under way, once its metrics have so many lines."""
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
    assert line.startswith(f"error: saved after step {steps[-1]:,} of ")
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
    assert error == "error: ended by SIGTERM; the same command goes on from there\n"


def test_a_second_signal_ends_at_once(tmp_path):
    """Within a step that takes for ever, in a process of its own: it ends without a word."""
    program = """
import os, signal, sys, time
from pneumojax.training.stopping import StopRequest
with StopRequest() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    print(stop.reached(1), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert result.returncode == 128 + signal.SIGTERM
    assert result.stdout.splitlines()[-1] == "2" and result.stderr == ""


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
    """Ten kills; `python benchmarks/kills.py` goes on to as many as one likes."""
    record = kills.campaign(10, tmp_path, seed=0)
    assert len(record["kills"]) == 10 and record["different"] == []
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
