"""Films/s and memory of a training's input against the number of films, cached and streamed.

Command:   python -m benchmarks.streaming --scratch=<folder with 12 GB free>
It draws some hundred films and writes them again and again, each file with a number of its own in
it, so that all differ. Every point is measured in a process of its own and written to
records/performance/streaming.json at once; the same command goes on where it was stopped. Remove the
file to measure anew. At the end it draws docs/images/stream.png.
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
from configs import base
from pneumojax.data import phantom
from pneumojax.files import write_json
from tools.docs.streaming import draw

ROOT = Path(__file__).resolve().parents[1]

FILMS = (2_000, 20_000, 200_000)
KINDS = {"streamed": 1e-6, "cached": 1e6}  # and the max_cache_gb that makes it so
DRAWN = 200  # different pictures
LEAST_READ = 20_000  # films; and every film at least once
ROUND = 2_000  # films between two looks at clock and memory


def write_films(root: Path, films: int) -> None:
    """A folder of so many films in the Kaggle layout, four of each patient; whole or not there."""
    if root.is_dir():
        return
    pictures: dict[str, list[bytes]] = {pathogen: [] for pathogen in phantom.PATHOGENS}
    for i in range(DRAWN):
        pathogen = phantom.PATHOGENS[i % 3]
        stream = io.BytesIO()
        film = Image.fromarray(phantom.draw_film(phantom.SEED, i, 1, pathogen))
        film.save(stream, "JPEG", quality=phantom.JPEG_QUALITY)
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
        name = phantom.film_name(i // 12 + 1, i // 3 % 4 + 1, pathogen)
        (folders[pathogen] / name).write_bytes(_numbered(picture, i))
    unfinished.rename(root)


def _numbered(jpeg: bytes, number: int) -> bytes:
    """The picture with a number in a comment, which no decoder shows."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8) + jpeg[2:]


def open_films(root: Path, cache_dir: Path, kind: str) -> tuple[Any, dict[str, Any]]:
    """The films of a folder as a training opens them, and what that took."""
    from pneumojax.data.splits import load_sides
    from pneumojax.data.tensorflow_import import tensorflow

    config = base.get_config()
    config.data.root, config.data.max_cache_gb = str(root), KINDS[kind]
    tensorflow()
    before = _status("VmRSS")
    began = time.perf_counter()
    films = load_sides(config, cache_dir, log=lambda line: None).train
    return films, {
        "seconds": time.perf_counter() - began,
        "imports_mb": before,
        "peak_mb": _status("VmHWM"),
        "opened": _memory(),
    }


def read_films(films: Any, cache_dir: Path) -> dict[str, Any]:
    """The training stream, an epoch of it at least: films/s and the most memory it had."""
    from pneumojax.data.pipeline import training_batches

    for path in cache_dir.rglob("*"):
        if path.is_file():
            _forget(path)
    size = base.get_config().batch_size
    batches = training_batches(films, size, seed=0, start_step=0)
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
    """Asks the system to drop a file from its cache, so that the first round comes from disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _memory() -> dict[str, float]:
    """MB of this process: all that is resident, and what of it is not a file's pages."""
    return {"all_mb": _status("VmRSS"), "own_mb": _status("RssAnon")}


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


def measure(path: Path, scratch: Path, sizes: list[int]) -> dict[str, Any]:
    """All points; what `path` has is not measured again."""
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
    command = [sys.executable, __file__, f"--work={work}", f"--kind={kind}"]
    command += [f"--root={root}", f"--scratch={cache}"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(answer.splitlines()[-1])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measures what is missing, then draws it all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True, help="for films and caches")
    parser.add_argument("--films", type=int, nargs="*", default=list(FILMS))
    parser.add_argument("--output", type=Path, default=ROOT / "records" / "performance")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images")
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
    points = measure(arguments.output.resolve() / "stream.json", scratch, arguments.films)
    draw(points, arguments.images.resolve() / "stream.png")


if __name__ == "__main__":
    main()
