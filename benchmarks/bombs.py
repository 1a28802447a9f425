"""Small files that ask for much memory or time, and what reading each takes.

Command:   python benchmarks/bombs.py --write=docs/reliability/bombs.json
Each is read as prediction reads it, in a process of its own: what it is answered, by how much the
process grew (the kernel's high-water mark, VmHWM) and how long it took. A file is "read" where what
is dangerous in it is left aside; sizes that are allowed are measured at the largest.
"""

import argparse
import io
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pneumojax.files import write_json  # noqa: E402

SECONDS = 120
_READ = """
import json, sys, time
from pathlib import Path
import pneumojax.data.dicom
from pneumojax.data.decoding import FilmError, Preprocessing
from pneumojax.data.formats import decode_any
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    before, began = most(), time.perf_counter()
    try:
        film = decode_any(data, Preprocessing(150, reduced_decode=True))
        answer = f"read: {film.width} x {film.height}"
    except FilmError as error:
        answer = f"refused: {error}"
    print(json.dumps({"answer": answer, "grew_by_mb": most() - before,
                      "seconds": round(time.perf_counter() - began, 2)}), flush=True)
"""


def zeros(count: int, wbits: int = 15) -> bytes:
    """So many zero bytes, deflated: one megabyte's worth again and again."""
    deflate = zlib.compressobj(9, wbits=-15)
    once = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    deflate = zlib.compressobj(9, wbits=-15)
    raw = once * (count >> 20) + deflate.compress(bytes(count % (1 << 20))) + deflate.flush()
    if wbits < 0:
        return raw
    return b"\x78\xda" + raw + struct.pack(">HH", count % 65_521, 1)  # the zeros' Adler-32


def png(width: int, height: int, colour: int, pixels: bytes, more: bytes = b"") -> bytes:
    """Of 8 bits; colour 0 is grey, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = _chunk(b"IHDR", header) + more + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def small_png(more: bytes) -> bytes:
    """Of 64 pixels a side, with more chunks."""
    return png(64, 64, 0, zeros(65 * 64), more)


def shared_exif(tags: int, size: int) -> bytes:
    """EXIF whose tags all have one and the same place for their value."""
    end = 8 + 2 + 12 * tags + 4
    entries = b"".join(struct.pack("<HHII", 0x9000 + i, 7, size, end) for i in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4 + size)


def jpeg_of_exif() -> bytes:
    """Of a JPEG, in as many segments as it takes."""
    exif = shared_exif(5000, 400_000)
    parts = (exif[at : at + 65_000] for at in range(0, len(exif), 65_000))
    segments = (struct.pack(">HH", 0xFFE1, len(p) + 8) + b"Exif\0\0" + p for p in parts)
    jpeg = _saved("JPEG", 64)
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def jpeg_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG that goes over its film again and again, each time without a change."""
    jpeg = _saved("JPEG", side, progressive=True)
    first = jpeg.index(b"\xff\xda")
    rest = min(at for at in (jpeg.find(m, first + 2) for m in (b"\xff\xc4", b"\xff\xda")) if at > 0)
    # One code, 0: a run of 2 ** 14 blocks and 14 bits more that change nothing.
    table = b"\xff\xc4" + struct.pack(">HB", 20, 0x10) + bytes([1] + [0] * 15) + b"\xe0"
    runs = -(-(((side + 7) // 8) ** 2) // (2**15 - 1))
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 0) + body
    return jpeg[:rest] + table + scan * scans + b"\xff\xd9"


def _saved(kind: str, side: int, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("L" if kind == "JPEG" else "RGB", (side, side)).save(stream, kind, **options)
    return stream.getvalue()


def tiff(tags: dict[int, tuple[int, int, int]], body: bytes = b"", more: int = 0) -> bytes:
    """One directory; tag -> (type, count, value), where a negative value is a place in `body`.

    `more` further directories like it lie behind it.
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


def _grey(side: int, compression: int = 1) -> dict[int, tuple[int, int, int]]:
    values = {256: side, 257: side, 258: 8, 259: compression, 262: 1, 277: 1, 278: side}
    tags = {tag: (4, 1, value) for tag, value in values.items()}
    return tags | {273: (4, 1, -1), 279: (4, 1, min(side * side, 4096))}


def _tiled() -> bytes:
    body = zeros(1 << 31)
    tags = {tag: value for tag, value in _grey(64, 8).items() if tag not in (273, 278, 279)}
    tags |= {322: (4, 1, 1 << 16), 323: (4, 1, 1 << 15), 324: (4, 1, -1), 325: (4, 1, len(body))}
    return tiff(tags, body)


def _webp(side: int) -> bytes:
    frame = _saved("WEBP", 64, lossless=True)[12:]
    canvas = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + canvas + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def dicom(side: int, pixels: bytes, syntax: str = "", **elements: Any) -> bytes:
    """Of 8 bits; uncompressed, or by the name of a transfer syntax in pydicom."""
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
    """Two gigabytes in 2 MB; with a head by which one might miss that it is deflated."""
    head = dicom(64, bytes(4096), "DeflatedExplicitVRLittleEndian")
    head = head[: 144 + int.from_bytes(head[140:144], "little")]
    whole = head + zeros(1 << 31, wbits=-15)
    if change == "zero length":
        return whole[:140] + bytes(4) + whole[144:]
    if change == "long length":
        return whole[:140] + struct.pack("<I", len(whole) - 144) + whole[144:] + zeros(99, -15)
    return whole[132:] if change == "no preamble" else whole


def codestream(side: int, precinct: int = 15, tile: int = 0, layers: int = 1) -> bytes:
    """JPEG 2000 without a bit of picture; precincts are 2 ** `precinct` a side."""
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


def _foreign(syntax: str) -> bytes:
    """A codestream of 16,000 pixels a side under a header of 64."""
    import imagecodecs

    pixels = np.zeros((16_000, 16_000), np.uint8)
    encode: dict[str, Callable[[Any], bytes]] = {
        "JPEGBaseline8Bit": imagecodecs.jpeg8_encode,
        "JPEGLosslessSV1": lambda a: imagecodecs.jpeg8_encode(a, lossless=True),
        "JPEGLSLossless": imagecodecs.jpegls_encode,
        "JPEG2000Lossless": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k"),
    }
    return dicom(64, encode[syntax](pixels), syntax)


def _nested() -> bytes:
    plain = dicom(64, bytes(4096))
    deeper = bytes.fromhex("08001511 53510000 ffffffff feff00e0 ffffffff")
    return plain[: 144 + int.from_bytes(plain[140:144], "little")] + deeper * 200_000


_PROFILE = b"\nexif\n0\n" + shared_exif(20_000, 200_000).hex().encode()
_J2K = "JPEG2000Lossless"
# name -> the file, and how its answer begins.
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG: 3.6 billion pixels": (lambda: png(60_000, 60_000, 0, zeros(99)), "refused: 60000 x"),
    "PNG: 2 GB behind the pixels": (lambda: png(64, 64, 0, zeros(1 << 31)), "read"),
    "PNG: 1 GB of text": (
        lambda: small_png(_chunk(b"zTXt", b"a\0\0" + zeros(1 << 30))),
        "refused: damaged PNG header",
    ),
    "PNG: 2 GB of texts": (
        lambda: small_png(_chunk(b"zTXt", b"a\0\0" + zeros(1 << 20)) * 2000),
        "refused: PNG of too many chunks",
    ),
    "PNG: a colour profile of 1 GB": (
        lambda: small_png(_chunk(b"iCCP", b"a\0\0" + zeros(1 << 30))),
        "refused: damaged PNG header",
    ),
    "PNG: 5,000 EXIF values in one place": (
        lambda: small_png(_chunk(b"eXIf", shared_exif(5000, 1_000_000))),
        "read",
    ),
    "PNG: the same as text": (
        lambda: small_png(_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(_PROFILE))),
        "read",
    ),
    "JPEG: 4.2 billion pixels": (
        lambda: _saved("JPEG", 64).replace(b"\x00\x40\x00\x40", b"\xff\xdc\xff\xdc", 1),
        "refused: 65500 x",
    ),
    "JPEG: 5,000 EXIF values in one place": (jpeg_of_exif, "read"),
    "JPEG: 5,000 scans": (lambda: jpeg_scans(4096, 5000), "refused: JPEG of too many scans"),
    "TIFF: 10 billion pixels": (lambda: tiff(_grey(100_000)), "refused: 100000 x"),
    "TIFF: 300 values in one place": (
        lambda: tiff(
            _grey(64) | {40_000 + i: (7, 10_000_000, -1) for i in range(300)}, bytes(10_000_000)
        ),
        "refused: damaged TIFF header",
    ),
    "TIFF: a list of 2 million numbers": (
        lambda: tiff(_grey(64) | {273: (4, 2_000_000, -1)}, bytes(8_000_000)),
        "refused: damaged TIFF header",
    ),
    "TIFF: 20,000 pictures": (
        lambda: tiff(_grey(64), bytes(4096), 20_000),
        "refused: TIFF of several pictures",
    ),
    "TIFF: tiles of 2 GB": (_tiled, "refused: damaged TIFF"),
    "TIFF: 5,000 scans of JPEG": (
        lambda: (lambda j: tiff(_grey(4096, 7) | {279: (4, 1, len(j))}, j))(jpeg_scans(4096, 5000)),
        "refused: damaged TIFF",
    ),
    "WebP: 268 million pixels": (lambda: _webp(16_383), "refused: "),
    "DICOM: 4.3 billion pixels": (lambda: dicom(65_535, bytes(64)), "refused: 65535 x"),
    "DICOM: 2 billion frames": (
        lambda: dicom(64, bytes(4096), NumberOfFrames="2000000000"),
        "refused: DICOM of 2000000000 frames",
    ),
    **{
        f"DICOM: 2 GB deflated{', ' if change else ''}{change}": (
            lambda change=change: deflated(change),
            "refused: deflated DICOM: too large",
        )
        for change in ("", "zero length", "long length", "no preamble")
    },
    **{
        f"DICOM: 256 million pixels of {syntax} under a header of 4,096": (
            lambda syntax=syntax: _foreign(syntax),
            "refused: DICOM whose",
        )
        for syntax in ("JPEGBaseline8Bit", "JPEGLosslessSV1", "JPEGLSLossless", _J2K)
    },
    "DICOM: 5,000 scans of JPEG": (
        lambda: dicom(4096, jpeg_scans(4096, 5000), "JPEGExtended12Bit"),
        "refused: DICOM of too many scans",
    ),
    "DICOM: 4 million precincts of JPEG 2000": (
        lambda: dicom(4000, codestream(4000, precinct=1), _J2K),
        "refused: DICOM whose JPEG 2000 is of too many parts",
    ),
    "DICOM: 62,500 tiles of JPEG 2000": (
        lambda: dicom(4000, codestream(4000, tile=16), _J2K),
        "refused: DICOM whose JPEG 2000 is of too many parts",
    ),
    "DICOM: 65,535 layers of JPEG 2000": (
        lambda: dicom(4000, codestream(4000, precinct=6, layers=65_535), _J2K),
        "refused: DICOM whose JPEG 2000 is of too many parts",
    ),
    "DICOM: sequences 200,000 deep": (_nested, "refused: damaged DICOM"),
}
# As large as is read: what the limits cost.
LARGEST: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG: RGBA at the limit": (lambda: png(10_000, 10_000, 6, zeros(400_010_000)), "read"),
    "JPEG: 256 scans at the limit": (lambda: jpeg_scans(10_000, 254), "read"),
    "WebP: RGB at the limit": (lambda: _saved("WEBP", 10_000, lossless=True, method=0), "read"),
    "DICOM: JPEG 2000 at the limit": (
        lambda: dicom(10_000, codestream(10_000, precinct=5), _J2K),
        "read",
    ),
}


def measured(files: dict[str, tuple[Callable[[], bytes], str]], *, together: bool = False) -> list:
    """A row for each; `together` in one process, one after the other, for a test's sake."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, str(i)) for i, name in enumerate(files)}
        for name, (make, _) in files.items():
            paths[name].write_bytes(make())
        names = list(files)
        for group in [names] if together else [[name] for name in names]:
            answers = _answers([paths[name] for name in group])
            for name, answer in zip(group, answers, strict=True):
                size = paths[name].stat().st_size
                held = answer["answer"].startswith(files[name][1])
                rows.append({"file": name, "bytes": size, **answer, "as_it_should": held})
    return rows


def _answers(paths: list[Path]) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _READ, *map(str, paths)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        said = done.stdout.splitlines()
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode().splitlines()
    none = {"answer": "none: the process ended or took too long", "grew_by_mb": None}
    rows = [json.loads(line) for line in said]
    return rows + [none | {"seconds": None}] * (len(paths) - len(rows))


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, required=True)
    given = parser.parse_args()
    record = {"bombs": measured(BOMBS), "largest": measured(LARGEST)}
    write_json(given.write, record)
    for row in (*record["bombs"], *record["largest"]):
        print(row)
    if not all(row["as_it_should"] for rows in record.values() for row in rows):
        raise SystemExit("not all are answered as they should be")


if __name__ == "__main__":
    main()
