"""The road of the fuzzer by which files of weights come in."""

from pathlib import Path

from benchmarks import fuzz_archives
from benchmarks.fuzz_worker import Road
from pneumojax.errors import UserError
from pneumojax.weights import hdf5
from pneumojax.weights.torchvision_files import read_torchvision

_HDF5 = b"\x89HDF\r\n\x1a\n"


def opened(path: Path) -> str:
    """Reads a file of weights by its suffix; says of what format it is.

    Raises:
        UserError: it is refused.
    """
    if path.suffix == ".safetensors":
        read_torchvision(path)
    else:
        data = hdf5.weights_in(path) if path.suffix == ".keras" else path.read_bytes()
        hdf5.shapes_in(data, path)
    return path.suffix


def read_weights(data: bytes, folder: Path) -> str:
    """How a file of weights is answered by whoever reads files of its kind."""
    name = "w.keras" if data.startswith(b"PK") else "w.h5" if data[:8] == _HDF5 else "w.safetensors"
    path = folder / name
    path.write_bytes(data)
    try:
        opened(path)
    except UserError as error:
        assert str(error).strip() and "\n" not in str(error), str(error)
        # The reason behind the name of the file, without what the file itself may say.
        return f"{name}: {str(error).partition(repr(str(path)))[2][:40]}"
    return f"{name}: read"


ROADS = {"archive": Road(read_weights, fuzz_archives.seeds, fuzz_archives.GENERATORS)}
