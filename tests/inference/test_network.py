"""Networks of any class: their arguments, batch norm and logits, and errors that name a field."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from pneumojax.configs import base, inception_v3
from pneumojax.errors import UserError
from pneumojax.inference.module import make_module
from pneumojax.inference.network import make_network
from pneumojax.nn.batch_norm import BatchNorm


@pytest.mark.parametrize(
    "recipe, section, field, value",
    [
        (base, "model", "heads", ("auxilary",)),
        (base, "model", "norm", "layer"),
        (base, "model", "activation", "tanh"),
        (base, "model", "pools", (2,)),
        (base, "model", "auxiliary_after", (0,)),
        (base, "data", "image_size", 26),
        (base, "data", "normalise", "imagenet"),
        (inception_v3, "model", "heads", ("auxiliary",)),
        (inception_v3, "data", "image_size", 74),
    ],
)
def test_a_refused_argument_is_named_as_a_field_of_the_config(recipe, section, field, value):
    config = recipe.get_config()
    config[section][field] = value
    with pytest.raises(UserError, match=rf"^config\.{section}\.{field} is "):
        make_network(config)


class Faulty(nnx.Module):
    def __init__(self, *, image_size, normalise, dtype, rngs):
        raise ValueError("shapes do not match")


def test_an_error_that_names_no_argument_stays_what_it_is():
    config = base.get_config()
    config.model.network = f"{__name__}:Faulty"
    for name in set(config.model) - {"network", "dtype"}:
        del config.model[name]
    with pytest.raises(ValueError, match="^shapes do not match"):
        make_network(config)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_network_has_the_shapes_of_initial_values_and_leaves_those_as_they_are(norm):
    config = base.get_config()
    config.model.norm = norm

    def initial():
        return nnx.to_pure_dict(nnx.state(make_module(config, nnx.Rngs(params=0))))

    assert make_network(config).abstract_params == jax.eval_shape(initial)
    assert float(jnp.std(jax.jit(initial)()["stem1"]["kernel"])) > 0


class OfAnyKind(nnx.Module):
    """Flax's own layers; its batch norm is Flax's or PneumoJAX's."""

    def __init__(self, *, norm, rngs):
        self.norm = {"flax": nnx.BatchNorm, "ours": BatchNorm}[norm](1, rngs=rngs)
        self.norm.epsilon = 1e-3
        self.main_head = nnx.Linear(1, 1, rngs=rngs)

    def __call__(self, images, dropout_keys):
        return {"main": self.main_head(jnp.mean(self.norm(images) ** 2, axis=(1, 2)))[:, 0]}


def config_of(network, **arguments):
    config = base.get_config()
    config.model = ConfigDict({"network": f"{__name__}:{network}", "dtype": "float32"} | arguments)
    return config


@pytest.mark.slow
def test_batch_norm_of_flax_is_trained_and_evaluated_as_that_of_this_project():
    images = jax.random.uniform(jax.random.key(0), (8, 6, 6, 1)) * 0.3
    found = {}
    for norm in ("flax", "ours"):
        network = make_network(config := config_of("OfAnyKind", norm=norm))
        params = nnx.to_pure_dict(nnx.state(make_module(config, nnx.Rngs(params=0))))
        trained, statistics = network.divide(params)
        heads, batch = network.training_logits(trained, statistics, images, None, None)
        found[norm] = heads["main"], batch, network.logits(network.join(trained, batch), images)
    np.testing.assert_allclose(found["flax"][1]["norm"]["mean"], [images.mean()], rtol=1e-6)
    # The two compute the variance by different formulas.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), found["flax"], found["ours"])


class WithoutBatchNorm(nnx.Module):
    """Returns logits of the wrong form, or holds state that a step would lose."""

    def __init__(self, *, fault, rngs):
        self.fault = fault
        self.main_head = nnx.Linear(1, 1, rngs=rngs)
        if fault == "dropout":
            self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=1))

    def __call__(self, images, dropout_keys):
        logits = self.main_head(images.mean((1, 2)))
        forms = {"array": logits, "head": {"logit": logits[:, 0]}, "shape": {"main": logits}}
        return forms[self.fault]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("array", r"WithoutBatchNorm returned .*Array|WithoutBatchNorm returned \w*Tracer"),
        ("head", r"returned keys \['logit'\]; use \{'main': logits\}"),
        ("shape", r"returned 'main' of shape \(4, 1\); use .* 4 films have shape \(4,\)"),
    ],
)
def test_logits_of_the_wrong_form_are_refused(fault, told):
    network = make_network(config_of("WithoutBatchNorm", fault=fault))
    films = jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.float32)
    with pytest.raises(UserError, match=f"^config.model.network: .*{told}"):
        jax.eval_shape(network.logits, network.abstract_params, films)


def test_random_state_inside_a_network_is_refused():
    with pytest.raises(UserError, match="holds a Rng.* for dropout use the keys"):
        make_network(config_of("WithoutBatchNorm", fault="dropout"))


@pytest.mark.parametrize(
    ("field", "value"), [("data.normalise", "film"), ("model.dtype", "bfloat16")]
)
def test_a_field_that_a_network_would_not_follow_is_refused(field, value):
    config = config_of("OfAnyKind", norm="flax")
    section, name = field.split(".")
    config[section][name] = value
    with pytest.raises(UserError, match=f"^config.{field}.* takes no"):
        make_network(config)


class Sequence(nnx.Module):
    """Has layers, and no methods, of the names that Grad-CAM looks for."""

    def __init__(self, *, rngs):
        self.features = nnx.Conv(1, 2, (3, 3), rngs=rngs)
        self.logits = nnx.Linear(2, 1, rngs=rngs)

    def __call__(self, images, dropout_keys):
        return {"main": self.logits(self.features(images).mean((1, 2)))[:, 0]}


def test_layers_called_features_and_logits_do_not_make_a_network_explained():
    assert not make_network(config_of("Sequence")).explains
    assert make_network(base.get_config()).explains
