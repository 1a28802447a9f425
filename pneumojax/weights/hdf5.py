"""Reads arrays from an untrusted HDF5 file, in a child process with limits.

HDF5 is C code that follows offsets and unpacks data as the file says. So this process never parses
the file: it sends the bytes to a child process, which answers with names and arrays.
"""

import io
import itertools
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.isolation import Limits, Refused, WorkerLost, Workers

LARGEST = 1 << 30  # bytes of all arrays; Inception-v3 takes 96 MB, or 290 with its optimizer
LIMITS = Limits(memory=4 << 30, cpu=60.0, wall=120.0)
MOST_OBJECTS = 20_000  # groups and data sets; a network with its optimizer has some 2,000
MOST_ARRAYS = 1_000  # arrays of a network that the child process returns; Inception-v3 has 378
_LONGEST_NAME = 500
_DEEPEST = 16  # levels of nested groups; a network inside a network has 6
_IN_ARCHIVE = "model.weights.h5"
_MOST_MEMBERS = 1_000
_PIECE = 1 << 20
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError),
    *(RuntimeError, OverflowError),  # for encrypted members and absurd sizes
)
# HDF5 brings these filters along; it would load the code of others from elsewhere on the disk.
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """All arrays of floating-point numbers in an HDF5 file, or in a `.keras` archive.

    The contents decide which of the two it is, since older versions of Keras write HDF5 under
    either name. Optimizers' arrays and scalars are left out.

    Returns:
        Float32 arrays by their path inside the file, such as "layers/conv2d/vars/0".

    Raises:
        UserError: the file is damaged or too large, points outside of itself, or holds something
            other than arrays of numbers.
    """
    if (size := path.stat().st_size) > LARGEST:
        raise UserError(f"{str(path)!r} has {size:,} bytes: too large")
    try:
        with Workers(1, LIMITS) as workers:
            values, arrays = workers.call("hdf5", {"largest": LARGEST}, path.read_bytes())
    except Refused as refusal:
        raise UserError(f"{str(path)!r} {refusal}") from None
    except WorkerLost as lost:
        raise UserError(
            f"{str(path)!r} cannot be read, {lost}: the file is damaged, or was made to do harm"
        ) from lost
    # A file may have taken over the child, so its answer is not trusted either.
    names = values.get("names")
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or not len({*names}) == len(names) == len(arrays)
        or any(array.dtype != np.float32 for array in arrays)
    ):
        raise UserError(f"{str(path)!r} cannot be read: the answer about it makes no sense")
    return dict(zip(names, arrays, strict=True))


def read_task(arguments: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[NDArray]]:
    """The task "hdf5" of the child process; see `read_arrays`.

    Messages of errors continue a sentence that begins with the file.
    """
    largest = arguments["largest"]
    if data.startswith(b"PK"):
        data = _unpacked(data, largest)
    try:
        with h5py.File(io.BytesIO(data)) as file:
            found = list(_datasets(file))
            _check_amount(found, largest)
            wanted = [(name, item) for name, item in found if _is_wanted(name, item)]
            if len(wanted) > MOST_ARRAYS:
                raise UserError(f"holds {len(wanted):,} arrays; Inception-v3 has 376 to 378")
            arrays = [_as_float32(item) for _, item in wanted]
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes HDF5 raise nearly any exception
        raise UserError(f"cannot be read as HDF5: {error}") from error
    return {"names": [name for name, _ in wanted]}, arrays


def _unpacked(data: bytes, largest: int) -> bytes:
    """The HDF5 file in a `.keras` archive; the description of the network there is never read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise UserError(f"is no file of Keras's: it has {len(members):,} members")
            named = [member for member in members if member.filename == _IN_ARCHIVE]
            if len(named) != 1:
                raise UserError(
                    f"is no file of Keras's: it has {len(named)} members {_IN_ARCHIVE!r}, not one"
                )
            return _member(archive, named[0], largest)
    except _ZIP_ERRORS as error:
        raise UserError(f"is no file of Keras's: {error}") from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, largest: int) -> bytes:
    """The contents of a member; at most `largest` bytes are ever unpacked.

    Bzip2 and LZMA are refused: `zipfile` unpacks everything that a few packed bytes expand to at
    once, whatever size the archive declares. It unpacks deflate piece by piece.
    """
    if member.flag_bits & 1:
        raise UserError("is no file of Keras's: it is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            "is no file of Keras's: its weights are packed in another way than stored or deflated"
        )
    if member.file_size > largest:
        raise UserError(f"unpacks to {member.file_size:,} bytes: too large")
    pieces: list[bytes] = []
    with archive.open(member) as stream:
        while piece := stream.read(_PIECE):
            pieces.append(piece)
            if len(pieces) * _PIECE > largest + _PIECE:
                raise UserError(f"unpacks to more than {largest:,} bytes: too large")
    return b"".join(pieces)


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """All data sets with their paths. An object with several names is visited under one only."""
    seen: set[bytes] = set()
    left: list[tuple[str, h5py.Group]] = [("", file)]
    count = itertools.count(1)
    while left:
        path, group = left.pop()
        for name in group:
            if next(count) > MOST_OBJECTS:
                raise UserError(f"holds more than {MOST_OBJECTS:,} objects")
            full = f"{path}/{name}".lstrip("/")
            if len(full) > _LONGEST_NAME or full.count("/") > _DEEPEST:
                raise UserError(f"nests groups too deeply at {full[:60]!r}")
            # Other kinds of links may lead to any file that this user can read.
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UserError(f"holds links to elsewhere in {path or '/'!r}")
            item = group[name]
            # Groups that contain themselves would lead to an endless loop.
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                left.append((full, item))
            else:
                yield full, _checked(full, item)


def _checked(name: str, item: Any) -> h5py.Dataset:
    """Refuses all but a data set whose numbers lie in this file and need no foreign filter."""
    if not isinstance(item, h5py.Dataset):
        raise UserError(f"holds something other than arrays and groups: {name!r}")
    if item.external or item.is_virtual:
        raise UserError(f"cannot be read: {name!r} lies in another file")
    if item.shape is None or item.dtype.subdtype or item.dtype.kind not in "fiub":
        raise UserError(f"cannot be read: {name!r} is no array of numbers")
    layout = item.id.get_create_plist()
    filters = [layout.get_filter(index)[0] for index in range(layout.get_nfilters())]
    if not _FILTERS.issuperset(filters) or len({*filters}) < len(filters):
        raise UserError(f"cannot be read: {name!r} is packed by filters that are not allowed")
    return item


def _check_amount(found: list[tuple[str, h5py.Dataset]], largest: int) -> None:
    """Refuses large arrays by their declared sizes, before any memory is allocated for them."""
    total = 0
    for name, item in found:
        chunk = math.prod(item.chunks or (0,)) * item.dtype.itemsize
        total += item.dtype.itemsize * math.prod(item.shape)
        # HDF5 unpacks chunks as a whole, and a chunk may be larger than its data set.
        if total > largest or chunk > largest:
            raise UserError(f"holds more than {largest:,} bytes of arrays at {name!r}: too large")


def _is_wanted(name: str, item: h5py.Dataset) -> bool:
    """Whether an array may belong to the network. Counters and seeds are integers or scalars."""
    return item.dtype.kind == "f" and item.ndim > 0 and not name.startswith("optimizer")


def _as_float32(item: h5py.Dataset) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # `check_values` refuses what overflows to infinity
        return np.ascontiguousarray(item[()], np.float32)
