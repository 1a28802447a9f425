"""Generates files of weights: `.keras` archives, HDF5 files and safetensors files."""

import functools
import io
import json
import random
import struct
import warnings
import zipfile

import h5py
import numpy as np

_MEMBER = "model.weights.h5"
_LIES = (0, 1, 1000, 2**20, 2**31 - 1, 2**32 - 1)
BOMB = 300_000_000  # unpacked bytes of a member, above the memory limit of an input


@functools.cache
def hdf5(seed: int) -> bytes:
    """Makes a valid file of few arrays, or one that points elsewhere or needs much memory."""
    rng, stream = np.random.default_rng(seed), io.BytesIO()
    libver = ("earliest", "latest", "v108")[seed % 3]
    with h5py.File(stream, "w", libver=libver) as file:
        group = file.create_group("layers/conv2d/vars")
        group.create_dataset("0", data=rng.random((3, 3, 1, 2)).astype(np.float32))
        group.attrs["name"] = "conv2d"
        kind = seed // 3
        if kind == 1:
            group["link"] = h5py.SoftLink("/layers")
        elif kind == 2:
            group["link"] = h5py.ExternalLink("/etc/hostname", "/")
        elif kind == 3:
            group["again"] = file["layers"]
        elif kind == 4:
            group.create_dataset("big", (1 << 20, 1 << 20), np.float32, chunks=(1024, 1024))
        elif kind == 5:
            group.create_dataset("zeros", (BOMB,), "u1", compression="gzip", chunks=(1 << 16,))
        elif kind == 6:
            group.create_dataset("packed", data=np.zeros(40_000_000, "u1"), compression="gzip",
                                 chunks=(40_000_000,), shuffle=True)  # fmt: skip
        elif kind == 7:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
            group.create_virtual_dataset("virtual", layout)
        elif kind == 8:
            group.create_dataset("far", (4,), "f4", external=[("/etc/passwd", 0, 16)])
        elif kind == 9:
            group.create_dataset("text", data=["a", "b" * 900], dtype=h5py.string_dtype())
            group.create_dataset("half", data=np.zeros(3, np.float16))
            group.create_dataset("whole", data=np.zeros((), np.int64))
        elif kind == 10:
            for i in range(800):
                group.create_group(f"g{i}").attrs["x"] = i
        elif kind == 11:
            for _ in range(150):
                group = group.create_group("deeper")
        elif kind == 12:
            group.create_dataset(
                "lzf", data=np.zeros((100, 100)), compression="lzf", fletcher32=True
            )
            group.create_dataset("scale", data=np.arange(100), scaleoffset=3)
    return stream.getvalue()


KINDS = 13 * 3


def any_hdf5(rng: random.Random) -> bytes:
    """Changes a few bytes of a file, most often among its structures."""
    data = bytearray(hdf5(rng.randrange(KINDS)))
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randrange(min(len(data), rng.choice((64, 1024, 8192))))
        value = rng.choice((rng.randbytes(1), b"\xff" * 8, bytes(8), struct.pack("<Q", at)))
        data[at : at + len(value)] = value
    return bytes(data)


@functools.cache
def _packed(method: int, size: int) -> bytes:
    """Packs an archive of one member of zeros."""
    stream = io.BytesIO()
    # LZMA takes 8 s for the zeros that bzip2 packs in 3 s.
    size = min(size, 5_000_000) if method == zipfile.ZIP_LZMA else size
    writer = zipfile.ZipFile(stream, "w", method)
    with writer as archive, archive.open(_MEMBER, "w") as member:
        for at in range(0, size, 1 << 20):
            member.write(bytes(min(1 << 20, size - at)))
    return stream.getvalue()


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def bomb(rng: random.Random) -> bytes:
    """Makes a member that unpacks to much more than one or both of its headers say."""
    method = rng.choice(METHODS[1:])
    data = bytearray(_packed(method, rng.choice((BOMB, BOMB, 5_000_000))))
    said, central = rng.choice(_LIES), data.rfind(b"PK\x01\x02")
    if rng.random() < 0.7:
        struct.pack_into("<I", data, central + 24, said)
    if rng.random() < 0.5:
        struct.pack_into("<I", data, 22, said)
    return bytes(data)


def archive(rng: random.Random) -> bytes:
    """Makes an archive of arbitrary members, with some fields of its headers changed."""
    stream = io.BytesIO()
    names = (_MEMBER, _MEMBER, "config.json", "metadata.json", "../x", "/abs", "a" * 2000, "")
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as file:
        warnings.simplefilter("ignore")  # zipfile warns of a duplicate name
        for _ in range(rng.choice((1, 1, 2, 4))):
            content = any_hdf5(rng) if rng.random() < 0.8 else rng.randbytes(rng.randrange(200))
            info = zipfile.ZipInfo(rng.choice(names) if rng.random() < 0.3 else _MEMBER)
            with file.open(info, "w", force_zip64=rng.random() < 0.1) as member:
                member.write(content)
    data = bytearray(stream.getvalue())
    for _ in range(rng.choice((0, 0, 1, 2))):
        mark, fields = rng.choice(
            (
                (
                    b"PK\x01\x02",
                    ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (42, 4)),
                ),
                (
                    b"PK\x03\x04",
                    ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
                ),
                (b"PK\x05\x06", ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
            )
        )
        at, (offset, size) = data.rfind(mark), rng.choice(fields)
        value = rng.choice((*_LIES, 8, 12, 14, 99, 0x800)) % 256**size
        if at >= 0:
            data[at + offset : at + offset + size] = value.to_bytes(size, "little")
    return bytes(data)


def many_members(rng: random.Random) -> bytes:
    """Makes an archive whose directory repeats one name up to thousands of times."""
    count = rng.choice((2000, 20_000)) if rng.random() < 0.05 else rng.randrange(200)
    entry = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(_MEMBER), 0, 0, 0,
        0, 0, rng.choice((0, 2**31))
    ) + _MEMBER.encode()  # fmt: skip
    body = entry * count
    shown = min(count, 65_535)
    return body + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, shown, shown, len(body), 0, 0)


_TYPES = ("F32", "F16", "BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "C64", "X", "F4")


def safetensors(rng: random.Random) -> bytes:
    """Makes a header of arrays that overlap, have wrong sizes or unknown types."""
    arrays: dict[str, object] = {}
    at = 0
    for i in range(rng.choice((0, 1, 2, 5, 400))):
        shape = [rng.choice((0, 1, 2, 3)) for _ in range(rng.choice((0, 1, 2, 4)))]
        size = int(np.prod(shape)) * 4
        if rng.random() < 0.05:
            shape = [rng.choice((2**31, 2**63, -1))] * rng.choice((1, 4))
        name = rng.choice((f"layer{i}.weight", "fc.weight", "", "fc.num_batches_tracked"))
        offsets = [at, at + size] if rng.random() < 0.9 else [rng.choice(_LIES), rng.choice(_LIES)]
        arrays[name] = {"dtype": rng.choice(_TYPES if rng.random() < 0.2 else _TYPES[:1]),
                        "shape": shape, "data_offsets": offsets}  # fmt: skip
        at += size
    if rng.random() < 0.2:
        arrays["__metadata__"] = rng.choice(({"a": "b"}, {"a": 1}, [], "x" * 9000))
    header = json.dumps(arrays).encode()
    if rng.random() < 0.1:
        header = rng.choice(
            (b"[" * 50_000, b'{"a":' * 20_000, b"{}" + b" " * 2_000_000, b"\xff", b"")
        )
    size = rng.choice((len(header),) * 9 + (*_LIES[:2], 100_000_000, 2**63))
    return struct.pack("<Q", size) + header + bytes(at)


def seeds() -> list[bytes]:
    """Makes valid files of each kind."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(_MEMBER, hdf5(0))
    header = json.dumps(
        {"fc.bias": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ).encode()
    tensors = struct.pack("<Q", len(header)) + header + bytes(4)
    return [stream.getvalue(), hdf5(0), hdf5(1), hdf5(36), tensors]


GENERATORS = (any_hdf5, any_hdf5, archive, archive, bomb, many_members, safetensors)
