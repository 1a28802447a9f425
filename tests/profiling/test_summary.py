"""The summary's parameters, multiply-adds and views against other ways to know them."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base, inception_v3, reference
from pneumojax.inference.network import Network, make_network
from pneumojax.nn import blocks
from pneumojax.nn.blocks import Conv
from pneumojax.nn.inception import Inception, count_parameters
from pneumojax.profiling.summary import layers_of, stages_of, summary
from pneumojax.profiling.work import count_work


@pytest.mark.parametrize("recipe", [base, reference, inception_v3])
def test_layers_add_up_to_the_whole_network(recipe):
    config = recipe.get_config()
    network = make_network(config)
    layers = layers_of(network, config.data.image_size)
    for rows in (layers, stages_of(layers)):
        assert sum(row["parameters"] for row in rows) == count_parameters(network.abstract_params)
        work = count_work(network, config.data.image_size)
        assert sum(row["multiply_adds"] for row in rows) == work.forward


@pytest.mark.slow
def test_a_place_sees_as_many_pixels_as_can_make_it_undefined():
    size = 112
    module = Inception(
        image_size=size,
        stem=(2, 2, 4),
        modules=((2, 2, 4, 2, 4, 4), (2, 2, 4, 2, 4, 4)),
        pools=(1,),
        heads=("main",),
        rngs=nnx.Rngs(0),
    )
    definition, params = nnx.split(module)
    network = Network(definition, nnx.to_pure_dict(params))
    rows = {row["name"]: row for row in layers_of(network, size)}
    # One film for each row of pixels that is not a number; whatever sees it becomes none either.
    films = jnp.where(jnp.eye(size)[:, :, None, None] > 0, jnp.nan, jnp.ones((1, 1, size, 1)))
    maps = module.features(films)
    middle = maps.shape[1] // 2
    undefined = np.isnan(maps[:, middle, middle, -8:-4])  # of the branch of 5x1 and 1x5
    assert undefined.any(-1).sum() == rows["modules/1/branch5_row"]["sees"][0] > 40
    assert undefined.any(-1).sum() < size


def test_stages_of_inception_v3_have_the_published_grids():
    network = make_network(inception_v3.get_config())
    outputs = {row["name"]: row["output"] for row in layers_of(network, 299)}
    assert outputs["stem3"] == [147, 147, 64]
    assert outputs["modules/0/branch_pool"] == [35, 35, 32]
    assert outputs["modules/4/branch1"] == [17, 17, 192]
    assert outputs["modules/10/branch1"] == [8, 8, 320]


class Gain(nnx.Module):
    """A layer of a user's own, whose product is in no kernel."""

    def __init__(self):
        self.inner = Conv(1, 4, (3, 3), rngs=nnx.Rngs(0))
        self.matrix = nnx.Param(jnp.ones((4, 4)))

    def __call__(self, images, dropout_keys=None):
        x = self.inner(images)
        return {"main": (x @ self.matrix[...]).mean((1, 2, 3))}


def test_work_that_is_in_no_kernel_is_listed_as_elsewhere(monkeypatch, capsys, tmp_path):
    definition, params = nnx.split(nnx.eval_shape(Gain))
    network = Network(definition, nnx.to_pure_dict(params))
    monkeypatch.setattr("pneumojax.profiling.summary.make_network", lambda config: network)
    config = base.get_config()
    config.data.image_size = 10
    found = summary(config, tmp_path / "summary.json")
    assert found["elsewhere"] == {"parameters": 0, "multiply_adds": 10 * 10 * 4 * 4}
    assert {row["name"]: row["parameters"] for row in found["layers"]} == {"inner": 40, "": 16}
    assert "elsewhere" in capsys.readouterr().out
    assert json.loads(Path(tmp_path / "summary.json").read_text()) == found


def test_the_auxiliary_head_says_what_became_of_it_on_a_small_grid(capsys):
    config = inception_v3.get_config()
    assert summary(config)["remarks"] == []
    config.data.image_size = 75
    (remark,) = summary(config)["remarks"]
    assert remark.startswith("auxiliary_head: on a grid of 3 x 3 it pools 3 x 3")
    assert remark in " ".join(capsys.readouterr().out.split())


def test_tracing_leaves_the_classes_as_they_were():
    before = blocks.convolved, nnx.Linear.__call__
    layers_of(make_network(base.get_config()), 150)
    assert before == (blocks.convolved, nnx.Linear.__call__)
