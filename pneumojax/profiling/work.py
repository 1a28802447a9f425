"""Counts a network's multiply-adds in its traced program, however a device computes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from pneumojax.inference.network import Network


@dataclass(frozen=True)
class Work:
    """Multiply-adds of convolutions and matrix products for one film; nothing else is counted.

    forward: every weight at every position, so padding counts as work.
    backward: as much again for each operand that depends on parameters. A layer has two gradients
        and counts twice; the first layer has only a filter gradient and counts once.
    """

    forward: int
    backward: int

    def step_flops(self, films: int) -> int:
        """Floating-point operations of a training step, two per multiply-add."""
        return 2 * (self.forward + self.backward) * films


def count_work(network: Network, image_size: int) -> Work:
    """The work for one square film of `image_size` pixels, without products in custom calls."""
    film = jax.ShapeDtypeStruct((1, image_size, image_size, 1), jnp.float32)
    traced = jax.make_jaxpr(network.logits)(network.abstract_params, film)
    learned = [True] * len(jax.tree.leaves(network.abstract_params))
    work, _ = _count(traced.jaxpr, [*learned, False])
    return work


def _count(jaxpr: Jaxpr, learned: list[bool]) -> tuple[Work, list[bool]]:
    """The work of a program, and which results depend on parameters, as `learned` inputs do."""
    depends = dict(zip(jaxpr.invars, learned, strict=True))
    forward = backward = 0
    for equation in jaxpr.eqns:
        inputs = [
            not isinstance(atom, Literal) and depends.get(atom, False) for atom in equation.invars
        ]
        results = [any(inputs)] * len(equation.outvars)
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            products = _products(equation)
            forward += products
            backward += products * sum(inputs[:2])
        # An equation may have several inner programs, such as one for each platform; one runs.
        candidates = [
            _count(inner, inputs[-len(inner.invars) :] if inner.invars else [])
            for inner in _inner(equation)
            if len(inner.invars) <= len(inputs)
        ]
        if candidates:
            work, flags = max(candidates, key=lambda counted: counted[0].forward)
            repeats = equation.params.get("length", 1)  # iterations of a scan
            forward += work.forward * repeats
            backward += work.backward * repeats
            if len(flags) == len(results):
                results = flags
        depends |= zip(equation.outvars, results, strict=True)
    flags = [not isinstance(atom, Literal) and depends.get(atom, False) for atom in jaxpr.outvars]
    return Work(forward, backward), flags


def _inner(equation: Any) -> Iterator[Jaxpr]:
    """The inner programs of an equation of a traced program."""
    for value in equation.params.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item


def _products(equation: Any) -> int:
    """Multiply-adds of one convolution or matrix product."""
    left, right = (atom.aval for atom in equation.invars[:2])
    results = prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return results * prod(left.shape[axis] for axis in contracted)
    features = right.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return results * prod(right.shape) // features
