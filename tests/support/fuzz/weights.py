"""The road of the fuzzer by which files of weights come in."""

import atexit
import functools
from pathlib import Path
from typing import Any

from pneumojax.errors import UserError
from pneumojax.weights import hdf5
from pneumojax.weights.torchvision_files import read_torchvision
from tests.support.fuzz import archives as fuzz_archives
from tests.support.fuzz.worker import ISOLATED, Road

LARGEST = 16 << 20  # bytes of arrays; 1 GB outside the fuzzer
_HDF5 = b"\x89HDF\r\n\x1a\n"


def opened(path: Path, largest: int = 0) -> str:
    """Reads a file of weights by its suffix, as training does; says of what format it is.

    Args:
        largest: bytes of arrays that are allowed; then HDF5 is read in this process, and not in a
            child process that would hide what it takes.

    Raises:
        UserError: it is refused.
    """
    if path.suffix == ".safetensors":
        read_torchvision(path)
    elif not hasattr(hdf5, "read_task"):  # versions that read HDF5 in their own process
        data = hdf5.weights_in(path) if path.suffix == ".keras" else path.read_bytes()
        hdf5.shapes_in(data, path)
    elif largest:
        hdf5.read_task({"largest": largest}, path.read_bytes())
    else:
        hdf5.read_arrays(path)
    return path.suffix


@functools.cache
def _workers() -> Any:
    """One child process for all inputs; a lost one is replaced."""
    from pneumojax.isolation import Limits, Workers

    limits = Limits(memory=2 << 30, cpu=2.0, wall=20.0)
    workers = Workers(1, limits, tasks=("hdf5",))
    atexit.register(workers.close)
    return workers


def _in_child(data: bytes) -> str:
    """How the task that reads HDF5 answers; what the child dies of, if it is lost."""
    from pneumojax.isolation import Refused, WorkerLost

    try:
        _workers().call("hdf5", {"largest": LARGEST}, data)
    except Refused as refusal:
        return f"refused: {str(refusal)[:40]}"
    except WorkerLost as lost:
        # A crash is what the child is for; time and memory have limits of their own in the code.
        assert "crashed" in str(lost), str(lost)
        return f"{ISOLATED}{lost}"
    return "read"


def read_weights(data: bytes, folder: Path) -> str:
    """How a file of weights is answered by whoever reads files of its kind."""
    name = "w.keras" if data.startswith(b"PK") else "w.h5" if data[:8] == _HDF5 else "w.safetensors"
    if name != "w.safetensors" and hasattr(hdf5, "read_task"):
        return _in_child(data)
    path = folder / name
    path.write_bytes(data)
    try:
        opened(path, LARGEST)
    except UserError as error:
        assert str(error).strip(), "a refusal without a reason"
        # The reason behind the name of the file, without what the file itself may say.
        return f"{name}: {str(error).replace(repr(str(path)), '')[:40]}"
    return f"{name}: read"


ROADS = {"archive": Road(read_weights, fuzz_archives.seeds, fuzz_archives.GENERATORS)}
