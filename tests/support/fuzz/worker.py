"""Reads inputs one after the other in a process that may crash, hang or fill its memory.

`fuzzer.py` starts this process. Before an input is read, the input and its number are written to a
shared file, so that the watching process knows which input ended this one. Findings are files in
the folder `out`: `broken/<number>-<reason>`, `isolated/<number>` and `kinds/<kind>-<number>`.
"""

import ctypes
import importlib
import importlib.util
import json
import mmap
import os
import random
import re
import resource
import signal
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

HEADER = struct.Struct("<qdQ")  # number, start (monotonic seconds), length
MAX_INPUT = 16 << 20  # bytes, the size of the shared file
WARMING, DONE = -1, -2  # states that stand in the place of an input's number
_ADDRESS_SPACE = 12 << 30  # bytes, far above the limits of the watching process
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_PAGE = os.sysconf("SC_PAGE_SIZE")

ISOLATED = "isolated: "  # begins an answer if the product's own child process was lost

Generator = Callable[[random.Random], bytes]


class Target(NamedTuple):
    """A reader of files from outside, and the inputs it is tried with.

    Attributes:
        read: takes an input and a folder to write in, and returns an answer. An exception counts
            as broken.
        seeds: returns valid inputs, which are damaged.
        generators: each makes an input of one format from its grammar, most of them invalid.
        answers_are_kinds: whether `read` returns a kind of answer, without numbers and names.
        generated: share of the inputs that come from generators.
    """

    read: Callable[[bytes, Path], str]
    seeds: Callable[[], list[bytes]]
    generators: Sequence[Generator] = ()
    answers_are_kinds: bool = False
    generated: float = 0.6


SMALL = 1 << 16  # bytes


class Limits(NamedTuple):
    """The limits of one input.

    Attributes:
        cpu: seconds of CPU time for an input of at most `SMALL` bytes.
        cpu_large: seconds of CPU time for a longer input.
        wall: seconds of wall time, after which the watching process ends a worker.
        memory: MB by which the process may grow.
    """

    cpu: float = 2.0
    cpu_large: float = 5.0
    wall: float = 30.0
    memory: int = 200


class Job(NamedTuple):
    """The job of a worker, which it gets as JSON on its command line."""

    targets: str  # module that defines TARGETS, or the path of its file
    target: str
    seed: int
    numbers: tuple[int, int]  # the first, and the one after the last
    corpus: str  # folder of inputs that gave a new kind of answer
    out: str
    shared: str
    limits: Limits


def kind_of_answer(answer: str) -> str:
    """Removes numbers and quotations from an answer."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "#", answer)


def load(name: str) -> ModuleType:
    """Imports a module by its name, or by the path of its file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("toy_targets", name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Memory:
    """Measures the growth of this process by the kernel's record of its peak memory.

    `getrusage` is not usable, since a new process inherits its parent's peak there.
    """

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self._most = 0
        self._before = 0
        self._reset()

    def begin(self) -> None:
        """Stores the memory of the process before an input."""
        self._before = int(os.pread(self._statm, 99, 0).split()[1]) * _PAGE >> 10

    def grown(self) -> float:
        """Returns by how many MB the input grew the memory; 0 if an earlier one needed as much."""
        most = self._peak()
        if most <= self._most:
            return 0.0
        self._reset()
        return (most - self._before) / 1024

    def _reset(self) -> None:
        # The peak is reset only after a large input, so that most inputs cost one system call.
        os.write(self._clear, b"5")
        self._most = self._peak() + (32 << 10)

    def _peak(self) -> int:
        """Reads the peak memory of the process since the last reset, in kB."""
        text = os.pread(self._status, 4096, 0)
        return int(text[text.index(b"VmHWM:") + 6 :].split(None, 1)[0])


class Shared:
    """The input that is being read, where another process sees it."""

    def __init__(self, path: Path) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), HEADER.size + MAX_INPUT)

    def put(self, number: int, data: bytes = b"") -> None:
        """Replaces the content."""
        self._map[HEADER.size : HEADER.size + len(data)] = data
        self._map[: HEADER.size] = HEADER.pack(number, time.monotonic(), len(data))

    def get(self) -> tuple[int, float, bytes]:
        """Returns number, start and bytes of the input."""
        number, began, length = HEADER.unpack(self._map[: HEADER.size])
        return number, began, self._map[HEADER.size : HEADER.size + length]

    @staticmethod
    def make(path: Path) -> "Shared":
        """Creates the file."""
        with open(path, "wb") as file:
            file.truncate(HEADER.size + MAX_INPUT)
        shared = Shared(path)
        shared.put(WARMING)
        return shared


def run(job: Job, inputs: Iterable[tuple[int, bytes]], target: Target, shared: Shared) -> None:
    """Reads inputs and keeps those that are broken or give a new kind of answer."""
    out, scratch = Path(job.out), Path(job.out, "scratch")
    known = {path.name.partition("-")[0] for path in Path(job.corpus).iterdir()}
    memory = Memory()
    for number, data in inputs:
        shared.put(number, data)
        memory.begin()
        began = time.process_time()
        reasons, answer = [], ""
        try:
            answer = target.read(data, scratch)
        except BaseException as error:
            reasons.append(type(error).__name__)
        allowed = job.limits.cpu if len(data) <= SMALL else job.limits.cpu_large
        if time.process_time() - began > allowed:
            reasons.append("slow")
        if memory.grown() > job.limits.memory:
            reasons.append("memory")
        for reason in reasons:
            # The file appears whole, because the watching process may end this one at once.
            (scratch / "kept").write_bytes(data)
            (scratch / "kept").rename(out / "broken" / f"{number}-{reason}")
        if reasons:
            continue
        if answer.startswith(ISOLATED):
            (out / "isolated" / str(number)).write_bytes(data)
        kind = answer if target.answers_are_kinds else kind_of_answer(answer)
        name = f"{zlib.crc32(kind.encode()):08x}"
        if name not in known:
            known.add(name)
            (out / "kinds" / f"{name}-{number}").write_bytes(data)


def main() -> None:
    """Runs the job on the command line."""
    fields = json.loads(sys.argv[1])
    limits = Limits(*fields.pop("limits"))
    job = Job(**fields, limits=limits)
    from tests.support.fuzz.mutation import made  # which imports this module

    target: Target = load(job.targets).TARGETS[job.target]
    shared = Shared(Path(job.shared))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    seeds = target.seeds()
    warnings.simplefilter("error")
    for data in seeds:  # late imports must not count as the cost of the first input
        target.read(data, Path(job.out, "scratch"))
    corpus = seeds + [path.read_bytes() for path in sorted(Path(job.corpus).iterdir())]
    errors = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes a line for most inputs

    def inputs() -> Iterator[tuple[int, bytes]]:
        for number in range(*job.numbers):
            try:
                yield number, made(job.target, job.seed, number, corpus, target)
            except Exception as error:  # a failure of the fuzzer, not of an input
                shared.put(WARMING)
                os.write(errors, f"input {number} could not be made: {error!r}".encode())
                raise SystemExit(1) from error

    run(job, inputs(), target, shared)
    shared.put(DONE)


if __name__ == "__main__":
    main()
