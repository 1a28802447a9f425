"""Decodes films into a new entry of the cache, on all cores; it is there whole or not at all."""

import contextlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pneumojax.data.decoding import (
    DecodedFilm,
    FilmError,
    Preprocessing,
    UnreadFile,
    read_film,
)
from pneumojax.data.films import FilmFile
from pneumojax.errors import UserError

_CONTENTS = ("images.npy", "index.json")


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
            rows hold the readable films in order; `index.json`, what is known about each; and
            `checksums.json` of both, by which `is_whole` goes.

    Raises:
        UserError: a film cannot be read any more, or the cache not be written.
    """
    building = entry.with_name(f"{entry.name}.building-{os.getpid()}")
    with _failing_clearly(entry.parent), _removed_on_failure(building):
        _remove_abandoned(entry)
        building.mkdir(parents=True)
        side = preprocessing.image_size
        images = np.lib.format.open_memmap(
            building / "images.npy", "w+", np.uint8, (len(files), side, side)
        )
        _allocate(building / "images.npy")
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
        with open(building / "checksums.json", "w") as stream:
            json.dump({name: _checksum(building / name) for name in _CONTENTS}, stream)
        for name in (*_CONTENTS, "checksums.json"):
            with open(building / name, "rb") as stream:
                os.fsync(stream.fileno())
        try:
            building.rename(entry)
        except OSError:  # another process was quicker; its entry has the same contents
            if not entry.is_dir():
                raise
            shutil.rmtree(building)


def is_whole(entry: Path) -> bool:
    """Whether an entry's bytes are those that were written; 117 MB take a twentieth of a second."""
    try:
        checksums = json.loads((entry / "checksums.json").read_text())
        return checksums == {name: _checksum(entry / name) for name in _CONTENTS}
    except (OSError, ValueError):
        return False


def _checksum(path: Path) -> int:
    total = 0
    with open(path, "rb") as stream:
        while block := stream.read(1 << 24):
            total = zlib.crc32(block, total)
    return total


def _allocate(path: Path) -> None:
    """Takes a file's room on the disk: writing to mapped memory without any is a SIGBUS."""
    with open(path, "r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, os.path.getsize(path))


def _decoded(
    root: Path, files: Sequence[FilmFile], preprocessing: Preprocessing
) -> Iterator[tuple[FilmFile, DecodedFilm | str]]:
    """Each file with its decoded film or the reason why not, in order, decoded in parallel."""

    def read(file: FilmFile) -> DecodedFilm | str:
        try:
            return read_film(root / file.path, preprocessing)
        except UnreadFile as error:
            # It was listed a moment ago. An entry without it would be trusted for ever.
            raise UserError(
                f"data.root: {str(root / file.path)!r} {error}; the folder changed or vanished "
                "while its films were decoded. Restore it and start again"
            ) from error
        except FilmError as error:
            return str(error)

    # Pillow lets go of the interpreter while it decodes, so threads are enough, one for each core.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from zip(files, pool.map(read, files), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # or a build that is stopped would decode all the rest


@contextlib.contextmanager
def _failing_clearly(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--cache_dir: cannot write to {str(folder)!r}: {error.strerror}; make room or name "
            "another folder"
        ) from error


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
