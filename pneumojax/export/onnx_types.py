"""Converts an ONNX model of float32 to float16 or int8 with ONNX Runtime's tools."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16

from pneumojax.export.answer import INPUT

CALIBRATION_FILMS = 200
_FILMS_AT_ONCE = 8
# These stay in float32: the range of a film's grey values, and the numbers that a user reads.
_WIDE = ("Pow", "Sqrt", "Reciprocal", "ReduceSum", "Sigmoid", "Resize")


def as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with float16 weights and activations, and float32 outputs."""
    with _quiet():
        return convert_float_to_float16(model, keep_io_types=True, op_block_list=list(_WIDE))


def as_int8(model: onnx.ModelProto, films: NDArray[np.uint8]) -> onnx.ModelProto:
    """The model with convolutions in int8, except the first.

    The ranges of activations are those on `films` (n, side, side), which should be like the films
    that the model will read. Weights have a scale for each channel. The products of the heads stay
    in float32, since ONNX Runtime 1.32 cannot quantize them by channel.
    """
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        given, prepared, result = (Path(folder, f"{name}.onnx") for name in ("a", "b", "c"))
        onnx.save(model, given)
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        first = next(node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv")
        quantize_static(
            str(prepared),
            str(result),
            _Films(films[:: max(1, len(films) // CALIBRATION_FILMS)]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # In int8 the first one moves the logits of `quick` ten times as far.
            nodes_to_exclude=[first],
        )
        return onnx.load(result)


class _Films(CalibrationDataReader):
    """Gives films to the calibration, a few at a time."""

    def __init__(self, films: NDArray[np.uint8]):
        starts = range(0, len(films), _FILMS_AT_ONCE)
        self._batches = iter([films[start : start + _FILMS_AT_ONCE] for start in starts])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences advice of the tools about models that they cannot know."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
