"""Malicious weight files take bounded memory and are refused in one line."""

import io
import json
import resource
import struct
import zipfile

import h5py
import numpy as np
import pytest

from pneumojax.errors import UserError
from pneumojax.training.warm_start import read_source
from pneumojax.weights import hdf5
from pneumojax.weights.hdf5 import read_task

MEMBER = "model.weights.h5"


def refused(path, data, told):
    path.write_bytes(data)
    with pytest.raises(UserError, match=told) as refusal:
        read_source(path)
    assert repr(str(path)) in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def zipped(data, method, declared=None, flags=0):
    """An archive of one member, whose header may declare another size than it unpacks to."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(MEMBER, data)
    packed = bytearray(stream.getvalue())
    central = packed.rindex(b"PK\x01\x02")
    for begin, size_at, flags_at in ((0, 22, 6), (central, 24, 8)):
        if declared is not None:
            struct.pack_into("<I", packed, begin + size_at, declared)
        packed[begin + flags_at] |= flags
    return bytes(packed)


def peak_megabytes():
    """The most memory of any child process that has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_can_only_be_unpacked_as_a_whole_are_refused(tmp_path, method):
    bomb = zipped(bytes(1 << 26), method, declared=1000)
    assert len(bomb) < 20_000
    refused(tmp_path / "w.keras", bomb, "packed in another way than stored or deflated")


def test_a_deflated_member_that_declares_too_little_is_not_unpacked(tmp_path):
    bomb = zipped(bytes(1 << 28), zipfile.ZIP_DEFLATED, declared=1000)
    before = peak_megabytes()
    refused(tmp_path / "w.keras", bomb, "is no file of Keras's: .*CRC")
    # A child process takes some 100 MB with its libraries; the member would take 256 MB more.
    assert peak_megabytes() <= max(before, 250)


def test_encrypted_doubled_and_absent_members_are_refused(tmp_path):
    path = tmp_path / "w.keras"
    refused(path, zipped(b"x", zipfile.ZIP_STORED, flags=1), "it is encrypted")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(MEMBER, b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(MEMBER, b"y")
    refused(path, stream.getvalue(), "has 2 members")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(hdf5._MOST_MEMBERS + 1):
            archive.writestr(str(number), b"")
    refused(path, stream.getvalue(), "it has 1,001 members")
    refused(path, zipped(zipped(b"x", zipfile.ZIP_STORED), zipfile.ZIP_STORED), "read as HDF5")


def written(write):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        write(file)
    return stream.getvalue()


def cyclic(file):
    file.create_group("layers/a")
    file["layers/a/again"] = file["layers"]


def deep(file):
    file.create_group("/".join("a" * 40))


def many(file):
    for number in range(hdf5.MOST_OBJECTS + 1):
        file.create_group(str(number))


def large_chunk(file):
    file.create_dataset("w", (1,), "f4", chunks=(1 << 29,), maxshape=(None,), compression="gzip")


@pytest.mark.parametrize(
    "write, told",
    [
        (cyclic, "holds 0 arrays; Inception-v3 has 376"),
        (deep, "nests groups too deeply"),
        (many, "holds more than 20,000 objects"),
        (large_chunk, "too large"),
        (lambda f: f.create_dataset("w", (9,), "f4", chunks=True, compression="lzf"), "filters"),
        (lambda f: f.create_dataset("w", (9,), "f4", chunks=True, scaleoffset=2), "filters"),
        (lambda f: f.__setitem__("t", np.dtype("f4")), "other than arrays and groups"),
        (lambda f: f.__setitem__("w", h5py.Empty("f4")), "'w' is no array of numbers"),
    ],
)
def test_odd_hdf5_is_refused_in_one_line(tmp_path, write, told):
    refused(tmp_path / "w.h5", written(write), told)


def test_a_child_that_takes_too_long_or_too_much_memory_is_one_line(tmp_path, monkeypatch):
    """The limits apply to the child process, and not to this one."""
    data = written(lambda f: f.create_dataset("a/w", (1 << 26,), "f4", chunks=True))
    monkeypatch.setattr(hdf5, "LIMITS", hdf5.LIMITS._replace(wall=0.0))
    refused(tmp_path / "w.h5", data, "cannot be read, its decoder took longer than 0 s")
    monkeypatch.setattr(hdf5, "LIMITS", hdf5.LIMITS._replace(wall=60.0, memory=600 << 20))
    data = written(lambda f: f.create_dataset("a/w", (1 << 27,), "f4", chunks=True))
    refused(tmp_path / "w.h5", data, "it needs more memory than a file may take")


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def of_torchvision(dtype="F32", bits=b"\0\0\0\x3f", shape=None, name=None):
    """All arrays of torchvision's network, each element of which is the given bytes."""
    from pneumojax.weights.shapes import expected_shapes
    from pneumojax.weights.torchvision_files import _names

    header, begin = {}, 0
    shapes = expected_shapes({}, auxiliary=False, norm_scale=True)
    for place, theirs in _names(False):
        ours = shapes[place]
        turned = (ours[3], ours[2], *ours[:2]) if len(ours) == 4 else ours[::-1]
        turned = shape if shape and theirs == name else turned
        end = begin + len(bits) * int(np.prod(turned))
        header[theirs] = {"dtype": dtype, "shape": list(turned), "data_offsets": [begin, end]}
        begin = end
    return safetensors(header, bits * (begin // len(bits)))


@pytest.mark.parametrize(
    "dtype, bits", [("F32", b"\0\0\0\x3f"), ("BF16", b"\0\x3f"), ("F16", b"\0\x38")]
)
def test_numbers_of_torchvision_come_over_from_any_width(tmp_path, dtype, bits):
    path = tmp_path / "w.safetensors"
    path.write_bytes(of_torchvision(dtype, bits))
    arrays = read_source(path).arrays
    assert len(arrays) == 94 * 5 + 2
    assert all((array == 0.5).all() and array.dtype == np.float32 for array in arrays.values())


@pytest.mark.slow
def test_safetensors_that_are_not_of_the_network_are_refused_in_one_line(tmp_path):
    path = tmp_path / "w.safetensors"
    refused(path, of_torchvision("F8_E4M3", b"\x38"), "as F8_E4M3; save it as F32")
    refused(path, of_torchvision("I32", b"\0\0\0\0"), "as I32; save it as F32")
    refused(path, of_torchvision(bits=b"\0\0\xc0\x7f"), "values that are not finite")
    refused(path, of_torchvision(bits=b"\0\0\x80\xbf"), "variances below 0")
    refused(path, of_torchvision(shape=(1000, 9), name="fc.weight"), r"shape \(9, 1000\)")
    refused(path, of_torchvision()[:-4], "cannot be read as safetensors")
    twice = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
    twice += b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    for data in (
        *(b"", b"{}", struct.pack("<Q", 1 << 60) + b"{}", safetensors(b"[" * 100_000)),
        *(safetensors(twice, bytes(8)), safetensors({"a\nb": {"dtype": "F99"}})),
    ):
        refused(path, data, "cannot be read as safetensors")


def test_a_large_array_is_refused_by_what_it_declares():
    """The task runs in this process, so that no limit of a child process can help."""
    data = written(lambda f: f.create_dataset("a/w", (1 << 40,), "f4", chunks=True))
    with pytest.raises(UserError, match="too large"):
        read_task({"largest": hdf5.LARGEST}, data)
