"""Writes a traced function of JAX as an ONNX model.

A jaxpr is a list of primitive operations. Those that do not depend on the films, such as the
concatenation of kernels, are computed here and become constants. Each of the others becomes a few
ONNX operators (`onnx_operators`). jax2onnx 0.17.1 knows far more primitives, but it cannot be used:
with JAX 0.12 it ends in an AttributeError, and with JAX 0.10 it confuses the layouts of
convolutions, so that ONNX Runtime refuses the graph of the reference network.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from pneumojax.errors import UserError
from pneumojax.export.answer import INPUT
from pneumojax.export.onnx_graph import Graph, Tensor, Value, element_type, is_static
from pneumojax.export.onnx_operators import OPERATORS

OPSET = 23  # read by ONNX Runtime 1.23, the oldest that requirements-export.txt allows
_BATCH = "batch"
# Primitives that run another jaxpr once. A loop has one too, and must not be among them.
_CALLS = frozenset(
    ("jit", "pjit", "closed_call", "checkpoint", "custom_jvp_call", "custom_vjp_call")
)


def model_of(function: Any, films: jax.ShapeDtypeStruct, names: Sequence[str]) -> onnx.ModelProto:
    """A model with the input `INPUT` and the outputs `names` from a function of films.

    Raises UserError for an operation of JAX for which this exporter has no counterpart in ONNX.
    """
    traced = jax.make_jaxpr(function)(films)
    graph = Graph(Tensor(INPUT, films.shape, np.dtype(films.dtype)))
    results = _write(graph, traced, [graph.films])
    outputs = []
    for name, result in zip(names, results, strict=True):
        graph.add("Identity", [result], result)
        graph.nodes[-1].output[0] = name
        outputs.append(_described(name, result.shape, result.dtype))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "PneumoJAX",
            [_described(INPUT, graph.films.shape, graph.films.dtype)],
            outputs,
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="PneumoJAX",
    )
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    onnx.checker.check_model(model, full_check=True)
    return model


def _described(name: str, shape: Sequence[Any], dtype: np.dtype) -> onnx.ValueInfoProto:
    sizes = [int(size) if is_static([size]) else _BATCH for size in shape]
    return helper.make_tensor_value_info(name, element_type(dtype), sizes)


def _write(graph: Graph, traced: Any, inputs: Sequence[Value]) -> list[Value]:
    """Writes the operations of a jaxpr; returns its results."""
    jaxpr = getattr(traced, "jaxpr", traced)
    values: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
    constants = getattr(traced, "consts", ())
    values |= dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, core.Literal):
            aval: Any = atom.aval
            return np.asarray(atom.val, aval.dtype)
        return values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in _CALLS:
            inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            results = _write(graph, inner, operands)
        elif _is_constant(equation, operands):
            found = equation.primitive.bind(*operands, **equation.params)
            several = equation.primitive.multiple_results
            results = list(map(np.asarray, found if several else [found]))
        elif name in OPERATORS:
            results = OPERATORS[name](graph, equation, operands)
        else:
            raise UserError(
                f"ONNX: the network uses JAX's operation {name!r}, which cannot be written; "
                "export as stablehlo"
            )
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _is_constant(equation: Any, operands: Sequence[Value]) -> bool:
    known = all(isinstance(operand, np.ndarray) for operand in operands)
    return known and all(is_static(variable.aval.shape) for variable in equation.outvars)
