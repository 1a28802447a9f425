"""Reads and checks films into a new entry of the cache; it is there whole or not at all.

An entry is a folder: what is known about the films (`index.py`), what was left out and why, and
a store of the films themselves, decoded or as files.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from pneumojax.data.films import FilmFile
from pneumojax.data.index import IndexWriter
from pneumojax.decoding.film import (
    DecodedFilm,
    FilmError,
    Preprocessing,
    UnreadFile,
    read_bytes,
)
from pneumojax.errors import UserError
from pneumojax.isolation.films import FilmDecoder

IMAGES = "images.npy"
REJECTED = "rejected.json"
_CHECKSUMS = "checksums.json"
_IN_A_CALL = 16  # films that a child process decodes in one call
_BYTES_IN_A_CALL = 1 << 20  # beyond which a call takes no further film
_AHEAD = 2  # calls for each core that are made before their films are stored


class Store(Protocol):
    """Takes the readable films of an entry, in order."""

    verb: str  # what is done to films, for the line of progress

    def add(self, film: DecodedFilm) -> None:
        """Stores one."""

    def close(self) -> None:
        """All are there."""


class PixelStore:
    """`images.npy`, uint8 (number of files, image_size, image_size), the readable films first."""

    verb = "decoding"

    def __init__(self, folder: Path, files: Sequence[FilmFile], preprocessing: Preprocessing):
        side = preprocessing.image_size
        self._images = np.lib.format.open_memmap(
            folder / IMAGES, "w+", np.uint8, (len(files), side, side)
        )
        _allocate(folder / IMAGES)
        self._films = 0

    def add(self, film: DecodedFilm) -> None:
        """Stores one film's pixels."""
        self._images[self._films] = film.pixels
        self._films += 1

    def close(self) -> None:
        """Hands the pixels to the disk."""
        self._images.flush()


def build_entry(
    entry: Path,
    root: Path,
    files: Sequence[FilmFile],
    preprocessing: Preprocessing,
    make_store: Callable[[Path, Sequence[FilmFile], Preprocessing], Store],
    log: Callable[[str], None],
) -> None:
    """Decodes all files and stores them in a temporary sibling, which is renamed to `entry`.

    Args:
        make_store: called with the folder to write to, the files and how they are decoded.

    Raises:
        UserError: a film cannot be read any more, or the cache not be written.
    """
    building = entry.with_name(f"{entry.name}.building-{os.getpid()}")
    with _failing_clearly(entry.parent), _removed_on_failure(building):
        _remove_abandoned(entry)
        building.mkdir(parents=True)
        store = make_store(building, files, preprocessing)
        rejected: list[tuple[str, str]] = []
        began = told = 0.0
        with IndexWriter(building) as index:
            for done, (file, film) in enumerate(_decoded(root, files, preprocessing), start=1):
                if isinstance(film, str):
                    rejected.append((file.path, film))
                else:
                    store.add(film)
                    index.add(file, film)
                now = time.monotonic()
                began, told = began or now, told or now  # counted from the first film on
                if now - told > 2 or done == len(files):
                    told, rate = now, done / max(now - began, 1e-3)
                    left = (len(files) - done) / rate
                    log(
                        f"{store.verb} {done:,}/{len(files):,} films, {rate:,.0f} films/s, "
                        f"{left:.0f} s left"
                    )
        store.close()
        del store
        (building / REJECTED).write_text(json.dumps(rejected))
        checksums = {path.name: _checksum(path) for path in sorted(building.iterdir())}
        (building / _CHECKSUMS).write_text(json.dumps(checksums))
        for path in building.iterdir():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
        try:
            building.rename(entry)
        except OSError:  # another process was quicker; its entry has the same contents
            if not entry.is_dir():
                raise
            shutil.rmtree(building)


def is_whole(entry: Path) -> bool:
    """Whether an entry holds the files that were written and no other, with the same bytes.

    Every file has to be listed, so that an empty list of checksums does not pass for a whole entry.
    117 MB take a twentieth of a second. For shards only the sizes are compared here; their bytes
    are checked film by film as they are read.
    """
    try:
        checksums = json.loads((entry / _CHECKSUMS).read_text())
        found = [path for path in entry.iterdir() if path.name != _CHECKSUMS]
        return bool(found) and checksums == {path.name: _checksum(path) for path in found}
    except (OSError, ValueError, RecursionError):
        return False


def read_rejected(entry: Path) -> list[tuple[str, str]]:
    """Path and reason of each file that was no readable film."""
    return [(path, reason) for path, reason in json.loads((entry / REJECTED).read_text())]


def _checksum(path: Path) -> int:
    if ".array_record-" in path.name:
        return path.stat().st_size
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
    cores = os.cpu_count() or 1
    with FilmDecoder() as decoder:

        def read(group: list[FilmFile]) -> list[tuple[FilmFile, DecodedFilm | str]]:
            return _read_group(root, group, preprocessing, decoder)

        pool = ThreadPoolExecutor(cores)  # each thread waits for a child process that decodes
        waiting: deque[Future[list[tuple[FilmFile, DecodedFilm | str]]]] = deque()
        try:
            for group in _groups(files):  # never all at once: millions of films would wait
                waiting.append(pool.submit(read, group))
                if len(waiting) > _AHEAD * cores:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # a build that is stopped must not decode the rest


def _groups(files: Sequence[FilmFile]) -> Iterator[list[FilmFile]]:
    """Consecutive files for one call of a child process; small films need it for speed."""
    group: list[FilmFile] = []
    for file in files:
        group.append(file)
        if len(group) == _IN_A_CALL or sum(file.size for file in group) > _BYTES_IN_A_CALL:
            yield group
            group = []
    if group:
        yield group


def _read_group(
    root: Path, group: Sequence[FilmFile], preprocessing: Preprocessing, decoder: FilmDecoder
) -> list[tuple[FilmFile, DecodedFilm | str]]:
    contents = [_contents(root / file.path) for file in group]
    readable = [data for data in contents if isinstance(data, bytes)]
    films = iter(decoder.decode_for_training(readable, preprocessing))
    found: list[tuple[FilmFile, DecodedFilm | str]] = []
    for file, data in zip(group, contents, strict=True):
        film = next(films) if isinstance(data, bytes) else data
        if isinstance(film, FilmError):
            found.append((file, str(film)))
        elif isinstance(data, bytes):
            digest = hashlib.sha256(data).hexdigest()
            found.append((file, DecodedFilm(*film, data, digest)))
    return found


def _contents(path: Path) -> bytes | FilmError:
    """The bytes of a file that was listed a moment ago, or why they are not those of a film."""
    try:
        return read_bytes(path)
    except UnreadFile as error:
        # An entry without it would be trusted for ever.
        raise UserError(
            f"data.root: {str(path)!r} {error}; the folder changed or vanished "
            "while its films were decoded. Restore it and start again"
        ) from error
    except FilmError as error:
        return error


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
