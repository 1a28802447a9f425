"""Measures small files that ask for much memory or time.

Command:   python -m tests.support.bombs --write=records/reliability/bombs.json
Each file is read as prediction reads it, in a process of its own. The record has the answer, the
growth of the process (the kernel's high-water mark, VmHWM) and the seconds. "read" means that the
dangerous part was skipped. Films at the limits are measured too. HDF5, which training reads in a
child process, is read here by the task of that child alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pneumojax.files import write_json
from tests.support import bomb_files
from tests.support.bomb_files import (
    chunk,
    codestream,
    deflated,
    dicom,
    foreign,
    grey,
    jpeg_of_exif,
    jpeg_scans,
    nested,
    png,
    saved,
    shared_exif,
    small_png,
    tiff,
    tiled,
    webp,
    zeros,
)

ROOT = Path(__file__).resolve().parents[2]

SECONDS = 120
_READ = """
import json, sys, time
from pathlib import Path
import pneumojax.decoding.dicom
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.decoding.formats import decode_any
from pneumojax.errors import UserError
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    if Path(path).suffix:
        from tests.support.fuzz.weights import opened
    before, began = most(), time.perf_counter()
    try:
        if Path(path).suffix:
            answer = f"read: {opened(Path(path), 1 << 30)}"
        else:
            film = decode_any(data, Preprocessing(150, reduced_decode=True))
            answer = f"read: {film.width} x {film.height}"
    except (FilmError, UserError) as error:
        answer = f"refused: {error}".replace(repr(path), "the file")
    print(json.dumps({"answer": answer, "grew_by_mb": most() - before,
                      "seconds": round(time.perf_counter() - began, 2)}), flush=True)
"""


_PROFILE = b"\nexif\n0\n" + shared_exif(20_000, 200_000).hex().encode()
_J2K = "JPEG2000Lossless"
# name -> the function that makes the file, and the beginning of the expected answer
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG: 3.6 billion pixels": (lambda: png(60_000, 60_000, 0, zeros(99)), "refused: 60000 x"),
    "PNG: 2 GB behind the pixels": (lambda: png(64, 64, 0, zeros(1 << 31)), "read"),
    "PNG: 1 GB of text": (
        lambda: small_png(chunk(b"zTXt", b"a\0\0" + zeros(1 << 30))),
        "refused: damaged PNG header",
    ),
    "PNG: 2 GB of texts": (
        lambda: small_png(chunk(b"zTXt", b"a\0\0" + zeros(1 << 20)) * 2000),
        "refused: PNG of too many chunks",
    ),
    "PNG: a colour profile of 1 GB": (
        lambda: small_png(chunk(b"iCCP", b"a\0\0" + zeros(1 << 30))),
        "refused: damaged PNG header",
    ),
    "PNG: 5,000 EXIF values in one place": (
        lambda: small_png(chunk(b"eXIf", shared_exif(5000, 1_000_000))),
        "read",
    ),
    "PNG: the same as text": (
        lambda: small_png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(_PROFILE))),
        "read",
    ),
    "JPEG: 4.2 billion pixels": (
        lambda: saved("JPEG", 64).replace(b"\x00\x40\x00\x40", b"\xff\xdc\xff\xdc", 1),
        "refused: 65500 x",
    ),
    "JPEG: 5,000 EXIF values in one place": (jpeg_of_exif, "read"),
    "JPEG: 5,000 scans": (lambda: jpeg_scans(4096, 5000), "refused: JPEG of too many scans"),
    "TIFF: 10 billion pixels": (lambda: tiff(grey(100_000)), "refused: 100000 x"),
    "TIFF: 300 values in one place": (
        lambda: tiff(
            grey(64) | {40_000 + i: (7, 10_000_000, -1) for i in range(300)}, bytes(10_000_000)
        ),
        "refused: damaged TIFF header",
    ),
    "TIFF: a list of 2 million numbers": (
        lambda: tiff(grey(64) | {273: (4, 2_000_000, -1)}, bytes(8_000_000)),
        "refused: damaged TIFF header",
    ),
    "TIFF: 20,000 pictures": (
        lambda: tiff(grey(64), bytes(4096), 20_000),
        "refused: TIFF of several pictures",
    ),
    "TIFF: tiles of 2 GB": (tiled, "refused: TIFF with tiles"),
    "TIFF: 5,000 scans of JPEG": (
        lambda: (lambda j: tiff(grey(4096, 7) | {279: (4, 1, len(j))}, j))(jpeg_scans(4096, 5000)),
        "refused: damaged TIFF",
    ),
    "WebP: 268 million pixels": (lambda: webp(16_383), "refused: "),
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
            lambda syntax=syntax: foreign(syntax),
            "refused: DICOM with",
        )
        for syntax in ("JPEGBaseline8Bit", "JPEGLosslessSV1", "JPEGLSLossless", _J2K)
    },
    "DICOM: 5,000 scans of JPEG": (
        lambda: dicom(4096, jpeg_scans(4096, 5000), "JPEGExtended12Bit"),
        "refused: DICOM of too many scans",
    ),
    "DICOM: 4 million precincts of JPEG 2000": (
        lambda: dicom(4000, codestream(4000, precinct=1), _J2K),
        "refused: DICOM with JPEG 2000 pixels that are of too many parts",
    ),
    "DICOM: 62,500 tiles of JPEG 2000": (
        lambda: dicom(4000, codestream(4000, tile=16), _J2K),
        "refused: DICOM with JPEG 2000 pixels that are of too many parts",
    ),
    "DICOM: 65,535 layers of JPEG 2000": (
        lambda: dicom(4000, codestream(4000, precinct=6, layers=65_535), _J2K),
        "refused: DICOM with JPEG 2000 pixels that are of too many parts",
    ),
    "DICOM: sequences 200,000 deep": (nested, "refused: damaged DICOM"),
    **{
        f"JPEG: {size} MB of empty {name} segments": (
            lambda marker=marker, size=size: bomb_files.jpeg_flood(marker, size << 20),
            "refused: JPEG of too many",
        )
        for name, marker in (("APP1", 0xE1), ("COM", 0xFE))
        for size in (2, 8)
    },
    "JPEG: lossless, grey": (bomb_files.lossless_jpeg, "read"),
    "JPEG: lossless, colour": (lambda: bomb_files.lossless_jpeg(3), "read"),
    "JPEG: two pictures": (lambda: bomb_files.several("MPO"), "refused: JPEG of several"),
    "PNG: two pictures": (lambda: bomb_files.several("PNG"), "refused: PNG of several"),
    "DICOM: 60 MB of empty items": (lambda: bomb_files.item_flood(60 << 20), "refused: DICOM of"),
    "DICOM: a tile part of JPEG 2000 without end": (
        bomb_files.endless_tile_part,
        "refused: DICOM with JPEG 2000",
    ),
    ".keras: a bzip2 member of 1 GB that says 1,000 bytes": (
        lambda: bomb_files.keras_archive(zipfile.ZIP_BZIP2, 1 << 30, 1000),
        "refused",
    ),
    ".keras: a deflated member of 1 GB that says 1,000 bytes": (
        lambda: bomb_files.keras_archive(zipfile.ZIP_DEFLATED, 1 << 30, 1000),
        "refused",
    ),
    ".h5: an array of 4 TB in compressed pieces": (
        lambda: bomb_files.packed_hdf5(1 << 20, 1024),
        "refused",
    ),
    ".safetensors: 10 million lists in lists": (
        lambda: bomb_files.safetensors_header(10_000_000),
        "refused",
    ),
    ".safetensors: 100,000 empty arrays": (
        lambda: bomb_files.safetensors_arrays(100_000),
        "refused",
    ),
}
# The largest films that are read, which show the cost of the limits.
LARGEST: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG: RGBA at the limit": (lambda: png(10_000, 10_000, 6, zeros(400_010_000)), "read"),
    "JPEG: 256 scans at the limit": (lambda: jpeg_scans(10_000, 254), "read"),
    "WebP: RGB at the limit": (lambda: saved("WEBP", 10_000, lossless=True, method=0), "read"),
    "DICOM: JPEG 2000 at the limit": (
        lambda: dicom(10_000, codestream(10_000, precinct=5), _J2K),
        "read",
    ),
}


def measured(files: dict[str, tuple[Callable[[], bytes], str]], *, together: bool = False) -> list:
    """Measures each file in a new process, or quicker, all in one process if `together`."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        # The reader of weights goes by the suffix, so names of weight files begin with theirs.
        suffixes = {n: n.partition(":")[0] if n.startswith(".") else "" for n in files}
        paths = {name: Path(folder, f"{i}{suffixes[name]}") for i, name in enumerate(files)}
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
    """Measures all bombs and stores the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, required=True)
    given = parser.parse_args()
    record = {"bombs": measured(BOMBS), "largest": measured(LARGEST)}
    write_json(given.write, record)
    for row in (*record["bombs"], *record["largest"]):
        print(row)
    if not all(row["as_it_should"] for rows in record.values() for row in rows):
        raise SystemExit("some answers are not the expected ones")


if __name__ == "__main__":
    main()
