"""Feeds made-up and damaged files to everything that reads a stranger's files, and counts failures.

Command:   python -m tests.support.fuzz --road=image --executions=1000000 --out=<folder>

Roads: "image" (JPEG, PNG, WebP and TIFF as prediction reads them), "dicom", "archive" (files of
weights: .keras, .h5 and .safetensors), "checkpoint" (a checkpoint's metadata beside its
config.json), "predictions" (CSV and JSON lines), "config" (overrides on a command line), "folder"
(trees of odd names, links and pipes, as training and prediction find films in them) and "run" (a
run folder's config and lists).

An input is a function of the road, the seed, its number and the corpus. It is generated from the
grammar of a format (frame types, marker floods, codestream headers, archive members that lie about
their size), or it is a file of the corpus that has been damaged. An input that is answered in a
new way joins the corpus.

Inputs are read by worker processes, with glibc's heap checks where they are installed. An input is
broken if the reader raises anything but its own refusal, gives an answer of the wrong shape, takes
more than 2 s of CPU time (5 s if it is longer than 64 kB) or 30 s in all, makes the process grow
by more than 200 MB, damages the heap, or ends the process. Broken inputs are kept in
`<out>/<road>/broken/<number>-<reason>`; after a crash the inputs before it are run again one by
one, in case one of them did the damage. The film-size limit is 1 megapixel instead of 100, so that
what is allowed at the limit (bombs.py measures it) does not hide what is not. HDF5 is parsed in the
product's own child process, as in training: an input that crashes this child and is refused in one
line is no broken input; it is counted as "isolated" and kept in `<out>/<road>/isolated/`. Run the
same command again to continue; the counts are in `<out>/<road>/fuzz.json`.

--code=<checkout> fuzzes another checkout's product code, by --processes=<count> workers.
--broken=<count> stops as soon as so many inputs are broken, --seconds=<count> after so long.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pneumojax.files import write_json
from tests.support.fuzz.worker import DONE, WARMING, Job, Limits, Shared

ROOT = Path(__file__).resolve().parents[3]

MODULES = {  # road -> where it is; so that workers import only what they need
    **dict.fromkeys(("image", "dicom"), "tests.support.fuzz.films"),
    "archive": "tests.support.fuzz.weights",
    "checkpoint": "tests.support.fuzz.checkpoints",
    **dict.fromkeys(("predictions", "config", "folder", "run"), "tests.support.fuzz.roads"),
}
AT_ONCE = 10_000  # inputs from one record to the next
WARM_UP = 300.0  # seconds; imports on a busy machine
KILLED_ABOVE = 1 << 30  # bytes of resident memory by which the watching process ends a worker
TRACED = 8  # inputs before a crash that are run again
_POLL = 0.02
_HEAP_CHECK = "libc_malloc_debug.so.0"


class Plan(NamedTuple):
    """The settings of one fuzzing run."""

    road: str
    out: Path
    seed: int = 0
    code: Path = ROOT
    roads: str = ""  # module of the road; as in `MODULES` by default
    processes: int = 2
    limits: Limits = Limits()

    @property
    def folder(self) -> Path:
        """Where everything of the road lies."""
        return self.out / self.road


class Worker:
    """One worker process and the range of numbers that it has still to run."""

    def __init__(self, plan: Plan, name: str, numbers: tuple[int, int]) -> None:
        self.numbers = numbers
        self.out = plan.folder / "parts" / name
        for folder in ("broken", "isolated", "kinds", "scratch"):
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        self.shared = Shared.make(self.out / "shared")
        corpus = str(plan.folder / "corpus")
        job = Job(
            *(
                str(plan.code),
                plan.roads or MODULES[plan.road],
                plan.road,
                plan.seed,
                numbers,
                corpus,
                str(self.out),
            ),
            *(str(self.out / "shared"), plan.limits),
        )
        self._limits, self.killed = plan.limits, ""
        with open(self.out / "errors", "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fuzz.worker", json.dumps(job._asdict())],
                cwd=ROOT,
                env=_environment(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def watch(self) -> bool:
        """Ends the process where it passes a limit; whether it has ended."""
        if self.process.poll() is not None:
            return True
        number, began, _ = self.shared.get()
        wall = WARM_UP if number == WARMING else self._limits.wall
        if time.monotonic() - began > wall:
            self.killed = "hang"
        elif _resident(self.process.pid) > KILLED_ABOVE:
            self.killed = "memory"
        if self.killed:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        return bool(self.killed)

    def end(self) -> None:
        """Ends the process whatever it is at."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def lost(self) -> tuple[int, bytes, str] | None:
        """Number, input and reason where the process ended before its time."""
        number, _, data = self.shared.get()
        if number == WARMING:
            said = (self.out / "errors").read_text(errors="replace").strip().splitlines()
            raise SystemExit(f"a worker could not start: {said[-1] if said else 'no reason given'}")
        if number == DONE and not self.process.returncode and not self.killed:
            return None
        return number, data, self.killed or f"exit{self.process.returncode}"


def _environment() -> dict[str, str]:
    """With glibc's checks of the heap, which end a process at the first damaged block."""
    checks = {"LD_PRELOAD": _HEAP_CHECK, "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    try:
        said = subprocess.run(["true"], env=checks, capture_output=True).stderr
    except OSError:
        said = b"no such command"
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    quiet = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **({} if said else checks), **one_thread, **quiet}


def _resident(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # it has just ended
        return 0


def run_slice(plan: Plan, first: int, count: int, enough: Callable[[], bool]) -> None:
    """Runs the numbers from `first` on by all workers; their findings are in their folders."""
    cuts = [first + count * i // plan.processes for i in range(plan.processes + 1)]
    waiting = [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if a < b]
    workers = [Worker(plan, str(a), (a, b)) for a, b in waiting]
    try:
        while workers and not enough():
            time.sleep(_POLL)
            for worker in [w for w in workers if w.watch()]:
                workers.remove(worker)
                lost = worker.lost()
                if lost is None:
                    continue
                number, data, reason = lost
                (worker.out / "broken" / f"{number}-{reason}").write_bytes(data)
                if reason.startswith("exit"):
                    trace_back(plan, number, worker)
                if DONE < number + 1 < worker.numbers[1] and number >= 0:
                    rest = (number + 1, worker.numbers[1])
                    workers.append(Worker(plan, str(rest[0]), rest))
    finally:
        for worker in workers:
            worker.end()


def trace_back(plan: Plan, number: int, crashed: Worker) -> None:
    """Finds the input that did the damage: the crash may come later than its cause."""
    for before in range(number, max(number - TRACED, crashed.numbers[0]) - 1, -1):
        alone = Worker(plan, f"alone-{before}", (before, before + 1))
        while not alone.watch():
            time.sleep(_POLL)
        lost = alone.lost()
        if lost is not None:
            if before != number:
                crashed.out.joinpath("broken", f"{before}-{lost[2]}").write_bytes(lost[1])
            return


def gathered(folder: Path) -> None:
    """Moves what the workers found to the road's folder; of one kind, the lowest number's input."""
    known = {path.name for path in (folder / "corpus").iterdir()}
    found = (folder / "parts").glob("*/kinds/*")
    for path in sorted(found, key=lambda path: int(path.name.partition("-")[2])):
        kind = path.name.partition("-")[0]
        if kind not in known:
            known.add(kind)
            path.rename(folder / "corpus" / kind)
    for path in [*folder.glob("parts/*/broken/*"), *folder.glob("parts/*/isolated/*")]:
        path.rename(folder / path.parent.name / path.name)
    subprocess.run(["rm", "-rf", str(folder / "parts")], check=True)


def fuzz(
    plan: Plan,
    executions: int,
    *,
    stop: Callable[[list[Path]], bool] | None = None,
    seconds: float = float("inf"),
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Continues until so many inputs have been run in all; returns the record.

    Args:
        stop: whether these broken inputs are enough; asked all the time.
        seconds: stops after the slice in which so many have passed.
    """
    folder = plan.folder
    for name in ("corpus", "broken", "isolated"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "fuzz.json"
    record: dict[str, Any] = {"road": plan.road, "seed": plan.seed, "executions": 0, "seconds": 0.0}
    if path.exists():
        record = json.loads(path.read_text())
    began, so_far = time.monotonic(), record["seconds"]

    def enough() -> bool:
        return stop is not None and stop(
            [*folder.glob("broken/*"), *folder.glob("parts/*/broken/*")]
        )

    while record["executions"] < executions and not enough():
        if time.monotonic() - began > seconds:
            break
        subprocess.run(["rm", "-rf", str(folder / "parts")], check=True)  # of a run that was ended
        first = record["executions"]
        count = min(AT_ONCE, executions - first)
        run_slice(plan, first, count, enough)
        gathered(folder)
        if enough():  # what is left of the slice has not been run
            count = 0
        record |= {
            "executions": first + count,
            "corpus": len(list((folder / "corpus").iterdir())),
            "broken": sorted((p.name for p in (folder / "broken").iterdir()), key=_number),
            "isolated": len(list((folder / "isolated").iterdir())),
            "seconds": round(so_far + time.monotonic() - began, 1),
            "limits": plan.limits._asdict(),
        }
        write_json(path, record)
        log(
            f"{plan.road}: {first + count:,} of {executions:,}, {record['corpus']} kinds of "
            f"answer, {len(record['broken'])} broken, {record['seconds']:.0f} s"
        )
    return record


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--road", choices=MODULES, required=True)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--code", type=Path, default=ROOT)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--broken", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    out, code = given.out.expanduser().resolve(), given.code.expanduser().resolve()
    plan = Plan(given.road, out, given.seed, code, processes=given.processes)
    record = fuzz(
        plan,
        given.executions,
        stop=(lambda paths: len(paths) >= given.broken) if given.broken else None,
        seconds=given.seconds,
    )
    if record.get("broken"):
        raise SystemExit(f"broken: {', '.join(record['broken'][:20])}")


if __name__ == "__main__":
    main()
