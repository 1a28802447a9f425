"""The ONNX operators of products, convolutions and pools.

JAX's images are (batch, height, width, channels) and ONNX's (batch, channels, height, width), so
convolutions and pools stand between two transposes. A runtime moves these along the graph until
they cancel.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from pneumojax.errors import UserError
from pneumojax.export.onnx_graph import Graph, Value

Operator = Callable[[Graph, Any, Sequence[Value]], list[Value]]


def transposed(graph: Graph, x: Value, order: Sequence[int]) -> Value:
    """A value with its axes in another order; a constant is transposed here."""
    if isinstance(x, np.ndarray):
        return x.transpose(order)
    aval = jax.ShapeDtypeStruct(tuple(x.shape[axis] for axis in order), x.dtype)
    return graph.add("Transpose", [x], aval, perm=list(order))


def product(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    a, b = operands
    aval = equation.outvars[0].aval
    last = (len(a.shape) - 1,)
    if tuple(left) == last and tuple(right) == (0,) and not left_batch and len(b.shape) == 2:
        return [graph.add("MatMul", [a, b], aval)]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names_a = [next(letters) for _ in a.shape]
    names_b = [next(letters) for _ in b.shape]
    for i, j in zip((*left_batch, *left), (*right_batch, *right), strict=True):
        names_b[j] = names_a[i]
    batch = [names_a[i] for i in left_batch]
    free_a = [n for i, n in enumerate(names_a) if i not in (*left, *left_batch)]
    free_b = [n for j, n in enumerate(names_b) if j not in (*right, *right_batch)]
    result = "".join([*batch, *free_a, *free_b])
    text = f"{''.join(names_a)},{''.join(names_b)}->{result}"
    return [graph.add("Einsum", [a, b], aval, equation=text)]


def convolution(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    parameters = equation.params
    numbers = parameters["dimension_numbers"]
    if any(step != 1 for step in parameters["lhs_dilation"]) or parameters["batch_group_count"] > 1:
        raise unsupported(equation, "is a transposed convolution, or one with groups of films")
    x = transposed(graph, operands[0], numbers.lhs_spec)
    kernel = transposed(graph, operands[1], numbers.rhs_spec)
    back = tuple(np.argsort(numbers.out_spec))
    aval = equation.outvars[0].aval
    shape = tuple(aval.shape[axis] for axis in numbers.out_spec)
    y = graph.add(
        "Conv",
        [x, kernel],
        jax.ShapeDtypeStruct(shape, aval.dtype),
        strides=list(parameters["window_strides"]),
        dilations=list(parameters["rhs_dilation"]),
        group=parameters["feature_group_count"],
        pads=_pads(parameters["padding"]),
    )
    return [transposed(graph, y, back)]


def _pads(edges: Sequence[tuple[int, int]]) -> list[int]:
    return [int(low) for low, _ in edges] + [int(high) for _, high in edges]


def pool(operator: str, **attributes: int) -> Operator:
    """A pool; the sum of a window is its mean, with zeros outside, times the window's size."""

    def write(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
        parameters, aval = equation.params, equation.outvars[0].aval
        window, strides = parameters["window_dimensions"], parameters["window_strides"]
        outside = [i for i, pair in enumerate(zip(window, strides, strict=True)) if pair == (1, 1)]
        inside = [i for i in range(len(window)) if i not in outside[:2]]
        if len(outside) < 2 or any(step != 1 for step in parameters["base_dilation"]):
            raise unsupported(equation, "pools over the batch or the channels")
        order = (*outside[:2], *inside)
        y = graph.add(
            operator,
            [transposed(graph, operands[0], order)],
            jax.ShapeDtypeStruct(tuple(aval.shape[i] for i in order), aval.dtype),
            kernel_shape=[window[i] for i in inside],
            strides=[strides[i] for i in inside],
            dilations=[parameters["window_dilation"][i] for i in inside],
            pads=_pads([parameters["padding"][i] for i in inside]),
            **attributes,
        )
        result = transposed(graph, y, tuple(np.argsort(order)))
        if operator == "AveragePool":
            size = np.array(np.prod(window), aval.dtype)
            result = graph.add("Mul", [result, size], aval)
        return [result]

    return write


def unsupported(equation: Any, reason: str) -> UserError:
    """The error for an operation whose parameters ONNX has no counterpart for."""
    return UserError(
        f"ONNX: the operation {equation.primitive.name!r} of the network cannot be written, "
        f"because it {reason}; export as stablehlo"
    )
