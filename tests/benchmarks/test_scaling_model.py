"""The model of many GPUs: what it counts is the network's, what it adds up is what it says."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from benchmarks import equal_steps, roofline, scaling_model, scaling_page, scaling_parts
from benchmarks.performance_page import placed
from configs import base
from pneumojax.profiling.work import _inner, count_work
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state, make_mesh, make_network
from pneumojax.training.step import make_train_step

STORED = json.loads(scaling_model.STORED.read_text())
PARTS = scaling_parts.parts(STORED["measured"])


@pytest.fixture(scope="module")
def counted():
    return {name: scaling_model.count(c.get_config()) for name, c in scaling_model.CONFIGS.items()}


def products(counts):
    """Forward and backward multiply-adds in layers with weights."""
    layers = [layer for layer in counts.layers if layer.weights]
    return tuple(sum(x.flops(way, 1) for x in layers) // 2 for way in roofline.PASSES)


def test_layers_of_each_network_do_its_work(counted):
    for name, module in scaling_model.CONFIGS.items():
        config = module.get_config()
        work = count_work(make_network(config), config.augment.size or config.data.image_size)
        assert products(counted[name]) == (work.forward, work.backward)
    # Of 0, 51 and 96 layers, those that modules compute as one count once.
    assert [counts.norms for counts in counted.values()] == [0, 27, 53]


def test_bytes_of_the_seed_network_are_those_of_the_roofline_but_for_what_is_read_together(counted):
    """Three convolutions of a module that share an input read it once; average pools are left."""
    for way in roofline.PASSES:
        ours = sum(layer.bytes(way, 64, 4) for layer in counted["base"].layers)
        theirs = sum(layer.bytes(way, 64, 4) for layer in roofline.layers(base.get_config()))
        assert 0.75 * theirs < ours < theirs


def sums_over_devices(program):
    """How many arrays a traced program adds up over devices; a called function counts each time."""
    return sum(
        len(equation.invars)
        if equation.primitive.name.startswith("psum")
        else sum(map(sums_over_devices, _inner(equation)))
        for equation in program.eqns
    )


def test_a_step_sums_each_norms_statistics_twice_and_all_else_once():
    config = equal_steps.small_config("augmented", "float32")
    network, optimizer = make_network(config), make_optimizer(config, 1)
    state = jax.eval_shape(lambda: initial_state(config, optimizer))
    batch = {"image": jax.ShapeDtypeStruct((16, 32, 32, 1), jnp.uint8)} | {
        name: jax.ShapeDtypeStruct((16,), dtype)
        for name, dtype in (("label", jnp.int32), ("mask", jnp.float32), ("film", jnp.int32))
    }
    several = Mesh(np.repeat(jax.devices()[:1], 2), make_mesh().axis_names)  # only to be traced for
    step = make_train_step(config, network, optimizer, 3, several)
    sums = sums_over_devices(jax.make_jaxpr(step)(state, batch).jaxpr)
    once = len(jax.tree.leaves(state["params"]))
    figures = 3  # the loss, and two sums of the epoch
    moments = 2  # vectors, of means and of mean squares of all norms
    assert sums == 2 * scaling_model.count(config).norms + once + moments + figures


def test_a_sum_over_gpus_takes_its_bytes_over_each_link_twice():
    size = 1e12  # so much that latencies do not matter
    assert scaling_model.sum_seconds(size, 1, PARTS) == 0
    box = 2 * 7 / 8 * size / PARTS["nvlink"].value
    assert scaling_model.sum_seconds(size, 8, PARTS) == pytest.approx(box, rel=1e-4)
    between = 2 * 127 / 128 * size / 8 / PARTS["network"].value
    assert scaling_model.sum_seconds(size, 1024, PARTS) == pytest.approx(box + between, rel=1e-3)


def test_a_small_sum_takes_the_steps_of_a_tree():
    latency = PARTS["sum_start"].value + 14 * PARTS["nvlink_hop"].value
    for gpus in (64, 512, 1024):
        hops = 2 * math.log2(gpus / 8) * PARTS["network_hop"].value
        assert scaling_model.sum_seconds(0, gpus, PARTS) == pytest.approx(latency + hops)


def test_a_step_takes_the_longer_of_its_input_and_the_rest(counted):
    for counts in counted.values():
        for gpus in scaling_model.GPUS:
            row = scaling_model.step(counts, gpus, 64, PARTS)
            without = sum(row["work"].values())
            for name, kind in (("small", "memory"), ("large", "storage")):
                wait = 64 * gpus / row["films_per_second_supplied"][kind]
                assert row[name]["seconds"] == max(without, wait)
                assert (row[name]["bottleneck"] == "input") <= (wait > without)
            rates = row["films_per_second_supplied"]
            assert rates["memory"] >= rates["storage"] >= rates["jpeg"]


def test_what_is_stored_and_on_the_page_is_what_the_model_gives():
    assert json.loads(json.dumps(scaling_model.model(STORED["measured"]))) == STORED
    page = scaling_page.PAGE.read_text()
    assert placed(page, scaling_page.rendered(STORED)) == page
    assert STORED["command"] in page and not STORED["run_on_gpus"]


def test_the_page_says_where_each_number_is_from():
    kinds = {part["kind"] for part in STORED["parts"].values()}
    assert kinds == {"measured", "datasheet", "assumed"}
    assert all(part["source"] for part in STORED["parts"].values())
