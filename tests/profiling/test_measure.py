"""The timing of steps tells the time of a step from that of waiting for data."""

import time

import numpy as np
import pytest

from pneumojax.profiling.measure import Timing, input_alone, time_steps


class Device:
    """A stand-in for an asynchronous device that takes `seconds` for each step."""

    def __init__(self, seconds):
        self.seconds, self.free_at, self.steps = seconds, 0.0, 0

    def __call__(self, state, batch):
        self.steps += 1
        self.free_at = max(self.free_at, time.perf_counter()) + self.seconds
        return state, {"loss": Loss(self.free_at)}


class Loss:
    def __init__(self, due):
        self.due = due

    def is_ready(self):
        return time.perf_counter() >= self.due

    def block_until_ready(self):
        time.sleep(max(self.due - time.perf_counter(), 0))
        return self


def batches(seconds):
    while True:
        time.sleep(seconds)
        yield {"mask": np.zeros(4)}


def test_a_slow_input_is_waited_for_and_a_fast_one_is_not():
    _, slow = time_steps(Device(0.002), {}, batches(0.02), seconds=0.2, fewest=5)
    _, fast = time_steps(Device(0.02), {}, batches(0.005), seconds=0.2, fewest=5)
    # A slow step takes 22 ms, for 20 of which the device is idle. In the other run the next batch
    # arrives while the device works.
    assert slow.wait_share > 0.6
    assert fast.wait_share < 0.05
    assert fast.median == pytest.approx(0.02, rel=0.3)  # sleeping is not exact


def test_steps_are_taken_until_the_time_is_up_within_bounds():
    device = Device(0.001)
    _, timing = time_steps(device, {}, batches(0), seconds=0, fewest=5)
    assert len(timing.seconds) == 5
    assert device.steps == 5 + 2 + 1  # two before, one under way at the end
    _, timing = time_steps(Device(0.001), {}, batches(0), seconds=60, most=7)
    assert len(timing.seconds) == 7


def test_median_and_90th_percentile_are_of_the_steps():
    timing = Timing([1.0] * 8 + [5.0] * 2, waited=0.0)
    assert timing.median == 1.0 and timing.p90 == 5.0


def test_input_alone_counts_films():
    assert input_alone(batches(0.01), seconds=0.1) == pytest.approx(400, rel=0.5)
