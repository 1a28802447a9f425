"""The soak measures memory, files and threads of a process, and sums up curves."""

import subprocess
import sys

from benchmarks import soak

# This runs in a process of its own, since the tests' process may free memory at any moment.
GROWS = """
import sys, threading
print("begun", flush=True)
input()
threading.Thread(target=threading.Event().wait, daemon=True).start()
held = bytearray(b"x") * 50_000_000
a, b = (open(path, "w") for path in sys.argv[1:])
print("grown", flush=True)
input()
"""


def test_open_files_threads_and_memory_of_a_process_are_seen_to_grow(tmp_path):
    command = [sys.executable, "-c", GROWS, str(tmp_path / "a"), str(tmp_path / "b")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        before = soak.look(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "grown\n"
        after = soak.look(process.pid)
        process.stdin.write("\n")
    assert after["files"] == before["files"] + 2
    assert after["threads"] == before["threads"] + 1
    assert after["megabytes"] - before["megabytes"] > 0.95 * 50


def test_a_leak_shows_in_the_quarters_and_a_single_outlier_does_not():
    assert soak.quarters([*range(8)]) == [0.5, 2.5, 4.5, 6.5]
    assert soak.quarters([1, 1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1]) == [1, 1, 1, 1]


def test_a_stored_curve_is_short_and_spans_the_whole():
    curve = soak.thinned(range(10_000))
    assert len(curve) == soak.POINTS
    assert curve[0] == 12 and curve[-1] == 9_987  # medians of 25
