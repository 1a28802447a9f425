"""The summary's parameters, multiply-adds and shapes equal those found in other ways."""

import json

import jax.numpy as jnp
import pytest
from flax import nnx

from pneumojax.configs import base, inception_v3, reference
from pneumojax.inference.network import Network, make_network
from pneumojax.nn.inception import count_parameters
from pneumojax.nn.layers import Conv
from pneumojax.profiling.summary import summary


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", [base, reference, pytest.param(inception_v3, marks=pytest.mark.slow)]
)
def test_layers_and_stages_add_up_to_the_whole_network(recipe, capsys):
    config = recipe.get_config()
    if recipe is inception_v3:
        config.data.image_size, config.augment.size = 299, 0
    found = summary(config)
    network = make_network(config)
    assert found.parameters == count_parameters(network.abstract_params)
    for rows in (found.layers, found.stages):
        assert sum(row.parameters for row in rows) == found.parameters
        assert sum(row.multiply_adds for row in rows) == found.work.forward
    printed = capsys.readouterr().out
    assert f"{found.parameters:,} parameters" in printed and "elsewhere" not in printed
    outputs = {layer.name: layer.output for layer in found.layers}
    if recipe is inception_v3:
        assert found.remarks == []
        assert outputs["stem3"] == (147, 147, 64)
        assert outputs["modules/0/branch_pool"] == (35, 35, 32)
        assert outputs["modules/4/branch1"] == (17, 17, 192)
        assert outputs["modules/10/branch1"] == (8, 8, 320)
    # Films pass a layer's branch in the order of its layers.
    names = [name.rpartition("/")[2] for name in outputs if name.startswith("modules/0/")]
    assert names[0] == "branch1" and names[-1] == "branch_pool"


class Gain(nnx.Module):
    """A user's own network with a matrix product outside of any kernel."""

    def __init__(self):
        self.inner = Conv(1, 4, (3, 3), rngs=nnx.Rngs(0))
        self.matrix = nnx.Param(jnp.ones((4, 4)))

    def __call__(self, images, dropout_keys=None):
        x = self.inner(images)
        return {"main": (x @ self.matrix[...]).mean((1, 2, 3))}


def test_work_that_is_in_no_kernel_is_listed_as_elsewhere(monkeypatch, capsys, tmp_path):
    definition, params = nnx.split(nnx.eval_shape(Gain))
    network = Network(lambda: definition, nnx.to_pure_dict(params))
    monkeypatch.setattr("pneumojax.profiling.summary.make_network", lambda config: network)
    config = base.get_config()
    config.data.image_size = 10
    found = summary(config, tmp_path / "summary.json")
    assert {row.name: row.parameters for row in found.layers} == {"inner": 40, "": 16}
    assert "elsewhere" in capsys.readouterr().out
    stored = json.loads((tmp_path / "summary.json").read_text())
    assert stored == json.loads(json.dumps(found.to_json()))
    assert stored["elsewhere"] == {"parameters": 0, "multiply_adds": 10 * 10 * 4 * 4}


@pytest.mark.slow
def test_an_auxiliary_head_on_a_small_grid_says_how_it_deviates(capsys):
    config = inception_v3.get_config()
    config.data.image_size, config.model.heads = 75, ("main", "auxiliary")
    config.model.pools35, config.model.widths17, config.model.modules8 = (32,), (128,), 1
    (remark,) = summary(config).remarks
    assert remark.startswith("auxiliary_head: on a grid of 3 x 3 it pools 3 x 3")
    assert remark in " ".join(capsys.readouterr().out.split())


def test_tracing_leaves_the_classes_as_they_were():
    before = Conv.__call__, nnx.Linear.__call__
    summary(base.get_config())
    assert before == (Conv.__call__, nnx.Linear.__call__)
