"""Feeds generated and damaged files to every reader of files from outside, and counts failures.

Command:   python -m tests.support.fuzz --target=image --executions=1000000 --out=<folder>

Targets: "image" (JPEG, PNG, WebP and TIFF as prediction reads them), "dicom", "archive" (files of
weights: .keras, .h5 and .safetensors), "checkpoint" (a checkpoint's metadata beside its
config.json), "predictions" (CSV and JSON lines), "config" (overrides on a command line), "folder"
(trees of odd names, links and pipes, in which training and prediction find films) and "run" (a
run folder's config and lists).

An input is a function of the target, the seed, its number and the corpus. It is generated from the
grammar of a format (frame types, marker floods, codestream headers, archive members with wrong
sizes), or it is a damaged file of the corpus. An input that gives a new kind of answer joins the
corpus.

Worker processes read the inputs, with glibc's heap checks if they are installed. An input is broken
if the reader raises anything but its own refusal, gives an answer of the wrong shape, takes more
than 2 s of CPU time (5 s if the input is longer than 64 kB) or 30 s in all, makes the process grow
by more than 200 MB, damages the heap, or ends the process. Broken inputs are kept in
`<out>/<target>/broken/<number>-<reason>`. After a crash the inputs before it run again one by one,
because an earlier input may have done the damage. The limit of pixels is 1 million instead of 100
million, so that allowed films (`bombs.py` measures the largest) do not hide others. HDF5 is parsed
in the product's own child process, as in training. If an input crashes this child and is refused in
one line, it counts as "isolated" and is kept in `<out>/<target>/isolated/`. The same command
continues an earlier run; the counts are in `<out>/<target>/fuzz.json`.

--processes=<count> sets the number of workers. --broken=<count> stops after so many broken inputs,
--seconds=<count> after so much time.
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

MODULES = {  # target -> its module, so that workers import only what they need
    **dict.fromkeys(("image", "dicom"), "tests.support.fuzz.films"),
    "archive": "tests.support.fuzz.weights",
    "checkpoint": "tests.support.fuzz.checkpoints",
    **dict.fromkeys(("predictions", "config", "folder", "run"), "tests.support.fuzz.text_files"),
}
AT_ONCE = 10_000  # inputs between two updates of the record
WARM_UP = 300.0  # seconds for the imports of a worker on a busy machine
KILLED_ABOVE = 1 << 30  # bytes of resident memory at which a worker is ended
TRACED = 8  # inputs before a crash that run again
_POLL = 0.02
_HEAP_CHECK = "libc_malloc_debug.so.0"


class Plan(NamedTuple):
    """The settings of one fuzzing run."""

    target: str
    out: Path
    seed: int = 0
    targets: str = ""  # module of the target; from `MODULES` by default
    processes: int = 2
    limits: Limits = Limits()

    @property
    def folder(self) -> Path:
        """The folder of the target."""
        return self.out / self.target


class Worker:
    """One worker process and its range of input numbers."""

    def __init__(self, plan: Plan, name: str, numbers: tuple[int, int]) -> None:
        self.numbers = numbers
        self.out = plan.folder / "parts" / name
        for folder in ("broken", "isolated", "kinds", "scratch"):
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        self.shared = Shared.make(self.out / "shared")
        corpus = str(plan.folder / "corpus")
        job = Job(
            targets=plan.targets or MODULES[plan.target],
            target=plan.target,
            seed=plan.seed,
            numbers=numbers,
            corpus=corpus,
            out=str(self.out),
            shared=str(self.out / "shared"),
            limits=plan.limits,
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
        """Ends the process if it passes a limit, and returns whether it has ended."""
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
        """Ends the process."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def lost(self) -> tuple[int, bytes, str] | None:
        """Returns number, input and reason if the process ended too early."""
        number, _, data = self.shared.get()
        if number == WARMING:
            said = (self.out / "errors").read_text(errors="replace").strip().splitlines()
            raise SystemExit(f"a worker could not start: {said[-1] if said else 'no reason given'}")
        if number == DONE and not self.process.returncode and not self.killed:
            return None
        return number, data, self.killed or f"exit{self.process.returncode}"


def _environment() -> dict[str, str]:
    """Switches on glibc's heap checks, which end a process at the first damaged block."""
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
    except (OSError, IndexError):  # the process has just ended
        return 0


def run_slice(plan: Plan, first: int, count: int, enough: Callable[[], bool]) -> None:
    """Runs `count` inputs from number `first`; each worker keeps findings in its folder."""
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
    """Finds the input that did the damage, which may be earlier than the crash."""
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
    """Moves the findings of all workers to the target's folder, one input of each kind."""
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
    """Continues until `executions` inputs have run in all, and returns the record.

    Args:
        stop: takes the broken inputs and returns whether to stop. It is asked all the time.
        seconds: stops after the slice of inputs in which this time is over.
    """
    folder = plan.folder
    for name in ("corpus", "broken", "isolated"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "fuzz.json"
    record: dict[str, Any] = {
        "target": plan.target,
        "seed": plan.seed,
        "executions": 0,
        "seconds": 0.0,
    }
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
        subprocess.run(
            ["rm", "-rf", str(folder / "parts")], check=True
        )  # left by an interrupted run
        first = record["executions"]
        count = min(AT_ONCE, executions - first)
        run_slice(plan, first, count, enough)
        gathered(folder)
        if enough():  # the rest of the slice has not run
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
            f"{plan.target}: {first + count:,} of {executions:,}, {record['corpus']} kinds of "
            f"answer, {len(record['broken'])} broken, {record['seconds']:.0f} s"
        )
    return record


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def main() -> None:
    """Fuzzes the target that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=MODULES, required=True)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--broken", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    out = given.out.expanduser().resolve()
    plan = Plan(given.target, out, given.seed, processes=given.processes)
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
