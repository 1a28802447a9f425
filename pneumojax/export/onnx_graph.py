"""An ONNX graph while it is written: its operators, its constants and the names of its values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import onnx
from onnx import helper, numpy_helper

from pneumojax.errors import UserError


@dataclass(frozen=True)
class Tensor:
    """A value of the graph that depends on the films. The batch in its shape is symbolic."""

    name: str
    shape: tuple[Any, ...]
    dtype: np.dtype


Value = Tensor | np.ndarray


def element_type(dtype: np.dtype) -> int:
    """The number that ONNX gives to a type of NumPy's.

    Raises UserError for bfloat16, in which ONNX Runtime has no convolutions for CPUs.
    """
    if dtype.name == "bfloat16":
        raise UserError(
            "config.model.dtype is 'bfloat16', for which ONNX Runtime has no convolution on CPUs; "
            "export as stablehlo"
        )
    return helper.np_dtype_to_tensor_dtype(dtype)


def is_static(shape: Sequence[Any]) -> bool:
    """Whether no size in a shape depends on the batch."""
    return all(isinstance(size, int | np.integer) for size in shape)


@dataclass
class Graph:
    """A graph while it is written. `films` is its input."""

    films: Tensor
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[Value], aval: Any, **attributes: Any) -> Tensor:
        """Appends an operator with one output, whose shape and type are those of `aval`."""
        (output,) = self.add_several(operator, inputs, [aval], **attributes)
        return output

    def add_several(
        self, operator: str, inputs: Sequence[Value], avals: Sequence[Any], **attributes: Any
    ) -> list[Tensor]:
        """Appends an operator with an output for each of `avals`."""
        number = len(self.nodes)
        outputs = [
            Tensor(f"{operator}_{number}_{i}", tuple(aval.shape), np.dtype(aval.dtype))
            for i, aval in enumerate(avals)
        ]
        names = [self.name_of(value) for value in inputs]
        results = [output.name for output in outputs]
        name = f"{operator}_{number}"
        self.nodes.append(helper.make_node(operator, names, results, name, **attributes))
        return outputs

    def name_of(self, value: Value) -> str:
        """The name of a value; an array becomes a constant of the graph."""
        if isinstance(value, Tensor):
            return value.name
        element_type(value.dtype)  # refuses what ONNX Runtime cannot compute with
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def shape_value(self, shape: Sequence[Any]) -> Value:
        """A shape as an int64 vector, which is computed from the films if it holds the batch."""
        if is_static(shape):
            return np.array(shape, np.int64)
        if any(size != self.films.shape[0] for size in shape if not is_static([size])):
            raise UserError(
                f"ONNX: an array of shape {tuple(shape)} cannot be written, because a size in it "
                "is computed from the batch; export as stablehlo"
            )
        vector = jax.ShapeDtypeStruct((1,), np.int64)
        parts: list[Value] = [
            np.array([size], np.int64)
            if is_static([size])
            else self.add("Shape", [self.films], vector, start=0, end=1)
            for size in shape
        ]
        return self.add("Concat", parts, jax.ShapeDtypeStruct((len(shape),), np.int64), axis=0)
