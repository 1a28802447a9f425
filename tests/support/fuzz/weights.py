"""The target "archive": files of weights."""

import atexit
import functools
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.isolation import Limits, Refused, WorkerLost, Workers
from pneumojax.weights import hdf5
from pneumojax.weights.torchvision_files import read_torchvision
from tests.support.fuzz import archives
from tests.support.fuzz.worker import ISOLATED, Target

LARGEST = 16 << 20  # bytes of arrays; the product allows 1 GB
_HDF5 = b"\x89HDF\r\n\x1a\n"


def opened(path: Path, largest: int = 0) -> str:
    """Reads a file of weights by its suffix, as training does, and returns the suffix.

    Args:
        largest: if given, the allowed bytes of arrays. HDF5 is then read in this process, where its
            memory can be measured, and not in a child process.

    Raises:
        UserError: the file is refused.
    """
    if path.suffix == ".safetensors":
        read_torchvision(path)
    elif largest:
        hdf5.read_task({"largest": largest}, path.read_bytes())
    else:
        hdf5.read_arrays(path)
    return path.suffix


@functools.cache
def _workers() -> Workers:
    """Starts one child process for all inputs; a lost child is replaced."""
    limits = Limits(memory=2 << 30, cpu=2.0, wall=20.0)
    workers = Workers(1, limits, tasks=("hdf5",))
    atexit.register(workers.close)
    return workers


def _in_child(data: bytes) -> str:
    """Reads HDF5 in the child process; a lost child is an answer of its own."""
    try:
        _workers().call("hdf5", {"largest": LARGEST}, data)
    except Refused as refusal:
        return f"refused: {str(refusal)[:40]}"
    except WorkerLost as lost:
        # The child contains crashes. Time and memory must stay within the reader's own limits.
        assert "crashed" in str(lost), str(lost)
        return f"{ISOLATED}{lost}"
    return "read"


def read_weights(data: bytes, folder: Path) -> str:
    """Reads a file of weights by the reader of its kind."""
    name = "w.keras" if data.startswith(b"PK") else "w.h5" if data[:8] == _HDF5 else "w.safetensors"
    if name != "w.safetensors":
        return _in_child(data)
    path = folder / name
    path.write_bytes(data)
    try:
        opened(path, LARGEST)
    except UserError as error:
        assert str(error).strip(), "a refusal without a reason"
        # The beginning of the reason, before it may quote the file.
        return f"{name}: {str(error).replace(repr(str(path)), '')[:40]}"
    return f"{name}: read"


TARGETS = {"archive": Target(read_weights, archives.seeds, archives.GENERATORS)}
