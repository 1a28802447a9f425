"""Measures `beam-ingest` and `beam-predict`, and proves that a killed worker changes nothing.

Command:   python -m benchmarks.beam --scratch=<folder with 12 GB free>
           python -m benchmarks.beam --scratch=<same> --parts memory --workdir=<a smaller network>

It needs the environment of docs/beam.md. Films are drawn as for `benchmarks.streaming`. Each part
is stored in records/performance/beam.json when it is done, and the same command goes on with the
parts that are missing or were measured with another --count:

- speed: films/s of both verbs with one and two workers, from the start of the command to its end.
- memory: the largest resident memory of any process of the command, by number of films.
- killed: a prediction on two workers, one of which is killed, against the rows of `predict`.
- real: an ingest of the training films in `--films` against the ordinary cache.

Predictions use `reference_1`, because `reference` reads each film three times, which takes longer
and shows nothing more about Beam. For the part memory a smaller network saves half an hour.
"""

import argparse
import datetime
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware
from benchmarks.streaming import write_films
from pneumojax.files import read_csv, write_json

ROOT = Path(__file__).resolve().parents[1]
WORKER = b"sdk_worker_main"  # in the command line of each worker of Beam
SHARDS = 20  # of the prediction in which a worker is killed
Record = dict[str, Any]


class Watched:
    """A command, and the memory of its processes, which are looked at twice a second."""

    def __init__(self, arguments: Sequence[str]):
        self.peaks_mb = {"launcher": 0.0, "worker": 0.0, "decoder": 0.0}
        self._began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "main.py", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def wait(self) -> tuple[float, str]:
        """Waits for the end; returns the seconds it took and what it printed."""
        output, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(output)
        return time.perf_counter() - self._began, output

    def workers(self) -> list[int]:
        """The process ids of the workers of Beam."""
        return [process for process, kind in self._family() if kind == "worker"]

    def _watch(self) -> None:
        while self.process.poll() is None:
            for process, kind in self._family():
                self.peaks_mb[kind] = max(self.peaks_mb[kind], _peak_mb(process))
            time.sleep(0.5)

    def _family(self) -> Iterator[tuple[int, str]]:
        yield self.process.pid, "launcher"
        for process in _descendants(self.process.pid):
            command = _read(f"/proc/{process}/cmdline")
            if b"pneumojax.isolation.worker" in command:
                yield process, "decoder"
            elif WORKER in command and not command.startswith((b"/bin/sh", b"sh")):
                yield process, "worker"


def _descendants(parent: int) -> Iterator[int]:
    for task in Path(f"/proc/{parent}/task").glob("*"):
        for child in map(int, _read(f"{task}/children").split()):
            yield child
            yield from _descendants(child)


def _peak_mb(process: int) -> float:
    for line in _read(f"/proc/{process}/status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:  # the process has ended
        return b""


def ingest(films: Path, cache: Path, workers: int) -> Watched:
    """Starts an ingest into an empty cache."""
    shutil.rmtree(cache, ignore_errors=True)
    return Watched(
        [
            "beam-ingest",
            f"--config.data.root={films}",
            f"--cache_dir={cache}",
            f"--workers={workers}",
        ]
    )


def predict(
    films: Path, output: Path, workers: int, workdir: str, shard_films: int = 1024
) -> Watched:
    """Starts a prediction by one network into a new folder."""
    shutil.rmtree(output, ignore_errors=True)
    return Watched(
        [
            "beam-predict",
            f"--output={output}",
            f"--workdir={workdir}",
            f"--workers={workers}",
            f"--shard_films={shard_films}",
            str(films),
        ]
    )


def starts(workdir: str) -> dict[str, Callable[[Path, Path, int], Watched]]:
    """Both verbs by name, each as a function of films, place and number of workers."""
    return {
        "beam-ingest": ingest,
        "beam-predict": functools.partial(predict, workdir=workdir),
    }


def speed(scratch: Path, count: int, workdir: str) -> Record:
    """Films/s of both verbs by number of workers."""
    films, found = _films(scratch, count), {}
    for workers in (1, 2):
        for verb, start in starts(workdir).items():
            started = start(films, scratch / verb, workers)
            seconds, _ = started.wait()
            found[f"{verb}, workers={workers}"] = {
                "seconds": seconds,
                "films_per_second": count / seconds,
                "peaks_mb": started.peaks_mb,
            }
    return {"films": count, "network": Path(workdir).name, "runs": found}


def memory(scratch: Path, counts: Iterable[int], workdir: str) -> Record:
    """The largest memory of each kind of process, with two workers, by number of films."""
    found = {}
    for count in counts:
        films = _films(scratch, count)
        for verb, start in starts(workdir).items():
            started = start(films, scratch / verb, 2)
            seconds, _ = started.wait()
            found[f"{verb}, films={count}"] = {"seconds": seconds, "peaks_mb": started.peaks_mb}
            shutil.rmtree(scratch / verb)
    return {"workers": 2, "network": Path(workdir).name, "runs": found}


def killed(scratch: Path, count: int, workdir: str) -> Record:
    """Kills a worker once some shards are written; compares the rows with those of `predict`."""
    films, output, whole = _films(scratch, count), scratch / "output", scratch / "one.csv"
    whole.unlink(missing_ok=True)
    Watched(["predict", f"--output={whole}", f"--workdir={workdir}", str(films)]).wait()
    started = predict(films, output, 2, workdir, shard_films=count // SHARDS)
    while len(list(output.glob("predictions-*"))) < 3:
        time.sleep(0.1)
        if started.process.poll() is not None:
            raise RuntimeError("the prediction ended before a worker could be killed")
    os.kill(started.workers()[0], signal.SIGKILL)
    finished = len(list(output.glob("predictions-*")))
    seconds, printed = started.wait()
    if "a worker was killed" not in printed:
        raise RuntimeError("the worker had ended before it was killed")
    parts = [row for path in sorted(output.glob("predictions-*")) for row in read_csv(path)]
    rows = read_csv(whole)
    return {
        "films": count,
        "network": Path(workdir).name,
        "shards": len(list(output.glob("predictions-*"))),
        "shards_when_killed": finished,
        "seconds": seconds,
        "rows": len(parts),
        "different_films": len({row["path"] for row in parts}),
        "equals_one_process": parts == rows,
    }


def real(scratch: Path, films: Path) -> Record:
    """Compares an ingest on two workers with the ordinary cache of the same films."""
    import numpy as np

    from pneumojax.configs import base
    from pneumojax.data.ingested import IngestedFilms
    from pneumojax.data.splits import load_splits

    config = base.get_config()
    config.data.root = str(films)
    ingest(films, scratch / "cache", 2).wait()
    ingested = load_splits(config, scratch / "cache")
    ordinary = load_splits(config, scratch / "ordinary")
    assert isinstance(ingested.train.images, IngestedFilms)
    assert ingested.validation is not None and ordinary.validation is not None
    pairs = ((ingested.train, ordinary.train), (ingested.validation, ordinary.validation))
    return {
        "films": sum(len(films) for films, _ in pairs),
        "training_films": len(ingested.train),
        "same_paths_and_contents": ingested.fingerprint == ordinary.fingerprint,
        "same_rejected_files": ingested.rejected == ordinary.rejected,
        "same_pixels": all(
            np.array_equal(ours.pixels(some), theirs.pixels(some))
            for ours, theirs in pairs
            for some in np.array_split(np.arange(len(theirs)), 16)
        ),
    }


def _films(scratch: Path, count: int) -> Path:
    films = scratch / f"films-{count}"
    write_films(films, count)
    return films


def main() -> None:
    """Measures the parts that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True, help="for films and results")
    parser.add_argument("--films", type=Path, help="real films with train/, for the part real")
    parser.add_argument("--count", type=int, default=20_000, help="drawn films for speed, killed")
    parser.add_argument("--counts", type=int, nargs="*", default=[2_000, 20_000, 200_000])
    parser.add_argument("--workdir", default="reference_1", help="the network that predicts")
    parser.add_argument("--parts", nargs="*", default=["real", "killed", "speed", "memory"])
    parser.add_argument(
        "--output", type=Path, default=ROOT / "records" / "performance" / "beam.json"
    )
    arguments = parser.parse_args()
    scratch = arguments.scratch.expanduser().resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    count, workdir = arguments.count, arguments.workdir
    record = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    parts = {
        "real": lambda: real(scratch, arguments.films),
        "killed": lambda: killed(scratch, count, workdir),
        "speed": lambda: speed(scratch, count, workdir),
        "memory": lambda: memory(scratch, arguments.counts, workdir),
    }
    for name in arguments.parts:
        if name == "real" and arguments.films is None:
            continue
        if name in record and (name in ("real", "memory") or record[name]["films"] == count):
            continue
        print(name, file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        record[name] = parts[name]() | {
            "load_before": load,
            "date": datetime.date.today().isoformat(),
        }
        command = "python -m benchmarks.beam"
        write_json(arguments.output, record | {"command": command, "hardware": hardware()})


if __name__ == "__main__":
    main()
