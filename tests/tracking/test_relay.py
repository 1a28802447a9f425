"""A tracker in a child process: what it is told, what is dropped, and when it is given up."""

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from pneumojax import runtime
from pneumojax.cli.parsing import parse
from pneumojax.cli.run_folders import trackers_of_report, trained_runs
from pneumojax.cli.verbs import VERBS
from pneumojax.errors import UserError
from pneumojax.files import write_json
from pneumojax.tracking import relay
from pneumojax.tracking.logbook import open_logbook
from pneumojax.tracking.messages import (
    Begin,
    End,
    Keep,
    Records,
    decode_request,
    encode_request,
    reason_of,
)
from pneumojax.tracking.relays import TRACKING, check_trackers, open_relays
from pneumojax.tracking.tracker import Outcome, Record

SLACK = 5.0  # seconds to kill a process and to be scheduled on a busy machine


def child(program):
    """The command of a child process that runs this program in place of the worker."""
    return (sys.executable, "-c", program)


SILENT = child("import time; time.sleep(600)")
ENDING = child("pass")
FAILING = child("""input(); print('{"error": "it is on fire"}', flush=True); input()""")


@pytest.mark.parametrize(
    "request_",
    [
        Begin("mlflow", "/run", "0" * 32, "run", {"a.b": [1, 2]}, {"digest": "12345678"}, 4),
        Records((Record("step", 3, 1, {"loss": 0.1, "rate": float("inf")}, 17.25),)),
        Keep("network", (Path("config.json"), Path("checkpoints/best/4"))),
        End(Outcome.STOPPED),
    ],
)
def test_a_request_arrives_as_it_was_sent(request_):
    line = encode_request(request_)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_request(line) == request_


def test_a_reason_has_no_credentials():
    environment = {
        "MLFLOW_TRACKING_PASSWORD": "swordfish",
        "WANDB_API_KEY": "f00dbabe",
        "HOME": "/",
    }
    error = OSError("http://me:swordfish@host/api and f00dbabe at https://token@other\nsecond line")
    reason = reason_of(error, environment)
    assert reason == "OSError: http://***@host/api and *** at https://***@other"


def test_no_tracker_leaves_a_run_folder_as_it_is(tracked, tmp_path):
    with open_relays(tmp_path, tracked(seconds=0)) as relays:
        relays.write(Record("step", 1, 1, {"loss": 0.5}))
    assert not list(tmp_path.iterdir())


def test_processes_other_than_the_leader_write_and_track_nothing(tracked, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "is_leader", lambda: False)
    with open_logbook(tmp_path, 0, tracked("mlflow", seconds=0)) as book:
        book.write(Record("step", 1, 1, {"loss": 0.5}))
    assert not list(tmp_path.iterdir())


def test_a_tracker_without_its_package_is_refused_with_the_command_that_installs_it(
    tracked, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"log.trackers is .*pip install -r requirements-wandb\.txt"
    ):
        check_trackers(tracked("wandb", seconds=1))


@pytest.mark.parametrize(
    ("command", "seconds", "told"),
    [
        (SILENT, 0.5, "it is too slow, so it misses some figures"),
        (ENDING, 60, "tracking has ended (its process has ended)"),
        (FAILING, 60, "tracking has ended (it is on fire)"),
    ],
    ids=["silent", "ending", "failing"],
)
def test_trouble_is_told_once_and_waited_for_no_longer_than_allowed(
    tracked, tmp_path, monkeypatch, capsys, command, seconds, told
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(relay, "_COMMAND", command)
    monkeypatch.setattr(relay, "MOST_WAITING", 5)
    with open_relays(tmp_path, tracked("mlflow", "wandb", seconds=seconds)) as relays:
        for step in range(1, 20 if command == SILENT else 2):
            relays.write(Record("step", step, 1, {"loss": 0.5}))
            relays.flush()
        began = time.monotonic()
    assert time.monotonic() - began < seconds + SLACK
    lines = capsys.readouterr().out.splitlines()
    words = "The run goes on, and metrics.jsonl has every figure"
    assert sorted(lines) == [f"warning: {name}: {told}. {words}" for name in ("mlflow", "wandb")]


def test_a_run_keeps_its_id_and_a_damaged_one_is_refused(tracked, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(relay, "_COMMAND", ENDING)
    ids = set()
    for _ in range(2):
        with open_relays(tmp_path, tracked("mlflow", seconds=5)):
            ids.add((tmp_path / TRACKING).read_text())
    assert len(ids) == 1
    (tmp_path / TRACKING).write_text('{"id": "x\' or 1"}')
    with pytest.raises(UserError, match="tracking.json.*id is .*, not 32 hex digits"):
        open_relays(tmp_path, tracked("mlflow", seconds=1))


def test_evaluate_tracks_only_if_the_command_itself_names_a_tracker(tracked, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(relay, "_COMMAND", ENDING)
    write_json(tmp_path / "config.json", tracked("mlflow", seconds=60).to_dict())
    for more, is_tracked in (((), False), (("--config.log.trackers=mlflow",), True)):
        command = parse(["evaluate", f"--workdir={tmp_path}", *more], tuple(VERBS))
        with trackers_of_report(command, trained_runs(command)):
            pass
        assert (tmp_path / TRACKING).exists() == is_tracked
