"""The ONNX operators for each primitive operation of JAX that networks use.

Each function takes the graph, an equation of a jaxpr and the values of its operands, and returns
its results.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pneumojax.errors import UserError
from pneumojax.export.onnx_graph import Graph, Value, element_type, is_static
from pneumojax.export.onnx_layers import (
    Operator,
    convolution,
    pool,
    product,
    transposed,
    unsupported,
)


def _aval(equation: Any) -> Any:
    return equation.outvars[0].aval


def _same(operator: str) -> Operator:
    """A primitive with a counterpart of the same operands and no parameters."""

    def write(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
        return [graph.add(operator, operands, _aval(equation))]

    return write


def _then(first: str, second: str) -> Operator:
    """Two operators one after the other."""

    def write(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
        found = graph.add(first, operands, _aval(equation))
        return [graph.add(second, [found], _aval(equation))]

    return write


def _unchanged(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    return list(operands)


def _power(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    aval = _aval(equation)
    return [graph.add("Pow", [*operands, np.array(equation.params["y"], aval.dtype)], aval)]


def _square(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    return [graph.add("Mul", [operands[0], operands[0]], _aval(equation))]


def _log1p(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    aval = _aval(equation)
    return [graph.add("Log", [graph.add("Add", [*operands, np.ones((), aval.dtype)], aval)], aval)]


def _erfc(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    aval = _aval(equation)
    return [graph.add("Sub", [np.ones((), aval.dtype), graph.add("Erf", operands, aval)], aval)]


def _not_equal(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    aval = _aval(equation)
    return [graph.add("Not", [graph.add("Equal", operands, aval)], aval)]


def _convert(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    aval = _aval(equation)
    return [graph.add("Cast", operands, aval, to=element_type(np.dtype(aval.dtype)))]


def _select(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    which, *cases = operands
    if len(cases) != 2 or which.dtype != np.bool_:
        raise unsupported(equation, "chooses between more than two arrays")
    return [graph.add("Where", [which, cases[1], cases[0]], _aval(equation))]


def _clamp(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    lowest, x, highest = operands
    aval = _aval(equation)
    return [graph.add("Min", [graph.add("Max", [x, lowest], aval), highest], aval)]


def _reduce(operator: str) -> Operator:
    def write(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
        axes = np.array(equation.params["axes"], np.int64)
        return [graph.add(operator, [operands[0], axes], _aval(equation), keepdims=0)]

    return write


def _reshape(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    aval = _aval(equation)
    return [graph.add("Reshape", [operands[0], _target(aval.shape)], aval)]


def _target(shape: Sequence[Any]) -> np.ndarray:
    """A shape for `Reshape`, in which -1 stands for the size that depends on the batch."""
    sizes = [size if is_static([size]) else -1 for size in shape]
    if sizes.count(-1) > 1:
        raise UserError("ONNX: an array with the batch in two sizes cannot be written")
    return np.array(sizes, np.int64)


def _broadcast(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    aval, (x,) = _aval(equation), operands[:1]
    places = equation.params["broadcast_dimensions"]
    sizes: list[Any] = [1] * len(aval.shape)
    for size, place in zip(x.shape, places, strict=True):
        sizes[place] = size
    if tuple(sizes) != tuple(x.shape):
        x = graph.add("Reshape", [x, _target(sizes)], jax.ShapeDtypeStruct(tuple(sizes), x.dtype))
    wanted = [1 if a == b else b for a, b in zip(sizes, aval.shape, strict=True)]
    if all(is_static([size]) and size == 1 for size in wanted):
        return [x]
    return [graph.add("Expand", [x, graph.shape_value(wanted)], aval)]


def _squeeze(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    axes = np.array(equation.params["dimensions"], np.int64)
    return [graph.add("Squeeze", [operands[0], axes], _aval(equation))]


def _transpose(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    return [transposed(graph, operands[0], equation.params["permutation"])]


def _concatenate(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    axis = equation.params["dimension"]
    return [graph.add("Concat", operands, _aval(equation), axis=axis)]


def _split(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    sizes = np.array(equation.params["sizes"], np.int64)
    avals = [variable.aval for variable in equation.outvars]
    axis = equation.params["axis"]
    return list(graph.add_several("Split", [operands[0], sizes], avals, axis=axis))


def _slice(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    x, parameters = operands[0], equation.params
    steps = parameters["strides"] or [1] * len(x.shape)
    bounds = zip(parameters["start_indices"], parameters["limit_indices"], steps, strict=True)
    parts = [
        (begin, end, axis, step)
        for axis, (begin, end, step) in enumerate(bounds)
        if not (begin == 0 and end == x.shape[axis] and step == 1)
    ]
    return [_sliced(graph, x, parts, _aval(equation))]


def _reverse(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    last = np.iinfo(np.int64)
    parts = [(last.max, last.min, axis, -1) for axis in equation.params["dimensions"]]
    return [_sliced(graph, operands[0], parts, _aval(equation))]


def _sliced(graph: Graph, x: Value, parts: Sequence[tuple], aval: Any) -> Value:
    """The part of an array that (begin, end, axis, step) name along each axis."""
    if not parts:
        return x
    if not all(is_static(part) for part in parts):
        raise UserError("ONNX: a part of the batch cannot be written; export as stablehlo")
    columns = [np.array(column, np.int64) for column in zip(*parts, strict=True)]
    return graph.add("Slice", [x, *columns], aval)


def _pad(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    edges = equation.params["padding_config"]
    if any(between for *_, between in edges):
        raise unsupported(equation, "pads between values")
    before, after = [low for low, *_ in edges], [high for _, high, _ in edges]
    pads = np.array([*before, *after], np.int64)
    return [graph.add("Pad", [operands[0], pads, operands[1]], _aval(equation))]


def _gather(graph: Graph, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Known places along one axis, as `x[:, 0]` and `x[:, ::-1]` are traced for unknown batches."""
    x, index = operands
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    axis, *more = numbers.start_index_map
    whole = [size == full for size, full in zip(sizes, x.shape, strict=True)]
    aval = _aval(equation)
    places = [i for i in range(len(aval.shape)) if i not in numbers.offset_dims]
    if (
        more
        or tuple(numbers.collapsed_slice_dims) != (axis,)
        or not isinstance(index, np.ndarray)
        or not all(whole[i] for i in range(len(whole)) if i != axis)
        or places != list(range(axis, axis + index.ndim - 1))
    ):
        raise unsupported(equation, "takes more than known places along one axis")
    return [graph.add("Gather", [x, index[..., 0].astype(np.int64)], aval, axis=axis)]


_SAME = {
    "abs": "Abs",
    "add": "Add",
    "add_any": "Add",
    "and": "And",
    "ceil": "Ceil",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
OPERATORS: dict[str, Operator] = {
    **{name: _same(operator) for name, operator in _SAME.items()},
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": convolution,
    "convert_element_type": _convert,
    "copy": _unchanged,
    "copy_p": _unchanged,
    "dot_general": product,
    "erfc": _erfc,
    "gather": _gather,
    "integer_pow": _power,
    "log1p": _log1p,
    "ne": _not_equal,
    "optimization_barrier": _unchanged,
    "pad": _pad,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_window_max": pool("MaxPool"),
    "reduce_window_sum": pool("AveragePool", count_include_pad=1),
    "reshape": _reshape,
    "rev": _reverse,
    "rsqrt": _then("Sqrt", "Reciprocal"),
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "square": _square,
    "squeeze": _squeeze,
    "stop_gradient": _unchanged,
    "transpose": _transpose,
}
