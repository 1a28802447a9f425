"""Looks through a stranger's HDF5 file before anything reads arrays from it."""

import io
import lzma
import zipfile
import zlib
from pathlib import Path

import h5py

from pneumojax.errors import UserError

LARGEST = 1 << 30  # bytes of all arrays; Inception-v3's are 96 MB, with an optimizer's 290
_IN_ARCHIVE = "model.weights.h5"
# What zipfile raises of a damaged archive, by the way that it is packed.
_DAMAGED = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def weights_in(path: Path) -> bytes:
    """The HDF5 file in a `.keras` archive; the description of its network is left unread.

    Raises:
        UserError: it is no such archive, or unpacks to more than `LARGEST`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(_IN_ARCHIVE).file_size
            if size > LARGEST:
                raise UserError(f"{str(path)!r} unpacks to {size:,} bytes: too large")
            return archive.read(_IN_ARCHIVE)
    except (KeyError, RuntimeError, *_DAMAGED) as error:  # not in there, or encrypted
        raise UserError(f"{str(path)!r} is no file of Keras's: {error}") from error


def shapes_in(data: bytes, path: Path) -> list[tuple[int, ...]]:
    """Shapes of a network's arrays, an optimizer's left out.

    Raises:
        UserError: it cannot be read, points out of itself, or holds what is no array of numbers,
            or more than `LARGEST` bytes of them.
    """
    shapes: list[tuple[int, ...]] = []
    total = 0

    def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
        nonlocal total
        if isinstance(item, h5py.Group):
            # A link may lead into any file that this user may read.
            if any(not isinstance(item.get(n, getlink=True), h5py.HardLink) for n in item):
                raise UserError(f"{str(path)!r} holds links to elsewhere in {name!r}")
            return
        if item.external or item.is_virtual:
            raise UserError(f"{str(path)!r}: {name!r} lies in another file")
        if item.dtype.kind not in "fiub":
            raise UserError(f"{str(path)!r}: {name!r} is no array of numbers")
        total += item.nbytes
        if total > LARGEST:
            raise UserError(f"{str(path)!r} holds more than {LARGEST:,} bytes of arrays: too large")
        if not name.startswith("optimizer"):
            shapes.append(item.shape)

    try:
        with h5py.File(io.BytesIO(data)) as file:
            look("/", file)
            file.visititems(look)
    except UserError:
        raise
    except Exception as error:  # damaged files make HDF5 raise nearly anything
        raise UserError(f"{str(path)!r} cannot be read as HDF5: {error}") from error
    return shapes
