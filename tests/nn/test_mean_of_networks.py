"""Several networks as one: the mean of their calibrated logits, each at its own film size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from pneumojax.configs import base
from pneumojax.errors import UserError
from pneumojax.inference.gradcam import make_explainer
from pneumojax.inference.module import make_module
from pneumojax.inference.network import make_network
from pneumojax.nn.inception import Inception
from pneumojax.nn.mean_of_networks import MeanOfNetworks, reduced
from pneumojax.sharding import make_mesh

SMALL = {"stem": (4, 4, 8), "modules": ((4, 4, 4, 2, 4, 4),), "heads": ("main",)}
NETWORKS = {
    "coarse": SMALL | {"kind": "Inception", "image_size": 32, "temperature": 2.0},
    "fine": SMALL | {"kind": "Inception", "image_size": 48, "temperature": 0.5},
}


def rngs(seed=0):
    """Its generator compiles in a fifth of the time of the default one."""
    return nnx.Rngs(params=jax.random.key(seed, impl="rbg"))


def films(count, side):
    return jnp.asarray(np.random.default_rng(0).random((count, side, side, 1)), jnp.float32)


def config_of(networks, image_size=48):
    config = base.get_config()
    config.data.image_size = image_size
    config.model = ConfigDict(
        {
            "network": "pneumojax.nn.mean_of_networks:MeanOfNetworks",
            "dtype": "float32",
            "networks": networks,
        }
    )
    return config


def test_the_logit_is_the_mean_of_the_networks_logits_over_their_temperatures():
    @jax.jit  # operation by operation, this would compile for half a minute
    def answers(images):
        module = MeanOfNetworks(image_size=48, networks=NETWORKS, rngs=rngs())
        each = []
        for name, described in NETWORKS.items():
            alone = Inception(image_size=described["image_size"], **SMALL, rngs=rngs(1))
            nnx.update(alone, nnx.state(module.networks[name]))
            side = described["image_size"]
            small = jax.image.resize(images, (3, side, side, 1), "linear")
            each.append(alone(small)["main"] / described["temperature"])
        in_parts = module.logits(module.features(images))["main"]
        return each, module(images)["main"], in_parts

    each, together, in_parts = answers(films(3, 48))
    assert float(jnp.abs(each[0] - each[1]).max()) > 1e-3  # the networks do differ
    np.testing.assert_allclose(together, (each[0] + each[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(in_parts, together, atol=1e-6)


def test_films_are_reduced_as_jax_resizes_them_and_left_alone_at_their_own_size():
    images = films(2, 48)
    wanted = jax.image.resize(images, (2, 28, 28, 1), "linear")
    np.testing.assert_allclose(reduced(images, 28), wanted, atol=1e-6)
    assert reduced(images, 48) is images


def test_its_map_has_evidence_of_every_network():
    config = config_of(NETWORKS)
    network = make_network(config)
    params = jax.jit(lambda: nnx.to_pure_dict(nnx.state(make_module(config, rngs(1)))))()
    assert network.explains
    explain = make_explainer(network, make_mesh())
    images = np.random.default_rng(1).integers(0, 256, (8, 48, 48, 1), np.uint8)
    logits, maps = explain(params, images)
    alone = jax.jit(network.evaluation_logits)(params, jnp.asarray(images, jnp.float32) / 255)
    np.testing.assert_allclose(logits, alone, atol=1e-5)
    assert maps.shape == (8, 48, 48) and float(maps.max()) <= 1
    silent = jax.tree.map(jnp.zeros_like, params["networks"]["fine"])
    _, without = explain({"networks": params["networks"] | {"fine": silent}}, images)
    assert float(jnp.abs(maps - without).max()) > 0.01


@pytest.mark.parametrize(
    "change, told",
    [
        ({"kind": "os.system"}, "'coarse': networks is 'os.system': use one of Inception"),
        ({"image_size": 64}, "films of at most 48 pixels, and has 2.0 and 64"),
        ({"temperature": 0.0}, "a finite temperature above 0"),
        ({"temperature": "warm"}, "could not convert string"),
        ({"stem": 3}, "'coarse': 'int' object"),
        ({"heads": ("auxilary",)}, "'coarse': heads is"),
        ({"widths": 3}, "'coarse': .*unexpected keyword"),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(change, told):
    networks = NETWORKS | {"coarse": NETWORKS["coarse"] | change}
    with pytest.raises(UserError, match=f"^config.model.networks is wrong in {told}|{told}"):
        make_network(config_of(networks))


@pytest.mark.parametrize("networks, told", [({}, "is empty"), ("all", "is not a group")])
def test_no_networks_are_refused(networks, told):
    with pytest.raises(UserError, match=rf"^config\.model\.networks {told}"):
        make_network(config_of(networks))
