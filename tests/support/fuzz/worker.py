"""Reads inputs one after the other in a process that may crash, hang or fill its memory.

`fuzz.py` starts it; it is no command of its own. Before an input is read, the input and its number
are put into a shared file, so that the process that watches knows what this one died of. Findings
are files in the folder named by `out`: `broken/<number>-<reason>`,
`isolated/<number>` and `kinds/<kind>-<number>`.
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

ROOT = Path(__file__).resolve().parents[3]
HEADER = struct.Struct("<qdQ")  # number, instant at which it began (monotonic), length
ROOM = 16 << 20  # bytes of the shared file; no input is longer
WARMING, DONE = -1, -2  # numbers that stand for no input
_ADDRESS_SPACE = 12 << 30  # bytes; the watching process ends this one long before
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_PAGE = os.sysconf("SC_PAGE_SIZE")

ISOLATED = "isolated: "  # begins an answer where the product's own child process was lost

Generator = Callable[[random.Random], bytes]


class Road(NamedTuple):
    """One way by which a stranger's files come in.

    read: `(input, a folder to write in) -> how it is answered`; what it raises counts as broken.
    seeds: valid inputs, to be damaged.
    generators: each makes an input of one format from its grammar, most of them invalid.
    answers_are_kinds: whether `read` returns a kind of answer already, without numbers and names.
    generated: share of the inputs that come from generators.
    """

    read: Callable[[bytes, Path], str]
    seeds: Callable[[], list[bytes]]
    generators: Sequence[Generator] = ()
    answers_are_kinds: bool = False
    generated: float = 0.6


SMALL = 1 << 16  # bytes


class Limits(NamedTuple):
    """One input must take less.

    cpu: seconds of CPU time, of an input of at most `SMALL` bytes.
    cpu_large: the same of a longer one.
    wall: seconds in all, by which the watching process ends a worker.
    memory: MB by which the process grows.
    """

    cpu: float = 2.0
    cpu_large: float = 5.0
    wall: float = 30.0
    memory: int = 200


class Job(NamedTuple):
    """Everything that a worker is told, as JSON on its command line."""

    code: str  # checkout whose product code is fuzzed
    roads: str  # module, or path of a file, that holds ROADS
    road: str
    seed: int
    numbers: tuple[int, int]  # the first, and the one after the last
    corpus: str  # folder of inputs that were answered in a new way
    out: str
    shared: str
    limits: Limits


def kind_of_answer(answer: str) -> str:
    """An answer without the numbers and quotations in it."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "#", answer)


def load(name: str) -> ModuleType:
    """A module by its name, or by the path of its file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("toy_roads", name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Memory:
    """The growth of the process, by the kernel's high-water mark of its memory.

    `getrusage` would not do: there a new process begins with the mark of the one that started it.
    """

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self._most = 0
        self._before = 0
        self._reset()

    def begin(self) -> None:
        """Notes what the process holds before an input."""
        self._before = int(os.pread(self._statm, 99, 0).split()[1]) * _PAGE >> 10

    def grown(self) -> float:
        """MB by which it grew since; 0 where it held as much for an earlier input."""
        most = self._peak()
        if most <= self._most:
            return 0.0
        self._reset()
        return (most - self._before) / 1024

    def _reset(self) -> None:
        # The mark is kept for what is common, so that most inputs cost one call.
        os.write(self._clear, b"5")
        self._most = self._peak() + (32 << 10)

    def _peak(self) -> int:
        """The mark in kB."""
        text = os.pread(self._status, 4096, 0)
        return int(text[text.index(b"VmHWM:") + 6 :].split(None, 1)[0])


class Shared:
    """The input that is being read, where another process sees it."""

    def __init__(self, path: Path) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), HEADER.size + ROOM)

    def put(self, number: int, data: bytes = b"") -> None:
        """Replaces what is there."""
        self._map[HEADER.size : HEADER.size + len(data)] = data
        self._map[: HEADER.size] = HEADER.pack(number, time.monotonic(), len(data))

    def get(self) -> tuple[int, float, bytes]:
        """Number, the instant at which it began, input."""
        number, began, length = HEADER.unpack(self._map[: HEADER.size])
        return number, began, self._map[HEADER.size : HEADER.size + length]

    @staticmethod
    def make(path: Path) -> "Shared":
        """A new one."""
        with open(path, "wb") as file:
            file.truncate(HEADER.size + ROOM)
        shared = Shared(path)
        shared.put(WARMING)
        return shared


def run(job: Job, inputs: Iterable[tuple[int, bytes]], road: Road, shared: Shared) -> None:
    """Reads inputs and keeps what is broken or answered in a new way."""
    out, scratch = Path(job.out), Path(job.out, "scratch")
    known = {path.name.partition("-")[0] for path in Path(job.corpus).iterdir()}
    memory = Memory()
    for number, data in inputs:
        shared.put(number, data)
        memory.begin()
        began = time.process_time()
        reasons, answer = [], ""
        try:
            answer = road.read(data, scratch)
        except BaseException as error:
            reasons.append(type(error).__name__)
        allowed = job.limits.cpu if len(data) <= SMALL else job.limits.cpu_large
        if time.process_time() - began > allowed:
            reasons.append("slow")
        if memory.grown() > job.limits.memory:
            reasons.append("memory")
        for reason in reasons:
            # Whole at once: whoever waits for it may end this process as soon as it is there.
            (scratch / "kept").write_bytes(data)
            (scratch / "kept").rename(out / "broken" / f"{number}-{reason}")
        if reasons:
            continue
        if answer.startswith(ISOLATED):
            (out / "isolated" / str(number)).write_bytes(data)
        kind = answer if road.answers_are_kinds else kind_of_answer(answer)
        name = f"{zlib.crc32(kind.encode()):08x}"
        if name not in known:
            known.add(name)
            (out / "kinds" / f"{name}-{number}").write_bytes(data)


def main() -> None:
    """Runs the job on the command line."""
    fields = json.loads(sys.argv[1])
    limits = Limits(*fields.pop("limits"))
    job = Job(**fields, limits=limits)
    # The product's packages come from the checkout that is fuzzed, the fuzzer from this one.
    sys.path.insert(0, job.code)
    for package in ("pneumojax", "configs"):
        importlib.import_module(package)
    sys.path.insert(0, str(ROOT))
    from tests.support.fuzz.inputs import made

    road: Road = load(job.roads).ROADS[job.road]
    shared = Shared(Path(job.shared))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    seeds = road.seeds()
    warnings.simplefilter("error")
    for data in seeds:  # imports what is imported late, which is not the cost of an input
        road.read(data, Path(job.out, "scratch"))
    corpus = seeds + [path.read_bytes() for path in sorted(Path(job.corpus).iterdir())]
    errors = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes a line for most inputs

    def inputs() -> Iterator[tuple[int, bytes]]:
        for number in range(*job.numbers):
            try:
                yield number, made(job.road, job.seed, number, corpus, road)
            except Exception as error:  # of the fuzzer itself: no input is to blame
                shared.put(WARMING)
                os.write(errors, f"input {number} could not be made: {error!r}".encode())
                raise SystemExit(1) from error

    run(job, inputs(), road, shared)
    shared.put(DONE)


if __name__ == "__main__":
    main()
