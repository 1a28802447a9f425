"""Makes the small files of `bombs.py`, which ask for much memory or time."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import h5py
import imagecodecs
import numpy as np
from PIL import Image


def zeros(count: int, wbits: int = 15) -> bytes:
    """Deflates `count` zero bytes by repeating one compressed megabyte."""
    deflate = zlib.compressobj(9, wbits=-15)
    once = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    deflate = zlib.compressobj(9, wbits=-15)
    raw = once * (count >> 20) + deflate.compress(bytes(count % (1 << 20))) + deflate.flush()
    if wbits < 0:
        return raw
    return b"\x78\xda" + raw + struct.pack(">HH", count % 65_521, 1)  # the zeros' Adler-32


def png(width: int, height: int, colour: int, pixels: bytes, more: bytes = b"") -> bytes:
    """Writes a PNG of 8 bits; colour 0 is grey, colour 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def chunk(kind: bytes, data: bytes) -> bytes:
    """Writes a PNG chunk with its checksum."""
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def small_png(more: bytes) -> bytes:
    """Writes a PNG of 64 x 64 pixels with additional chunks."""
    return png(64, 64, 0, zeros(65 * 64), more)


def shared_exif(tags: int, size: int) -> bytes:
    """Makes EXIF whose tags all point to the same value."""
    end = 8 + 2 + 12 * tags + 4
    entries = b"".join(struct.pack("<HHII", 0x9000 + i, 7, size, end) for i in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4 + size)


def jpeg_of_exif() -> bytes:
    """Makes a JPEG with such EXIF, split over many segments."""
    exif = shared_exif(5000, 400_000)
    parts = (exif[at : at + 65_000] for at in range(0, len(exif), 65_000))
    segments = (struct.pack(">HH", 0xFFE1, len(p) + 8) + b"Exif\0\0" + p for p in parts)
    jpeg = saved("JPEG", 64)
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def jpeg_scans(side: int, scans: int) -> bytes:
    """Makes a progressive JPEG whose many scans change nothing."""
    jpeg = saved("JPEG", side, progressive=True)
    first = jpeg.index(b"\xff\xda")
    rest = min(at for at in (jpeg.find(m, first + 2) for m in (b"\xff\xc4", b"\xff\xda")) if at > 0)
    # The table has a single code, 0, which skips 2 ** 14 blocks plus the number in 14 more bits.
    table = b"\xff\xc4" + struct.pack(">HB", 20, 0x10) + bytes([1] + [0] * 15) + b"\xe0"
    runs = -(-(((side + 7) // 8) ** 2) // (2**15 - 1))
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 0) + body
    return jpeg[:rest] + table + scan * scans + b"\xff\xd9"


def saved(kind: str, side: int, **options: Any) -> bytes:
    """Saves a black picture by Pillow."""
    stream = io.BytesIO()
    Image.new("L" if kind == "JPEG" else "RGB", (side, side)).save(stream, kind, **options)
    return stream.getvalue()


def tiff(tags: dict[int, tuple[int, int, int]], body: bytes = b"", more: int = 0) -> bytes:
    """Writes a TIFF of one directory, followed by `more` copies of it.

    Args:
        tags: tag -> (type, count, value); a negative value is an offset in `body`.
    """
    size = 2 + 12 * len(tags) + 4
    begin = 8 + size * (1 + more)
    entries = b"".join(
        struct.pack("<HHII", tag, kind, count, begin + ~value if value < 0 else value)
        for tag, (kind, count, value) in sorted(tags.items())
    )
    directories = (
        struct.pack("<H", len(tags)) + entries + struct.pack("<I", 8 + size * i if i <= more else 0)
        for i in range(1, more + 2)
    )
    return b"II*\0" + struct.pack("<I", 8) + b"".join(directories) + body


def grey(side: int, compression: int = 1) -> dict[int, tuple[int, int, int]]:
    """Returns the TIFF tags of a grey picture of one strip."""
    values = {256: side, 257: side, 258: 8, 259: compression, 262: 1, 277: 1, 278: side}
    tags = {tag: (4, 1, value) for tag, value in values.items()}
    return tags | {273: (4, 1, -1), 279: (4, 1, min(side * side, 4096))}


def tiled() -> bytes:
    """Makes a small TIFF whose tiles take 2 GB."""
    body = zeros(1 << 31)
    tags = {tag: value for tag, value in grey(64, 8).items() if tag not in (273, 278, 279)}
    tags |= {322: (4, 1, 1 << 16), 323: (4, 1, 1 << 15), 324: (4, 1, -1), 325: (4, 1, len(body))}
    return tiff(tags, body)


def webp(side: int) -> bytes:
    """Makes a WebP whose canvas is larger than its frame."""
    frame = saved("WEBP", 64, lossless=True)[12:]
    canvas = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + canvas + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def dicom(side: int, pixels: bytes, syntax: str = "", **elements: Any) -> bytes:
    """Writes a DICOM file of 8 bits; `syntax` is a name in `pydicom.uid`."""
    import pydicom
    from pydicom import uid
    from pydicom.encaps import encapsulate

    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = getattr(uid, syntax or "ExplicitVRLittleEndian")
    data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2"
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    encapsulated = data.file_meta.TransferSyntaxUID.is_encapsulated
    data.PixelData = encapsulate([pixels]) if encapsulated else pixels
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = encapsulated
    for name, value in elements.items():
        setattr(data, name, value)
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def deflated(change: str = "") -> bytes:
    """Makes a deflated DICOM of 2 GB in 2 MB, whose header may hide that it is deflated."""
    head = dicom(64, bytes(4096), "DeflatedExplicitVRLittleEndian")
    head = head[: 144 + int.from_bytes(head[140:144], "little")]
    whole = head + zeros(1 << 31, wbits=-15)
    if change == "zero length":
        return whole[:140] + bytes(4) + whole[144:]
    if change == "long length":
        return whole[:140] + struct.pack("<I", len(whole) - 144) + whole[144:] + zeros(99, -15)
    return whole[132:] if change == "no preamble" else whole


def codestream(side: int, precinct: int = 15, tile: int = 0, layers: int = 1) -> bytes:
    """Makes a JPEG 2000 codestream without pixels; precincts have sides of 2 ** `precinct`."""
    tile, levels = tile or side, 5
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, 1) + b"\x07\1\1"
    coding = struct.pack(">BBHBBBBBB", 1, 0, layers, 0, levels, 4, 4, 0, 1)
    coding += bytes([precinct * 17] * (levels + 1))
    steps = bytes([0x40] + [64] * (1 + 3 * levels))
    parts = ((0x51, size), (0x52, coding), (0x5C, steps))
    head = b"".join(struct.pack(">HH", 0xFF00 | m, len(p) + 2) + p for m, p in parts)
    body = b"\xff\x93" + bytes(16)
    return (
        b"\xff\x4f"
        + head
        + struct.pack(">HHHIBB", 0xFF90, 10, 0, 12 + len(body), 0, 1)
        + body
        + (b"\xff\xd9")
    )


def foreign(syntax: str) -> bytes:
    """Makes a DICOM whose header says 64 x 64 pixels and whose codestream has 16,000 x 16,000."""
    pixels = np.zeros((16_000, 16_000), np.uint8)
    encode: dict[str, Callable[[Any], bytes]] = {
        "JPEGBaseline8Bit": imagecodecs.jpeg8_encode,
        "JPEGLosslessSV1": lambda a: imagecodecs.jpeg8_encode(a, lossless=True),
        "JPEGLSLossless": imagecodecs.jpegls_encode,
        "JPEG2000Lossless": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k"),
    }
    return dicom(64, encode[syntax](pixels), syntax)


def nested() -> bytes:
    """Makes a DICOM of sequences 200,000 deep."""
    plain = dicom(64, bytes(4096))
    deeper = bytes.fromhex("08001511 53510000 ffffffff feff00e0 ffffffff")
    return plain[: 144 + int.from_bytes(plain[140:144], "little")] + deeper * 200_000


def jpeg_flood(marker: int, size: int) -> bytes:
    """Makes a JPEG with `size` bytes of empty segments."""
    jpeg = saved("JPEG", 64)
    return jpeg[:2] + bytes((0xFF, marker, 0, 2)) * (size // 4) + jpeg[2:]


def lossless_jpeg(*channels: int) -> bytes:
    """Makes a lossless JPEG (SOF3), on which Pillow's reduced decoding overruns a row buffer."""
    return imagecodecs.jpeg8_encode(np.full((224, 224, *channels), 65, np.uint8), lossless=True)


def several(kind: str) -> bytes:
    """Makes a JPEG (MPO) or PNG (APNG) of two pictures."""
    stream = io.BytesIO()
    pictures = [Image.new("L", (64, 64), value) for value in (60, 200)]
    pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:])
    return stream.getvalue()


def item_flood(size: int) -> bytes:
    """Makes a DICOM whose sequence has `size` bytes of empty items."""
    plain = dicom(64, bytes(4096))
    at = 144 + int.from_bytes(plain[140:144], "little")
    sequence = bytes.fromhex("08001511 53510000 ffffffff") + bytes.fromhex("feff00e0 00000000") * (
        size // 8
    )
    return plain[:at] + sequence + bytes.fromhex("feffdde0 00000000") + plain[at:]


def endless_tile_part() -> bytes:
    """Makes a JPEG 2000 whose tile part claims to end with its own header."""
    whole = codestream(64)
    at = whole.index(b"\xff\x90") + 6
    return dicom(64, whole[:at] + struct.pack(">I", 12) + whole[at + 4 :], "JPEG2000Lossless")


def keras_archive(method: int, size: int, said: int) -> bytes:
    """Makes an archive whose member unpacks to `size` zeros and claims `said` bytes."""
    stream, name = io.BytesIO(), "model.weights.h5"
    with zipfile.ZipFile(stream, "w", method) as archive, archive.open(name, "w") as member:
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    data = bytearray(stream.getvalue())
    struct.pack_into("<I", data, data.rfind(b"PK\x01\x02") + 24, said)
    return bytes(data)


def packed_hdf5(side: int, chunk: int) -> bytes:
    """Makes an HDF5 file of one compressed array of zeros."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        array = file.create_dataset(
            "a", (side, side), "f4", compression="gzip", chunks=(chunk, chunk)
        )
        array[:chunk, :chunk] = 0
    return stream.getvalue()


def safetensors_header(depth: int) -> bytes:
    """Makes a safetensors header of nested lists."""
    header = b'{"a":' + b"[" * depth
    return struct.pack("<Q", len(header)) + header


def safetensors_arrays(count: int) -> bytes:
    """Makes a safetensors header of `count` empty arrays."""
    array = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({str(i): array for i in range(count)}).encode()
    return struct.pack("<Q", len(header)) + header
