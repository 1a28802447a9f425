"""Measured points are kept when a long measurement is interrupted."""

import json

import pytest

from benchmarks import scaling

POINT = {"median_seconds": 2.0, "flops": 4e11, "peak_bytes": 5e8}


@pytest.fixture
def measured(monkeypatch):
    """The points that were measured, in order; measuring itself is replaced by fixed figures."""
    asked = []
    monkeypatch.setattr(scaling, "POINTS", {"batch": (8, 16), "films": (10,)})

    def step_time(change, rounds):
        asked.append(change)
        if change == {"batch": 16} and len(asked) == 2:
            raise KeyboardInterrupt
        return dict(POINT)

    monkeypatch.setattr(scaling, "step_time", step_time)
    monkeypatch.setattr(scaling, "start_up", lambda films: {"seconds": {"nothing": 1.0}})
    return asked


def test_the_same_command_goes_on_where_it_was_stopped(measured, tmp_path):
    path = tmp_path / "scaling.json"
    with pytest.raises(KeyboardInterrupt):
        scaling.measure(["batch"], path, rounds=1)
    assert list(json.loads(path.read_text())["points"]["batch"]) == ["8"]
    points = scaling.measure(["batch", "films"], path, rounds=1)
    assert measured == [{"batch": 8}, {"batch": 16}, {"batch": 16}]
    assert json.loads(path.read_text())["points"] == points
    assert points["films"]["10"]["seconds"] == {"nothing": 1.0}


def test_a_point_that_failed_is_measured_again(measured, tmp_path):
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps({"points": {"batch": {"8": {"error": "killed"}, "16": POINT}}}))
    points = scaling.measure(["batch"], path, rounds=1)
    assert measured == [{"batch": 8}] and "error" not in points["batch"]["8"]
