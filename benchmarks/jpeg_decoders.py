"""Compares Pillow and simplejpeg as the decoder of JPEG films that are larger than the network's.

Command:   python -m benchmarks.jpeg_decoders <folder with train/> --write
Both read the same bytes in one thread, in turns: they check the header, decode at the smallest
scale that is not below the network's size, and resize to the side of `configs/base.py`. simplejpeg
needs requirements-bench.txt. The record is records/performance/jpeg_decoders.json.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.hardware import hardware
from pneumojax.configs import base
from pneumojax.data.films import find_films
from pneumojax.data.splits import preprocessing_of
from pneumojax.decoding.film import decode_film
from pneumojax.decoding.jpeg import read_header
from pneumojax.decoding.preprocessing import Preprocessing, resize_film
from pneumojax.files import write_json

STORED = Path(__file__).resolve().parents[1] / "records" / "performance" / "jpeg_decoders.json"
ROUNDS = 9


def by_simplejpeg(data: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """Decodes a baseline JPEG as `decode_film` does, uint8 (image_size, image_size)."""
    header, side = read_header(data), preprocessing.image_size
    reduced = simplejpeg.decode_jpeg(
        data, colorspace="GRAY", min_height=side, min_width=side, min_factor=1
    )
    height, width = reduced.shape[:2]
    scale = round(8 * width / header.width) / 8  # libjpeg-turbo's scales are eighths
    box = (0.0, 0.0, min(width, header.width * scale), min(height, header.height * scale))
    return np.asarray(resize_film(Image.fromarray(reduced[..., 0]), preprocessing, box))


def compare(films: list[bytes], preprocessing: Preprocessing) -> dict[str, Any]:
    """Times both decoders on the same films, and compares their pixels."""
    decoders: dict[str, Callable[[bytes], np.ndarray]] = {
        "pillow": lambda data: decode_film(data, preprocessing).pixels,
        "simplejpeg": lambda data: by_simplejpeg(data, preprocessing),
    }
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(ROUNDS):
        for name, decode in decoders.items():
            began = time.perf_counter()
            for data in films:
                decode(data)
            seconds[name].append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    pixels = [np.stack([decode(data) for data in films]) for decode in decoders.values()]
    difference = np.abs(np.subtract(*(each.astype(int) for each in pixels)))
    return {
        "films": len(films),
        "seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "times_as_fast": statistics.median(ratios),
        "quartiles": statistics.quantiles(ratios, n=4)[::2],
        "pixel_difference_mean": float(difference.mean()),
        "pixel_difference_largest": int(difference.max()),
        "versions": {"pillow": Image.__version__, "simplejpeg": simplejpeg.__version__},
        "hardware": hardware(),
    }


def main() -> None:
    """Compares the decoders on the training films of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("--write", action="store_true", help="store the record")
    given = parser.parse_args()
    found = find_films(given.films.expanduser().resolve())
    preprocessing = preprocessing_of(base.get_config())
    files = [(found.root / film.path).read_bytes() for film in found.of_split("train").files]
    record = compare(files, preprocessing)
    print(record)
    if given.write:
        write_json(STORED, record)


if __name__ == "__main__":
    main()
