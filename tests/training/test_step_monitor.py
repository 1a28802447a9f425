"""The monitor reads steps one step late, and ends a training whose numbers are not finite."""

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


def dispatched(number, loss=0.5):
    metrics = {"loss": jnp.float32(loss)}
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


def test_a_step_is_logged_when_the_next_one_is_under_way(monitor, logbook):
    for number in (1, 2, 3):
        monitor.dispatched(dispatched(number))
        assert not logbook.steps or number == 3
    assert logbook.steps == [("step", 2, 1, {"loss": 0.5})]
    monitor.dispatched(dispatched(4))
    monitor.wait()
    assert [step for _, step, _, _ in logbook.steps] == [2, 4] and monitor.is_idle()


def test_metrics_that_are_not_finite_name_the_step_and_list_its_films(monitor, logbook, tmp_path):
    monitor.dispatched(dispatched(3, np.nan))
    with pytest.raises(UserError, match=r"step 3 \(epoch 2\): loss is nan"):
        monitor.wait()
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
