"""The least time of a training step: its operations as a GPU gets them, each at a ceiling.

A layer takes the longer of its operations at the peak and its bytes at the memory's bandwidth
(Williams et al. 2009, doi 10.1145/1498765.1498785), as in `benchmarks/roofline.py`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo
from ml_collections import ConfigDict

from benchmarks.accelerator.ceilings import Ceilings
from pneumojax.inference.network import make_network
from pneumojax.training.losses import Objective

_POOLS = ("stablehlo.reduce_window", "stablehlo.select_and_scatter")


@dataclass(frozen=True)
class Operation:
    """A convolution, a product, or a pool of the lowered step; the pools' arithmetic is free."""

    name: str
    flops: int
    bytes: int


def operations(config: ConfigDict) -> list[Operation]:
    """The operations of forward and backward pass over a batch, as lowered for CUDA.

    Each reads its operands and writes its result once. An output's gradient is read by both
    gradients of a convolution; the second time stands for the saved output, which the gradient of
    the activation needs. Bias, norm, activation, concatenation, augmentation and optimizer count
    as fused into these operations, so the sum is a lower bound.
    """
    module = _lowered(config).compiler_ir("stablehlo")
    assert module, "JAX lowers to StableHLO by default"
    functions = {
        ir.StringAttr(function.attributes["sym_name"]).value: function
        for function in module.body.operations
        if function.operation.name == "func.func"
    }
    return list(_operations(functions["main"], functions))


def least_seconds(found: list[Operation], ceilings: Ceilings, precision: str) -> float:
    """The least time of all operations, one after the other, under measured ceilings."""
    return sum(ceilings.least_seconds(op.flops, op.bytes, precision) for op in found)


def _lowered(config: ConfigDict) -> jax.stages.Lowered:
    """The gradients of a whole batch on one device, lowered for CUDA wherever this runs.

    `make_gradients` would take a few films at a time on a CPU.
    """
    network = make_network(config)
    objective = Objective(network, config.loss)
    films, size = config.batch_size, config.augment.size or config.data.image_size
    array, wide = jax.ShapeDtypeStruct, jnp.float32
    batch = {
        "image": array((films, size, size, 1), wide),
        "label": array((films,), jnp.int32),
        "target": array((films,), jnp.int32),
        "weight": array((films,), wide),
        "mask": array((films,), wide),
        "dropout_key": jax.eval_shape(lambda: jax.random.split(jax.random.key(0), films)),
    }
    params, statistics = network.divide(network.abstract_params)
    step = jax.jit(jax.value_and_grad(objective, has_aux=True))
    traced = step.trace(params, statistics, batch, array((), wide))
    return traced.lower(lowering_platforms=("cuda",))


def _operations(outer: Any, functions: dict[str, Any]) -> Iterator[Operation]:
    """The operations in the regions of another one, a function or a choice of platforms.

    A called function counts as often as it is called. The choice has been made by lowering, so
    only the branch for CUDA is there.
    """
    inner = (op for region in outer.regions for block in region.blocks for op in block.operations)
    for operation in inner:
        kind = operation.operation.name
        if kind == "func.call":
            called = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
            yield from _operations(functions[called], functions)
        elif kind == "stablehlo.convolution":
            yield Operation(kind, _convolution_flops(operation), _bytes(operation))
        elif kind == "stablehlo.dot_general":
            yield Operation(kind, _product_flops(operation), _bytes(operation))
        elif kind in _POOLS:
            yield Operation(kind, 0, _bytes(operation))
        else:
            yield from _operations(operation, functions)


def _convolution_flops(operation: Any) -> int:
    """The FLOPs: two for each multiply-add; zeros of a gradient's dilated input are not counted."""
    kernel = ir.RankedTensorType(operation.operands[1].type).shape
    numbers = stablehlo.ConvDimensionNumbers(operation.attributes["dimension_numbers"])
    features = kernel[numbers.kernel_output_feature_dimension]
    positions = math.prod(ir.RankedTensorType(operation.results[0].type).shape)
    dilation = 1
    if "lhs_dilation" in operation.attributes:
        dilation = math.prod(ir.DenseI64ArrayAttr(operation.attributes["lhs_dilation"]))
    return 2 * positions * math.prod(kernel) // features // dilation


def _product_flops(operation: Any) -> int:
    left = ir.RankedTensorType(operation.operands[0].type).shape
    numbers = stablehlo.DotDimensionNumbers(operation.attributes["dot_dimension_numbers"])
    contracted = math.prod(left[axis] for axis in numbers.lhs_contracting_dimensions)
    return 2 * math.prod(ir.RankedTensorType(operation.results[0].type).shape) * contracted


def _bytes(operation: Any) -> int:
    total = 0
    for value in (*operation.operands, *operation.results):
        kind = ir.RankedTensorType(value.type)
        total += math.prod(kind.shape) * _width(kind.element_type)
    return total


def _width(element: Any) -> int:
    """Bytes of an element: "f32", "bf16", "i32"."""
    return int("".join(filter(str.isdigit, str(element)))) // 8
