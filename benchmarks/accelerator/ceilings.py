"""Part a: the two ceilings of the card, memory and products, as JAX reaches them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from benchmarks.accelerator.recipes import PRECISIONS
from pneumojax.profiling.devices import best_seconds


@dataclass(frozen=True)
class Ceilings:
    """The best rates of one device.

    bytes_per_second: of a large copy, bytes read and bytes written together.
    flops_per_second: by precision, of a large square product of random matrices; zeros would need
        less power and clock higher.
    """

    copied_bytes: int
    product_size: int
    bytes_per_second: float
    flops_per_second: dict[str, float]

    def least_seconds(self, flops: float, moved: float, precision: str) -> float:
        """The longer of the time for the arithmetic and the time for the bytes."""
        return max(flops / self.flops_per_second[precision], moved / self.bytes_per_second)


def measure_ceilings(*, smoke: bool) -> Ceilings:
    """Times a copy of 2 GiB and products of 8,192, or small ones in a smoke run."""
    copied, size, seconds = (2**24, 256, 0.05) if smoke else (2**31, 8192, 1.0)
    source = jnp.ones(copied // 4, jnp.float32)
    copy = jax.jit(jnp.negative)
    rate = 2 * copied / best_seconds(lambda: copy(source), seconds)
    source.delete()
    return Ceilings(copied, size, rate, {p: _product_rate(p, size, seconds) for p in PRECISIONS})


def _product_rate(precision: str, size: int, seconds: float) -> float:
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    left, right = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    with jax.default_matmul_precision("highest" if precision == "float32" else None):
        product = jax.jit(jnp.dot)
        return 2 * size**3 / best_seconds(lambda: product(left, right), seconds)
