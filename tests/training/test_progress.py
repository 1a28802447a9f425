"""The clock of steps: which time counts as stepping, and which as waiting for data."""

import itertools
import time

import pytest

from pneumojax.training.progress import StepClock


def slow_batches():
    for i in itertools.count():
        time.sleep(0.02)
        yield {"film": i}


@pytest.mark.parametrize(("idle", "waits"), [((True, True, True), 3), ((True, False, False), 1)])
def test_waiting_counts_only_while_the_devices_have_nothing_to_do(idle, waits):
    clock, batches, devices = StepClock(), slow_batches(), iter(idle)
    for i in range(3):
        assert clock.next_batch(batches, lambda: next(devices)) == {"film": i}
    clock.pause()
    figures = clock.take_figures()
    seconds = 3 * figures["seconds_per_step"]
    assert figures["data_wait"] * seconds == pytest.approx(0.02 * waits, rel=0.5)


def test_paused_time_counts_for_nothing_and_figures_begin_anew():
    clock, batches = StepClock(), slow_batches()
    for _ in range(2):
        clock.next_batch(batches, lambda: True)
        clock.pause()
        time.sleep(0.2)
        clock.resume()
        clock.pause()
        assert 0.02 <= clock.take_figures()["seconds_per_step"] < 0.2
        clock.resume()
