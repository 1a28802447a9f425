"""Counted multiply-adds equal those of docs/architecture.md, kernels times positions."""

import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
from jax import lax

from pneumojax.configs import base
from pneumojax.inference.network import make_network
from pneumojax.profiling.work import count_work

ROOT = Path(__file__).parent.parent.parent


def test_the_count_of_the_base_network_is_that_of_its_kernels_and_positions():
    page = (ROOT / "docs" / "architecture.md").read_text()
    parts = page.split("| part | multiply-adds |")[1].split("\n\n")[0]
    counted = {
        name: int(n.replace(",", "")) for name, n in re.findall(r"(\w\S*) \| ([\d,]+)", parts)
    }
    config = base.get_config()
    work = count_work(make_network(config), config.data.image_size)
    assert len(counted) == 6
    assert work.forward == sum(counted.values())
    # Each product has two gradients, but no gradient of the film is wanted.
    assert work.backward == 2 * sum(counted.values()) - counted["stem1"]
    assert work.step_flops(64) == 2 * 64 * (work.forward + work.backward)


def counted(logits, *shapes):
    params = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return count_work(SimpleNamespace(logits=logits, abstract_params=params), 8)


def test_a_scan_counts_each_of_its_turns():
    def logits(params, images):
        start = images.reshape(8, 8)
        return lax.scan(lambda x, _: (x @ params[0], None), start, length=5)[0]

    assert counted(logits, (8, 8)).forward == 5 * 8 * 8 * 8


def test_only_one_of_several_platforms_programs_counts():
    def logits(params, images):
        return lax.platform_dependent(
            images.reshape(8, 8), cpu=lambda x: x @ params[0], default=lambda x: params[0] @ x
        )

    assert counted(logits, (8, 8)).forward == 8 * 8 * 8


def test_a_product_with_a_custom_gradient_counts():
    @jax.custom_vjp
    def product(x, y):
        return x @ y

    product.defvjp(lambda x, y: (x @ y, (x, y)), lambda saved, g: (g @ saved[1].T, saved[0].T @ g))
    work = counted(lambda params, images: product(images.reshape(8, 8), params[0]), (8, 3))
    assert (work.forward, work.backward) == (8 * 8 * 3, 8 * 8 * 3)
