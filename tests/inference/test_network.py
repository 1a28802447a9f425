"""A network that refuses a value is reported by the field of the config that holds it."""

import pytest
from flax import nnx

from pneumojax.configs import base, inception_v3
from pneumojax.errors import UserError
from pneumojax.inference.network import make_network


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
