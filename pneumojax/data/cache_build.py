"""Decodes films into a new entry of the cache, which appears complete or not at all.

An entry is a folder: an index of the films (`index.py`), the list of rejected files, and a store of
the films themselves, decoded or as files.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pneumojax.data.dicom_metadata import HeaderCollector
from pneumojax.data.films import FilmFile, FilmFolder
from pneumojax.data.index import DecodedFilm, IndexWriter
from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError, UnfinishedDecoding, UnreadFile
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.files import failing_clearly
from pneumojax.isolation.films import FilmDecoder
from pneumojax.terminal import Progress, rate

IMAGES = "images.npy"
REJECTED = "rejected.json"
CHECKSUMS = "checksums.json"
_IN_A_CALL = 16  # films that a child process decodes in one call
_BYTES_IN_A_CALL = 1 << 20  # no film is added to a call that holds more
_AHEAD = 2  # calls for each thread that run before their films are stored


Answer = tuple[FilmFile, DecodedFilm | str]  # a file with its film, or the reason of its rejection


class Store(Protocol):
    """Takes the readable films of an entry, in order."""

    verb: str  # the action in the line of progress, such as "decoding"

    def add(self, film: DecodedFilm) -> None: ...
    def close(self) -> None: ...  # writes what is still in memory; no film follows


class PixelStore:
    """`images.npy`, uint8 (number of files, image_size, image_size), the readable films first."""

    verb = "decoding"

    def __init__(self, folder: Path, files: Sequence[FilmFile], preprocessing: Preprocessing):
        side = preprocessing.image_size
        self._images = np.lib.format.open_memmap(
            folder / IMAGES, "w+", np.uint8, (len(files), side, side)
        )
        # Without space reserved for it, writing to mapped memory on a full disk would be a SIGBUS.
        with open(folder / IMAGES, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.path.getsize(folder / IMAGES))
        self._films = 0

    def add(self, film: DecodedFilm) -> None:
        self._images[self._films] = film.pixels
        self._films += 1

    def close(self) -> None:
        self._images.flush()


@dataclass(frozen=True)
class Decoding:
    """How the films of an entry are decoded.

    decoder: the caller's own, which several entries share; None starts a child process for each
        core, for this entry alone.
    """

    preprocessing: Preprocessing
    decoder: FilmDecoder | None = None

    def started(self) -> contextlib.AbstractContextManager[FilmDecoder]:
        """The decoder. It is closed at the end of the block unless it is the caller's own."""
        return FilmDecoder() if self.decoder is None else contextlib.nullcontext(self.decoder)

    @property
    def threads(self) -> int:
        """The number of films that are decoded at the same time."""
        return (os.cpu_count() or 1) if self.decoder is None else self.decoder.processes


def build_entry(
    entry: Path,
    folder: FilmFolder,
    decoding: Decoding,
    make_store: Callable[[Path, Sequence[FilmFile], Preprocessing], Store],
    headers: HeaderCollector,
    log: Callable[[str], None],
) -> None:
    """Decodes all films into a temporary folder beside `entry`, which is then renamed to it.

    Raises UserError if a film cannot be read any more, or the cache cannot be written.
    """
    building = entry.with_name(f"{entry.name}.building-{os.getpid()}")
    with (
        failing_clearly(entry.parent, "cache_dir", "make room or name another folder"),
        contextlib.ExitStack() as cleanup,
    ):
        cleanup.callback(shutil.rmtree, building, ignore_errors=True)  # gone if it was renamed
        _remove_abandoned(entry)
        building.mkdir(parents=True)
        store = make_store(building, folder.files, decoding.preprocessing)
        rejected = _store_films(building, folder, decoding, store, headers, log)
        headers.write(building)
        store.close()
        del store
        (building / REJECTED).write_text(json.dumps(rejected))
        checksums = {path.name: checksum(path) for path in sorted(building.iterdir())}
        (building / CHECKSUMS).write_text(json.dumps(checksums))
        for path in building.iterdir():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
        try:
            building.rename(entry)
        except OSError:  # another process was quicker; its entry has the same contents
            if not entry.is_dir():
                raise


def checksum(path: Path) -> int:
    """CRC-32 of a file of an entry, or the size of a shard, since its films have digests."""
    if ".array_record-" in path.name:
        return path.stat().st_size
    total = 0
    with open(path, "rb") as stream:
        while block := stream.read(1 << 24):
            total = zlib.crc32(block, total)
    return total


def _store_films(
    building: Path,
    folder: FilmFolder,
    decoding: Decoding,
    store: Store,
    headers: HeaderCollector,
    log: Callable[[str], None],
) -> list[tuple[str, str]]:
    rejected: list[tuple[str, str]] = []
    progress = Progress(log, seconds=2)
    began, total = 0.0, len(folder.files)
    with IndexWriter(building) as index:
        for done, (file, film) in enumerate(_decoded(folder, decoding), start=1):
            if isinstance(film, str):
                rejected.append((file.path, film))
            else:
                store.add(film)
                index.add(file, film)
                headers.add(file.path, film.header)
            # The clock starts with the first film, so that starting the decoders does not count.
            began = began or time.monotonic()
            if progress.is_due() or done == total:
                progress.show(f"{store.verb} {rate(done, total, time.monotonic() - began)}")
    return rejected


def _decoded(folder: FilmFolder, decoding: Decoding) -> Iterator[Answer]:
    """Decodes the files in parallel, and answers in their order."""
    preprocessing, threads = decoding.preprocessing, decoding.threads
    with decoding.started() as decoder:
        pool = ThreadPoolExecutor(threads)  # each thread waits for a child process that decodes
        waiting: deque[Future[list[Answer]]] = deque()
        try:
            for group in _groups(folder.files):  # bounded: there may be millions of films
                waiting.append(pool.submit(_read_group, folder, group, preprocessing, decoder))
                if len(waiting) > _AHEAD * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # a build that is stopped must not decode the rest


def _groups(files: Sequence[FilmFile]) -> Iterator[list[FilmFile]]:
    """Consecutive files for one call of a child process: a call for each small film is slow."""
    group: list[FilmFile] = []
    for file in files:
        group.append(file)
        if len(group) == _IN_A_CALL or sum(file.size for file in group) > _BYTES_IN_A_CALL:
            yield group
            group = []
    if group:
        yield group


def _read_group(
    folder: FilmFolder,
    group: Sequence[FilmFile],
    preprocessing: Preprocessing,
    decoder: FilmDecoder,
) -> list[Answer]:
    contents = [_contents(folder, file) for file in group]
    readable = [data for data in contents if isinstance(data, bytes)]
    texts = folder.naming.dicom_metadata
    films = iter(decoder.decode_for_training(readable, preprocessing, texts))
    found: list[Answer] = []
    for file, data in zip(group, contents, strict=True):
        film = next(films) if isinstance(data, bytes) else data
        if isinstance(film, UnfinishedDecoding):
            # If this were stored as a rejection, every later run would leave the film out, although
            # only the machine was too busy.
            raise UserError(
                f"{folder.named_by}: {str(folder.root / file.path)!r} could not be decoded twice "
                f"({film}); start again when the machine is less busy, or remove the file"
            )
        if isinstance(film, FilmError):
            found.append((file, str(film)))
        elif isinstance(data, bytes):
            digest = hashlib.sha256(data).hexdigest()
            found.append(
                (file, DecodedFilm(film.pixels, film.width, film.height, data, digest, film.header))
            )
    return found


def _contents(folder: FilmFolder, file: FilmFile) -> bytes | FilmError:
    """The bytes of a file that was listed a moment ago, or why they are not those of a film."""
    path = folder.root / file.path
    try:
        return read_bytes(path)
    except UnreadFile as error:
        # An entry without the film would be trusted in every later run.
        raise UserError(
            f"{folder.named_by}: {str(path)!r} {error}; the folder changed or vanished "
            "while its films were decoded. Restore it and start again"
        ) from error
    except FilmError as error:
        return error


def _remove_abandoned(entry: Path) -> None:
    """Removes the half-built folders of processes that were killed."""
    for folder in entry.parent.glob(f"{entry.name}.building-*"):
        process = int(folder.name.rsplit("-", 1)[1])
        try:
            os.kill(process, 0)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
