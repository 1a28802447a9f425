"""A network as StableHLO, which `jax.export.deserialize` reads in any process that has JAX."""

import jax

from pneumojax.export.answer import Answer, films_of_any_number

PLATFORMS = ("cpu", "cuda", "tpu")


def stablehlo_of(answer: Answer, side: int) -> bytes:
    """One artifact for all `PLATFORMS`, with a batch of any size."""
    exported = jax.export.export(jax.jit(answer), platforms=PLATFORMS)
    return bytes(exported(films_of_any_number(side)).serialize())
