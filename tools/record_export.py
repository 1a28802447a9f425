"""Measures what float16 and int8 cost an ONNX export, on the validation films of a run.

Command:   python -m tools.record_export <run folder> --output=records/export/<name>.json

int8 is calibrated on training films. The validation patients are those that the run was not
trained on, unless it was released after a last training on all films.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet
from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.export.answer import OUTPUTS, films_of_any_number, make_answer
from pneumojax.export.export import logits_of
from pneumojax.export.onnx_model import model_of
from pneumojax.export.onnx_types import CALIBRATION_FILMS, as_float16, as_int8
from pneumojax.files import write_json
from pneumojax.inference.forward import image_batches
from pneumojax.inference.predictor import Predictor
from pneumojax.runtime import CACHE_DIR
from pneumojax.stats.delong import delong


def pixels_of(films: FilmSet, count: int) -> NDArray[np.uint8]:
    """The pixels (n, side, side) of films, at most `count` of them, evenly spread."""
    batches = itertools.chain.from_iterable(image_batches(films, 64))
    pixels = np.array(list(itertools.islice(batches, len(films))))[..., 0]
    return pixels[:: max(1, len(pixels) // count)]


def measure(workdir: Path, cache_dir: Path) -> dict[str, Any]:
    """AUROC, changed calls, size and speed of each type, on a run's validation films."""
    predictor = Predictor.open([workdir], cache_dir=cache_dir)
    splits = load_splits(predictor.first.config, cache_dir)
    if splits.validation is None:
        raise UserError(f"{str(workdir)!r} has no validation films")
    films = pixels_of(splits.validation, len(splits.validation))
    labels = np.asarray(splits.validation.labels)
    model = model_of(make_answer(predictor), films_of_any_number(films.shape[1]), OUTPUTS)
    makers: dict[str, Callable[[], onnx.ModelProto]] = {
        "float32": lambda: model,
        "float16": lambda: as_float16(model),
        "int8": lambda: as_int8(model, pixels_of(splits.train, CALIBRATION_FILMS)),
    }
    original = predictor.logits(films)[0]
    types = {
        name: _figures(make().SerializeToString(), films, labels, predictor, original)
        for name, make in makers.items()
    }
    return {
        "run": predictor.name,
        "films": len(films),
        "auroc": delong(labels, original)[0],
        "types": types,
    }


def _figures(
    data: bytes, films: NDArray, labels: NDArray, predictor: Predictor, original: NDArray
) -> dict[str, Any]:
    began = time.process_time()
    logits = logits_of(data, "onnx", films)
    seconds = time.process_time() - began
    decision = predictor.decision
    calls, before = (
        decision.calls(decision.probabilities(values)) for values in (logits, original)
    )
    return {
        "bytes": len(data),
        "auroc": delong(labels, logits)[0],
        "largest_logit_difference": float(np.abs(logits - original).max()),
        "calls_changed": int(np.sum(calls != before)),
        "cpu_seconds_per_film": seconds / len(films),
    }


def main() -> None:
    """Measures the run that the arguments name, and writes a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--cache-dir", type=Path, default=Path(CACHE_DIR))
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    cache_dir = arguments.cache_dir.expanduser().resolve()
    write_json(arguments.output.resolve(), measure(arguments.workdir.resolve(), cache_dir))


if __name__ == "__main__":
    main()
