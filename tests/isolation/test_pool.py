"""A child process that crashes, hangs, takes too much or answers nonsense costs one call."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pneumojax.errors import UserError
from pneumojax.isolation import Limits, Refused, WorkerLost, Workers, WorkerTimeout, child

ROOT = Path(__file__).parents[2]
FEW = Limits(memory=1 << 30, cpu=1.0, wall=8.0, files=32)
TOYS = """
import os, signal, sys, time
import numpy as np
from pneumojax.decoding.film_error import FilmError

def run(arguments, data):
    kind = arguments["kind"]
    if kind == "echo":
        return {"pid": os.getpid(), "length": len(data)}, [np.frombuffer(data, np.uint8)]
    if kind == "arrays":
        return {}, [np.arange(6.0).reshape(2, 3), np.zeros((0, 4), np.uint16), np.array(True)]
    if kind == "refuse":
        raise FilmError("not a film")
    if kind == "fault":
        raise KeyError("secret")
    if kind == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "abort":
        os.abort()
    if kind == "exit":
        os._exit(3)
    if kind == "spin":
        while True:
            pass
    if kind == "sleep":
        time.sleep(60)
    if kind == "memory":
        return {"bytes": len(bytearray(2 << 30))}, []
    if kind == "files":
        return {"open": len([os.open("/dev/null", os.O_RDONLY) for _ in range(1000)])}, []
    if kind == "write":
        with open(arguments["path"], "wb") as stream:
            stream.write(b"x")
        return {}, []
    if kind == "print":
        os.write(1, b"x" * 100_000)
        print("hello", flush=True)
        return {"read": sys.stdin.read()}, []
    if kind == "descriptors":
        links = []
        for name in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:  # the descriptor that lists the folder
                pass
        return {"links": links, "environment": sorted(os.environ)}, []
    if kind == "raw":
        import gc
        from pneumojax.isolation import worker
        (stream,) = [o for o in gc.get_objects() if isinstance(o, __import__("io").FileIO)
                     and o.mode == "wb"]
        stream.write(bytes.fromhex(arguments["bytes"]))
        time.sleep(60)
"""


def processes(workers):
    """The process numbers of the children."""
    with workers._lock:
        return [child.process.pid for child in workers._all]


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Adds a task "toy" to the tasks of child processes."""
    (tmp_path / "toys.py").write_text(TOYS)
    (tmp_path / "sitecustomize.py").write_text(
        "from pneumojax.isolation import tasks\ntasks.TASKS['toy'] = 'toys:run'"
    )
    monkeypatch.setattr(child, "_ROOT", f"{tmp_path}{os.pathsep}{ROOT}")


@pytest.fixture
def workers(toys):
    with Workers(2, FEW) as started:
        yield started


def ask(workers, kind, data=b"", **more):
    return workers.call("toy", {"kind": kind, **more}, data)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def waited_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_values_and_arrays_come_back_as_they_were(workers):
    _, arrays = ask(workers, "arrays")
    expected = [np.arange(6.0).reshape(2, 3), np.zeros((0, 4), np.uint16), np.array(True)]
    for array, wanted in zip(arrays, expected, strict=True):
        assert array.dtype == wanted.dtype and array.shape == wanted.shape
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 20_000_000])
def test_files_of_any_size_go_there_and_back(workers, size):
    data = np.random.default_rng([size]).bytes(size)
    values, (array,) = ask(workers, "echo", data)
    assert values["length"] == size and array.tobytes() == data


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("segv", r"crashed \(signal 11\)"),
        ("abort", r"crashed \(signal 6\)"),
        ("exit", r"crashed \(exit status 3\)"),
        ("spin", "more than 1 s of processor time"),
        ("memory", "more memory"),
        ("files", "failed"),
        ("fault", r"failed \(KeyError\)$"),
    ],
)
def test_a_child_that_is_lost_is_one_line_and_the_next_call_is_answered(toys, kind, reason):
    with Workers(1, FEW) as workers:  # so that no second child can answer
        (before,) = processes(workers)
        with pytest.raises(WorkerLost, match=reason) as lost:
            ask(workers, kind)
        assert "\n" not in str(lost.value) and "secret" not in str(lost.value)
        assert ask(workers, "echo", b"abc")[0]["length"] == 3
        assert len(processes(workers)) == 1 and processes(workers) != [before]


def test_a_child_that_sleeps_is_ended_by_the_clock(toys):
    with Workers(1, FEW._replace(wall=0.5)) as workers:
        with pytest.raises(WorkerTimeout, match=r"longer than 0\.5 s"):
            ask(workers, "sleep")
        assert ask(workers, "echo")[0]["length"] == 0


@pytest.mark.slow
def test_the_limit_on_processor_time_is_of_each_call_and_not_of_all(toys):
    with Workers(1, FEW._replace(cpu=1.0)) as workers:
        before = ask(workers, "echo")[0]["pid"]
        used = 0.0
        while used < 1.5:  # seconds; a limit on the sum would end the child after one
            ask(workers, "echo", bytes(30_000_000))
            fields = Path(f"/proc/{before}/stat").read_text().rpartition(")")[2].split()
            used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        assert ask(workers, "echo")[0]["pid"] == before


def test_a_refusal_is_the_tasks_own_line_and_keeps_the_child(toys):
    with Workers(1, FEW) as workers:
        before = ask(workers, "echo")[0]["pid"]
        with pytest.raises(Refused, match="^not a film$"):
            ask(workers, "refuse")
        assert ask(workers, "echo")[0]["pid"] == before


def test_a_decoder_that_prints_or_reads_does_not_disturb_the_answers(workers):
    assert ask(workers, "print")[0] == {"read": ""}
    assert ask(workers, "echo", b"ab")[0]["length"] == 2


def test_a_child_writes_no_file(workers, tmp_path):
    with pytest.raises(WorkerLost):
        ask(workers, "write", path=str(tmp_path / "written"))
    assert not (tmp_path / "written").exists() or not (tmp_path / "written").read_bytes()


def test_children_inherit_no_socket_no_file_and_hardly_any_environment(toys, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_TOKEN", "1")
    with socket.create_server(("127.0.0.1", 0)), open(tmp_path / "open", "w") as stream:
        os.set_inheritable(stream.fileno(), True)
        with Workers(1, FEW) as workers:
            found = ask(workers, "descriptors")[0]
    assert not [link for link in found["links"] if "socket" in link or str(tmp_path) in link]
    assert "SECRET_TOKEN" not in found["environment"]


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\xff",  # a header of 4 GB
        b"\0\0\0\x02[]",
        b"\0\0\0\x02{}",
        b"\0\0\0\x05{nope",
        b"\0\0\0\x10" + b'{"values": null}',
        b'\0\0\0\x31{"values": {}, "arrays": [["object", [1]]]}       ',
        b'\0\0\0\x31{"values": {}, "arrays": [["uint8", [-1]]]}       ',
        b'\0\0\0\x31{"values": {}, "arrays": [["uint8", [99999999999]]]}'[:53],
        b'\0\0\0\x31{"values": {}, "arrays": [["uint8", [true]]]}     ',
    ],
)
def test_an_answer_that_makes_no_sense_loses_the_child(toys, answer):
    with Workers(1, FEW._replace(wall=3.0)) as workers:
        with pytest.raises(WorkerLost):
            ask(workers, "raw", bytes=answer.hex())
        assert ask(workers, "echo")[0]["length"] == 0


def test_many_threads_get_each_its_own_answer(workers):
    with ThreadPoolExecutor(16) as threads:
        sizes = list(range(100))
        answers = threads.map(lambda n: ask(workers, "echo", bytes([n]) * n), sizes)
        for size, (values, (array,)) in zip(sizes, answers, strict=True):
            assert values["length"] == size and array.tolist() == [size] * size


def test_a_child_that_was_killed_while_it_waited_is_replaced_without_a_word(workers):
    ask(workers, "echo")
    killed = processes(workers)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert waited_for(lambda: not any(map(is_running, killed)))
    for _ in range(4):
        assert ask(workers, "echo", b"ab")[0]["length"] == 2


@pytest.mark.slow
def test_children_that_are_killed_under_load_lose_their_own_call_alone(workers):
    stop = threading.Event()

    def kill():
        while not stop.wait(2.0):  # longer than a child takes to start
            for pid in processes(workers)[:1]:
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    answered = lost = 0
    try:
        for n in range(60):
            time.sleep(0.1)
            try:
                values, _ = ask(workers, "echo", bytes(n * 10_000))
                assert values["length"] == n * 10_000
                answered += 1
            except (WorkerLost, UserError):  # killed while it was asked, or before it was ready
                lost += 1
    finally:
        stop.set()
        killer.join()
    assert answered and answered + lost == 60
    assert ask(workers, "echo")[0]["length"] == 0


def test_closing_ends_busy_children_too(toys):
    workers = Workers(1, FEW)
    ask(workers, "echo")
    (pid,) = processes(workers)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, workers, "sleep")
        time.sleep(0.3)
        workers.close()
        with pytest.raises(WorkerLost):
            waiting.result(timeout=10)
    assert waited_for(lambda: not is_running(pid))
    with pytest.raises(WorkerLost, match="closed"):
        ask(workers, "echo")


def test_a_parent_that_is_killed_leaves_no_child(toys):
    program = (
        "import sys, time\n"
        "from pneumojax.isolation import Workers\n"
        "workers = Workers(2, tasks=['film'])\n"
        "print(*(child.process.pid for child in workers._all), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(children) == 2 and all(map(is_running, children))
    parent.kill()
    parent.communicate()
    assert waited_for(lambda: not any(map(is_running, children)))


def test_children_that_cannot_start_are_an_error_and_not_an_endless_loop(monkeypatch):
    monkeypatch.setattr(child, "_COMMAND", ("-P", "-m", "pneumojax.isolation.of_no_such_name"))
    with Workers(1) as workers, pytest.raises(UserError, match="cannot be started"):
        workers.call("film", {}, b"")


def test_the_limits_of_this_process_stay_as_they_were(workers):
    ask(workers, "echo")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_a_file_in_the_current_folder_is_never_imported(monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the file of a stranger ran')")
    monkeypatch.chdir(tmp_path)
    with Workers(1, tasks=["film"]) as workers, pytest.raises(Refused, match="empty file"):
        preprocessing = {"image_size": 32}
        workers.call("film", {"preprocessing": preprocessing, "preview_side": 0}, b"")
