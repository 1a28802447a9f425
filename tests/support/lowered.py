"""The operations that a lowered program runs, read from its StableHLO."""

from collections.abc import Iterator
from typing import Any


def operations(lowered: Any) -> Iterator[Any]:
    """All operations of one run of a `jax.stages.Lowered`.

    A function that the program calls several times counts as often. Bodies of loops count once, and
    so does each branch of a choice.
    """
    module = lowered.compiler_ir("stablehlo")
    functions = {_name(operation): operation for operation in module.body.operations}

    def inside(outer: Any) -> Iterator[Any]:
        for region in outer.regions:
            for block in region.blocks:
                for inner in block.operations:
                    if inner.operation.name == "func.call":
                        yield from inside(functions[inner.attributes["callee"].value])
                    else:
                        yield inner.operation
                        yield from inside(inner)

    return inside(functions["main"])


def _name(function: Any) -> str:
    return function.attributes["sym_name"].value


def described(operation: Any) -> str:
    """An operation with its attributes and the types of its operands and results."""
    attributes = sorted(f"{name}={operation.attributes[name]}" for name in operation.attributes)
    operands, results = operation.operands, operation.results
    return f"{operation.name} {attributes} {_types(operands)} -> {_types(results)}"


def _types(values: Any) -> list[str]:
    return [str(value.type) for value in values]
