"""What the soak sees of a process, and how it sums up a curve."""

import os
import threading

from benchmarks import soak


def test_open_files_threads_and_memory_of_a_process_are_seen_to_grow(tmp_path):
    before = soak.look(os.getpid())
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    held = bytearray(os.urandom(1_000)) * 50_000
    with open(tmp_path / "a", "w"), open(tmp_path / "b", "w"):
        after = soak.look(os.getpid())
    wait.set()
    thread.join()
    assert after["files"] == before["files"] + 2
    assert after["threads"] == before["threads"] + 1
    assert after["megabytes"] > before["megabytes"] + 0.9 * len(held) / 1e6


def test_a_leak_shows_in_the_quarters_and_a_single_outlier_does_not():
    assert soak.quarters([*range(8)]) == [0.5, 2.5, 4.5, 6.5]
    assert soak.quarters([1, 1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1]) == [1, 1, 1, 1]


def test_a_stored_curve_is_short_and_spans_the_whole():
    curve = soak.thinned(range(10_000))
    assert len(curve) == soak.POINTS
    assert curve[0] == 12 and curve[-1] == 9_987  # medians of 25
