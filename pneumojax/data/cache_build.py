"""Decodes films into a new entry of the cache, on all cores; it is there whole or not at all."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pneumojax.data.decoding import DecodedFilm, FilmError, Preprocessing, read_film
from pneumojax.data.films import FilmFile


def build_entry(
    entry: Path,
    root: Path,
    files: Sequence[FilmFile],
    preprocessing: Preprocessing,
    log: Callable[[str], None],
) -> None:
    """Decodes all files into a temporary sibling and renames it to `entry`.

    Args:
        entry: `images.npy`, uint8 (number of files, image_size, image_size), of which the first
            rows hold the readable films in order; and `index.json`, what is known about each.
    """
    building = entry.with_name(f"{entry.name}.building-{os.getpid()}")
    with _removed_on_failure(building):
        _remove_abandoned(entry)
        building.mkdir(parents=True)
        side = preprocessing.image_size
        images = np.lib.format.open_memmap(
            building / "images.npy", "w+", np.uint8, (len(files), side, side)
        )
        index: list[dict] = []
        rejected: list[tuple[str, str]] = []
        began = told = 0.0
        for done, (file, film) in enumerate(_decoded(root, files, preprocessing), start=1):
            if isinstance(film, str):
                rejected.append((file.path, film))
            else:
                images[len(index)] = film.pixels
                index.append(
                    {"path": file.path, "label": file.label, "sha256": film.sha256}
                    | {"width": film.width, "height": film.height}
                )
            now = time.monotonic()
            began, told = began or now, told or now  # counted from the first film on
            if now - told > 2 or done == len(files):
                told, rate = now, done / max(now - began, 1e-3)
                left = (len(files) - done) / rate
                log(
                    f"decoding {done:,}/{len(files):,} films, {rate:,.0f} films/s, "
                    f"{left:.0f} s left"
                )
        images.flush()
        del images
        with open(building / "index.json", "w") as stream:
            json.dump({"films": index, "rejected": rejected}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            building.rename(entry)
        except OSError:  # another process was quicker; its entry has the same contents
            if not entry.is_dir():
                raise
            shutil.rmtree(building)


def _decoded(
    root: Path, files: Sequence[FilmFile], preprocessing: Preprocessing
) -> Iterator[tuple[FilmFile, DecodedFilm | str]]:
    """Each file with its decoded film or the reason why not, in order, decoded in parallel."""

    def read(file: FilmFile) -> DecodedFilm | str:
        try:
            return read_film(root / file.path, preprocessing)
        except FilmError as error:
            return str(error)

    # Pillow lets go of the interpreter while it decodes, so threads are enough, one for each core.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from zip(files, pool.map(read, files), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # or a build that is stopped would decode all the rest


@contextlib.contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _remove_abandoned(entry: Path) -> None:
    """Removes what a killed process left half-built."""
    for folder in entry.parent.glob(f"{entry.name}.building-*"):
        process = int(folder.name.rsplit("-", 1)[1])
        try:
            os.kill(process, 0)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
