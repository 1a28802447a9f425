"""Measures the cost of decoding in child processes for prediction, ingest and a single film.

Command:   python -m benchmarks.isolation <folder of films> [<folder of films> ...] \\
               --output=records/performance/isolation.json
Decoding in child processes and in this process take turns, so that other work of the machine slows
both alike.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from pneumojax.api.load import load
from pneumojax.data import cache_build
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import TrainingFilm, decode_any, decode_training_film
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.isolation.films import Decoded, FilmDecoder
from pneumojax.predict import predict
from pneumojax.shipped import reference_run

REFERENCE = reference_run()
PREDICTED = 288  # films that are predicted, at most; each takes the same time


class InThisProcess:
    """Has the interface of `FilmDecoder` and decodes in the thread that calls it."""

    def __init__(self, most: int | None = None):
        del most

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def decode(
        self, data: bytes, preprocessing: Preprocessing, *, preview_side: int = 0
    ) -> Decoded:
        """Decodes one film; see `FilmDecoder.decode`."""
        del preview_side
        return Decoded(decode_any(data, preprocessing), None)

    def decode_for_training(
        self, files: Sequence[bytes], preprocessing: Preprocessing, texts: Collection[str] = ()
    ) -> list[TrainingFilm | FilmError]:
        """Decodes several films; see `FilmDecoder.decode_for_training`."""
        return [decode_training_film(file, preprocessing, texts) for file in files]


def _predict(films: list[Path], scratch: Path) -> None:
    load(REFERENCE).predict_files(films, scratch / "predictions.csv")


def _ingest(films: list[Path], scratch: Path) -> None:
    root = scratch / "films"
    for name in ("NORMAL", "PNEUMONIA"):
        (root / "train" / name).mkdir(parents=True)
    for film in films:
        (root / "train" / film.parent.name / film.name).symlink_to(film)
    cache = FilmCache(scratch / "cache")
    load_split(find_films(root), "train", Preprocessing(), cache, max_rejected_fraction=1.0)


@contextlib.contextmanager
def _guard(child_processes: bool) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if not child_processes:
            for module in (predict, cache_build):
                stack.enter_context(mock.patch.object(module, "FilmDecoder", InThisProcess))
        yield


def _seconds(work: Callable[[list[Path], Path], None], films: list[Path], guarded: bool) -> float:
    scratch = Path(tempfile.mkdtemp())
    (scratch / "results").mkdir()
    try:
        with _guard(guarded), contextlib.redirect_stdout(io.StringIO()):
            began = time.perf_counter()
            work(films, scratch)
            return time.perf_counter() - began
    finally:
        shutil.rmtree(scratch)


def compare(
    work: Callable[[list[Path], Path], None], films: list[Path], rounds: int
) -> dict[str, Any]:
    """Times a piece of work both ways in turn, after one round that does not count."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds + 1):
        for guarded in (True, False) if number % 2 else (False, True):
            seconds = _seconds(work, films, guarded)
            if number:
                times[guarded].append(seconds)
    ratios = [guarded / direct for guarded, direct in zip(times[True], times[False], strict=True)]
    return {
        "seconds_in_children": statistics.median(times[True]),
        "seconds_in_this_process": statistics.median(times[False]),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
    }


def compare_one(film: Path, rounds: int) -> dict[str, float]:
    """Times the decoding of one film both ways, in milliseconds, with a child that is running."""
    data, preprocessing = film.read_bytes(), Preprocessing()
    times: tuple[list[float], list[float]] = ([], [])
    with FilmDecoder(1) as children:
        ways = (children.decode, InThisProcess().decode)
        for _ in range(rounds):
            for way, decode in enumerate(ways):
                began = time.perf_counter()
                decode(data, preprocessing)
                times[way].append(1e3 * (time.perf_counter() - began))
    guarded, direct = map(statistics.median, times)
    return {"milliseconds_in_children": guarded, "milliseconds_in_this_process": direct}


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Measures prediction, ingest and one film of a folder."""
    films = [path.absolute() for path in sorted(folder.rglob("*.jp*g"))]
    chosen = films[:: max(1, len(films) // PREDICTED)][:PREDICTED]
    return {
        "mean_bytes": statistics.mean(path.stat().st_size for path in films),
        "predict": {"films": len(chosen), **compare(_predict, chosen, rounds)},
        "ingest": {"films": len(films), **compare(_ingest, films, rounds)},
        "one_film": compare_one(chosen[0], 50 * rounds),
    }


def main() -> None:
    """Measures the folders that the arguments name, and stores the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    record: dict[str, Any] = {"cores": os.cpu_count(), "rounds": options.rounds, "folders": {}}
    for folder in options.folders:
        record["folders"][folder.name] = found = measure(folder, options.rounds)
        print(folder.name, json.dumps(found, indent=2))
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
