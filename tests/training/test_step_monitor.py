"""The monitor reads steps when it can, and ends a training whose numbers are not finite."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.errors import UserError
from pneumojax.training.progress import TrainingProgress
from pneumojax.training.step_monitor import DispatchedCall, StepMonitor


class Lines:
    """A logbook that keeps its lines."""

    def __init__(self):
        self.steps = []

    def write(self, record):
        self.steps.append((record.kind, record.step, record.epoch, record.figures))


class UnderWay:
    """A number that a device is still computing, as far as its reader can tell."""

    def __init__(self, value):
        self._value = value

    def is_ready(self):
        return False

    def __array__(self, dtype=None, copy=None):
        return np.array(self._value, dtype)


def dispatched(number, loss=0.5, of=jnp.float32):
    metrics = {"loss": of(loss)}
    numbers = range(number, number + 1)
    return DispatchedCall(numbers, (number + 1) // 2, metrics, jnp.array([2, 0, 2]))


@pytest.fixture
def logbook():
    return Lines()


@pytest.fixture
def monitor(tmp_path, logbook):
    films = SimpleNamespace(paths=["train/a", "train/b", "train/c"])
    progress = TrainingProgress(2, 2, 3)
    return StepMonitor(tmp_path, films, logbook, progress, log_every=2)


def test_a_step_that_is_under_way_is_logged_when_the_next_one_is_dispatched(monitor, logbook):
    for number in (1, 2, 3):
        monitor.dispatched(dispatched(number, of=UnderWay))
        assert not logbook.steps or number == 3
    assert logbook.steps == [("step", 2, 1, {"loss": 0.5})] and not monitor.is_idle()
    monitor.dispatched(dispatched(4, of=UnderWay))
    monitor.wait()
    assert [step for _, step, _, _ in logbook.steps] == [2, 4] and monitor.is_idle()


def test_a_step_that_has_been_computed_is_logged_at_once(monitor, logbook):
    monitor.dispatched(dispatched(1))
    monitor.dispatched(dispatched(2))
    assert logbook.steps == [("step", 2, 1, {"loss": 0.5})] and monitor.is_idle()


def test_metrics_that_are_not_finite_name_the_step_and_list_its_films(monitor, logbook, tmp_path):
    with pytest.raises(UserError, match=r"step 3 \(epoch 2\): loss is nan"):
        monitor.dispatched(dispatched(3, np.nan))
    report = json.loads((tmp_path / "non_finite.json").read_text())
    assert report["films"] == ["train/a", "train/c"] and report["figures"] == {"loss": "nan"}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"params": {"bias": jnp.array([0, jnp.inf])}}, "params/bias is not finite"),
        ({"statistics": {"norm": {"var": jnp.array([-1e-9])}}}, "norm/var is negative"),
    ],
)
def test_a_state_that_no_checkpoint_should_hold_ends_the_training(monitor, state, told):
    with pytest.raises(UserError, match=told):
        monitor.check(dispatched(1), state)
