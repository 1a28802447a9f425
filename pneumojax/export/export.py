"""Exports trained networks for programs without PneumoJAX, and checks what was written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.export.answer import INPUT, OUTPUTS, Answer, films_of_any_number, make_answer
from pneumojax.export.card import CARD, card_of
from pneumojax.files import failing_clearly, printable, replacing, write_json
from pneumojax.inference.predictor import Predictor

FORMATS = ("stablehlo", "onnx", "safetensors")
DTYPES = ("float32", "float16", "int8")
FILES = {"stablehlo": "model.stablehlo", "onnx": "model.onnx"}
LARGEST_DIFFERENCE = 1e-4  # of a logit in float32: sums are taken in another order
_DRAWN_FILMS = 8


@dataclass(frozen=True)
class Exported:
    """An export that was written.

    difference: the largest difference of a logit from the original's; 0 for safetensors, whose
        bits are the same.
    films: how many films the difference was measured on.
    """

    folder: Path
    difference: float
    films: int


def export(
    predictor: Predictor,
    folder: Path,
    form: str,
    dtype: str = "float32",
    films: Sequence[Path] = (),
) -> Exported:
    """Writes networks to a new folder, and compares the file's logits with the originals'.

    Args:
        form: one of `FORMATS`.
        dtype: one of `DTYPES`; all but "float32" are for ONNX.
        films: files to compare on and, for "int8", to calibrate with; noise if there are none.

    Raises:
        UserError: a combination that does not exist, a folder that is in use, an operation that
            ONNX cannot express, or logits that differ by more than `LARGEST_DIFFERENCE` in float32.
    """
    _check(folder, form, dtype, films)
    if form == "safetensors":
        from pneumojax.export.hub import write_hub_folder

        _make(folder)
        write_hub_folder(predictor, folder)
        return Exported(folder, 0.0, 0)
    side = predictor.first.preprocessing.image_size
    pixels = predictor.read(films) if films else _noise(side)
    data = _model(make_answer(predictor), side, form, dtype, pixels)
    expected = predictor.combine(predictor.logits(pixels))[0]
    difference = float(np.abs(logits_of(data, form, pixels) - expected).max())
    if dtype == "float32" and not difference <= LARGEST_DIFFERENCE:
        raise UserError(
            f"a logit of the exported network differs by {difference:.2g} from the original's, so "
            "nothing was written. This is a fault of the export; please report it",
            flag="format",
        )
    _make(folder)
    with failing_clearly(folder), replacing(folder / FILES[form]) as temporary:
        temporary.write_bytes(data)
    write_json(folder / CARD, card_of(predictor, form, dtype).as_dict())
    return Exported(folder, difference, len(pixels))


def _make(folder: Path) -> None:
    with failing_clearly(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _check(folder: Path, form: str, dtype: str, films: Sequence[Path]) -> None:
    if dtype != "float32" and form != "onnx":
        raise UserError(f"{dtype} is for onnx; {form} keeps the network's own type", flag="dtype")
    if dtype == "int8" and not films:
        raise UserError(
            "int8 needs films to measure the range of activations on: name a folder of films like "
            "those that the network will read",
            flag="films",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{str(folder)!r} exists; name a new or empty folder", flag="output")
    if form == "onnx":
        _need_onnx()


def _model(answer: Answer, side: int, form: str, dtype: str, films: NDArray[np.uint8]) -> bytes:
    """The contents of a model's file."""
    if form == "stablehlo":
        from pneumojax.export.stablehlo import stablehlo_of

        return stablehlo_of(answer, side)
    from pneumojax.export.onnx_model import model_of

    model = model_of(answer, films_of_any_number(side), OUTPUTS)
    if dtype != "float32":
        from pneumojax.export.onnx_types import as_float16, as_int8

        model = as_float16(model) if dtype == "float16" else as_int8(model, films)
    return model.SerializeToString()


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"onnx needs the package {error.name!r}: install requirements-export.txt, or the "
            "extra [export]",
            flag="format",
        ) from error


def logits_of(data: bytes, form: str, films: NDArray[np.uint8]) -> NDArray[Any]:
    """The logits (n,) of a model's file on films (n, side, side), a few films at a time."""
    parts = [films[start : start + _DRAWN_FILMS] for start in range(0, len(films), _DRAWN_FILMS)]
    if form == "stablehlo":
        call = jax.export.deserialize(bytearray(data)).call
        return np.concatenate([np.asarray(call(part)[1]) for part in parts])
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logit"], {INPUT: part})[0] for part in parts])


def _noise(side: int) -> NDArray[np.uint8]:
    """Films of noise of different brightness, which reach every layer."""
    random = np.random.default_rng(0)
    scale = np.linspace(0.2, 1, _DRAWN_FILMS)[:, None, None]
    return (random.integers(0, 256, (_DRAWN_FILMS, side, side)) * scale).astype(np.uint8)


def describe(exported: Exported, form: str) -> str:
    """The line that the command line prints."""
    where = printable(str(exported.folder))
    if form == "safetensors":
        return f"written to {where}; pneumojax.load opens it"
    return (
        f"written to {where}; on {exported.films} films its logits differ from the original's by "
        f"at most {exported.difference:.2g}"
    )
