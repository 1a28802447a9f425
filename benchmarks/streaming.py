"""Measures films/s and memory of training input by number of films, cached and streamed.

Command:   python -m benchmarks.streaming --scratch=<folder with 12 GB free>
It draws some hundred films and writes many copies of them, each with a number of its own, so that
all files differ. Every point is measured in a process of its own and stored at once in
records/performance/streaming.json; the same command continues after an interruption. Remove the
file to measure again.
"""

import argparse
import datetime
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.hardware import hardware
from pneumojax.configs import base
from pneumojax.data import phantom, phantom_films
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]

FILMS = (2_000, 20_000, 200_000)
KINDS = {"streamed": 1e-6, "cached": 1e6}  # kind -> the config.data.max_cache_gb that enforces it
DRAWN = 200  # different pictures
LEAST_READ = 20_000  # films read for each point, and every film at least once
ROUND = 2_000  # films between two readings of clock and memory


def write_films(root: Path, films: int) -> None:
    """Writes films in the Kaggle layout, four of each patient. The folder is whole or absent."""
    if root.is_dir():
        return
    pictures: dict[str, list[bytes]] = {pathogen: [] for pathogen in phantom.PATHOGENS}
    for i in range(DRAWN):
        pathogen = phantom.PATHOGENS[i % 3]
        stream = io.BytesIO()
        film = Image.fromarray(phantom.draw_film(phantom_films.SEED, i, 1, pathogen))
        film.save(stream, "JPEG", quality=phantom_films.JPEG_QUALITY)
        pictures[pathogen].append(stream.getvalue())
    unfinished = root.with_name(f".{root.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    folders = {
        p: unfinished / "train" / ("PNEUMONIA" if p != "none" else "NORMAL") for p in pictures
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for i in range(films):
        pathogen = phantom.PATHOGENS[i % 3]
        picture = pictures[pathogen][i // 3 % len(pictures[pathogen])]
        name = phantom_films.film_name(i // 12 + 1, i // 3 % 4 + 1, pathogen)
        (folders[pathogen] / name).write_bytes(_numbered(picture, i))
    unfinished.rename(root)


def _numbered(jpeg: bytes, number: int) -> bytes:
    """Puts a number into a comment of the JPEG, which no decoder shows."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8) + jpeg[2:]


def open_films(root: Path, cache_dir: Path, kind: str) -> tuple[Any, dict[str, Any]]:
    """Opens a folder as training does; returns the films, and the seconds and memory this took."""
    from pneumojax.data.splits import load_splits
    from pneumojax.data.tensorflow_import import tensorflow

    config = base.get_config()
    config.data.root, config.data.max_cache_gb = str(root), KINDS[kind]
    tensorflow()
    before = _status("VmRSS")
    began = time.perf_counter()
    films = load_splits(config, cache_dir, log=lambda line: None).train
    return films, {
        "seconds": time.perf_counter() - began,
        "imports_mb": before,
        "peak_mb": _status("VmHWM"),
        "opened": _memory(),
    }


def read_films(films: Any, cache_dir: Path) -> dict[str, Any]:
    """Reads at least an epoch of the training stream; returns films/s and the peak of memory."""
    from pneumojax.data.pipeline import BatchOrder, training_batches

    for path in cache_dir.rglob("*"):
        if path.is_file():
            _forget(path)
    size = base.get_config().batch_size
    order = BatchOrder(films.labels, size, seed=0)
    batches = training_batches(films, order, order.calls())
    rates: list[float] = []
    highest = {"all_mb": 0.0, "own_mb": 0.0}
    for _ in range(max(LEAST_READ, len(films)) // ROUND + 2):
        began = time.perf_counter()
        for _ in range(ROUND // size):
            next(batches)
        rates.append(ROUND // size * size / (time.perf_counter() - began))
        highest = {name: max(highest[name], value) for name, value in _memory().items()}
    return {
        "films_per_second": statistics.median(rates[1:]),
        "films_per_second_from_disk": rates[0],
        "films_read": len(rates) * (ROUND // size * size),
        "reading": highest,
    }


def _forget(path: Path) -> None:
    """Asks the system to drop a file from its cache, so that the first round reads the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _memory() -> dict[str, float]:
    """Returns the resident MB of this process, with and without the pages of files."""
    return {"all_mb": _status("VmRSS"), "own_mb": _status("RssAnon")}


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


def measure(path: Path, scratch: Path, sizes: list[int]) -> dict[str, Any]:
    """Measures all points. Points that `path` holds are not measured again."""
    points = json.loads(path.read_text())["points"] if path.exists() else {}
    for films in sizes:
        for kind in KINDS:
            if str(films) in points.get(kind, {}):
                continue
            print(f"{films:,} films, {kind}", file=sys.stderr, flush=True)
            root, cache = scratch / f"films-{films}", scratch / "cache"
            write_films(root, films)
            shutil.rmtree(cache, ignore_errors=True)
            load = os.getloadavg()[0]
            point = {
                "preparing": _ask("prepare", root, cache, kind),
                **_ask("read", root, cache, kind),
                "disk_mb": {"films": _size(root) / 1e6, "cache": _size(cache) / 1e6},
                "load_before": load,
                "date": datetime.date.today().isoformat(),
            }
            points.setdefault(kind, {})[str(films)] = point
            command = "python -m benchmarks.streaming"
            write_json(path, {"command": command, "hardware": hardware(), "points": points})
            shutil.rmtree(cache)
    return points


def _ask(work: str, root: Path, cache: Path, kind: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.streaming", f"--work={work}", f"--kind={kind}"]
    command += [f"--root={root}", f"--scratch={cache}"]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(answer.splitlines()[-1])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measures the points that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True, help="for films and caches")
    parser.add_argument("--films", type=int, nargs="*", default=list(FILMS))
    parser.add_argument("--output", type=Path, default=ROOT / "records" / "performance")
    parser.add_argument("--work", choices=["prepare", "read"], help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=list(KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    scratch = arguments.scratch.expanduser().resolve()
    if arguments.work:
        films, opening = open_films(arguments.root, scratch, arguments.kind)
        more = read_films(films, scratch) if arguments.work == "read" else {}
        print(json.dumps(opening | more))
        return
    scratch.mkdir(parents=True, exist_ok=True)
    measure(arguments.output.resolve() / "stream.json", scratch, arguments.films)


if __name__ == "__main__":
    main()
