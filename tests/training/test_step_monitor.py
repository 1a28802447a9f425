"""The clock of stepping: what counts as waiting for data."""

import itertools
import time

import pytest

from pneumojax.training.step_monitor import StepWatch


class Figure(float):
    """A metric on a device, ready or still under way."""

    def __new__(cls, value, ready):
        figure = super().__new__(cls, value)
        figure.is_ready = lambda: ready
        return figure


class Quiet:
    """Stands for logbook and progress, which are not under test."""

    def __getattr__(self, name):
        return lambda *arguments: None


def slow_batches():
    for i in itertools.count():
        time.sleep(0.02)
        yield {"film": i}


@pytest.mark.parametrize(("ready", "waits"), [(True, 3), (False, 1)])
def test_waiting_counts_only_where_no_step_is_under_way(config, tmp_path, ready, waits):
    watch = StepWatch(config, tmp_path, None, 3, slow_batches(), Quiet(), Quiet())
    for step in (1, 2, 3):
        batch = watch.next_batch()  # the first one always waits: nothing has been dispatched
        watch.dispatched(step, {"loss": Figure(0.5, ready)}, batch["film"])
    watch.pause({})
    sums = {"loss": 6.0, "correct": 9.0, "films": 12.0}
    figures = watch.epoch_figures(sums)
    seconds = 3 * figures["seconds_per_step"]
    assert figures["data_wait"] * seconds == pytest.approx(0.02 * waits, rel=0.5)
    assert figures["train_loss"] == 0.5 and figures["train_accuracy"] == 0.75
