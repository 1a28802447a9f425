"""ONNX graphs answer as JAX does, for networks and for single operations."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from flax import nnx
from jax import lax

from pneumojax.config.load import load_file
from pneumojax.errors import UserError
from pneumojax.export.answer import INPUT, films_of_any_number
from pneumojax.export.onnx_model import model_of
from pneumojax.inference.forward import to_unit_range
from pneumojax.inference.module import make_module
from pneumojax.inference.network import make_network
from pneumojax.nn.ops import plain_operations

ROOT = Path(__file__).parents[2]
# Sums of float32 are taken in another order; these logits are of order 1.
LOGIT_TOLERANCE = 1e-4


def films(count, side):
    return np.random.default_rng(0).integers(0, 256, (count, side, side), np.uint8)


def answered(function, pixels):
    """The outputs of ONNX Runtime, and of JAX, for a function of films."""
    model = model_of(function, films_of_any_number(pixels.shape[1]), ("result",))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["result"], {INPUT: pixels})[0], np.asarray(jax.jit(function)(pixels))


def as_float(pixels):
    return pixels.astype(jnp.float32) / 255


OPERATIONS = {
    "the slice of a row": lambda x: as_float(x)[:, 1],
    "a mirrored film": lambda x: as_float(x)[:, :, ::-1],
    "reversed rows": lambda x: lax.rev(as_float(x), (1,)),
    "a strided slice": lambda x: as_float(x)[:, 1:7:2],
    "padding": lambda x: jnp.pad(as_float(x), ((0, 0), (1, 2), (0, 1)), constant_values=3),
    "a mean and a variance": lambda x: as_float(x).mean((1, 2)) + as_float(x).var((1, 2)),
    "the largest value": lambda x: as_float(x).max(2) - as_float(x).min(2),
    "powers": lambda x: as_float(x) ** 3 + jnp.square(as_float(x)) + (as_float(x) + 1) ** 0.5,
    "gelu": lambda x: nnx.gelu(as_float(x) * 4 - 2),
    "exact gelu": lambda x: nnx.gelu(as_float(x) * 4 - 2, approximate=False),
    "silu": lambda x: nnx.silu(as_float(x) * 4 - 2),
    "softmax": lambda x: nnx.softmax(as_float(x), -1),
    "log1p": lambda x: jnp.log1p(as_float(x)),
    "a choice": lambda x: jnp.where(as_float(x) != 0.5, as_float(x), -1.0),
    "limits": lambda x: jnp.clip(as_float(x), 0.2, 0.7),
    "a product of films": lambda x: jnp.einsum("bij,bkj->bik", as_float(x), as_float(x)),
    "a constant beside films": lambda x: jnp.concatenate(
        [as_float(x), jnp.ones((x.shape[0], 1, 8))], axis=1
    ),
    "a flattened film": lambda x: as_float(x).reshape(x.shape[0], -1),
    "a split": lambda x: sum(jnp.split(as_float(x), 2, axis=1)),
    "a mean pool": lambda x: nnx.avg_pool(as_float(x)[..., None], (3, 3), (2, 2), "SAME"),
    "a largest pool": lambda x: nnx.max_pool(as_float(x)[..., None], (3, 3), (2, 2), "SAME"),
    "a dilated convolution": lambda x: lax.conv_general_dilated(
        as_float(x)[..., None],
        np.random.default_rng(1).normal(size=(3, 3, 1, 2)).astype(np.float32),
        (1, 1),
        "SAME",
        rhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
}


# The others take half a second each, and run among the slow tests.
QUICK = ("the slice of a row", "a mean pool", "a dilated convolution", "a choice")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in OPERATIONS],
)
def test_an_operation_has_the_same_result_in_onnx(name):
    got, want = answered(OPERATIONS[name], films(3, 8))
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)  # rounding of float32


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("sort", lambda x: jnp.sort(x, 1)),
        ("scan", lambda x: lax.map(lambda row: row + 1, x.swapaxes(0, 1))),
    ],
)
def test_an_operation_without_a_counterpart_is_named(name, function):
    with pytest.raises(UserError, match=f"JAX's operation '{name}'.*export as stablehlo"):
        model_of(function, films_of_any_number(8), ("result",))


def extending_resnet(folder):
    """The config file of the ResNet in docs/extending.md."""
    page = (ROOT / "docs/extending.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    (text,) = [block for block in blocks if "class ResNet" in block]
    path = folder / "my_resnet.py"
    path.write_text(text)
    return path


def logits_of(config):
    """A function of films and the side of a film, for a network of initial weights."""
    network = make_network(config)
    params = nnx.to_pure_dict(nnx.split(make_module(config, nnx.Rngs(params=0)))[1])

    def logits(pixels):
        with plain_operations(True):
            return network.evaluation_logits(params, to_unit_range(pixels[..., None]))

    return logits, config.data.image_size


@pytest.mark.slow
def test_a_narrow_network_with_views_has_the_same_logits_in_onnx(config):
    config.unlock().test_time.views = ("flip", "zoom")
    function, side = logits_of(config)
    got, want = answered(function, films(3, side))
    np.testing.assert_allclose(got, want, atol=LOGIT_TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_heads", "inception_v3", "resnet"])
def test_a_network_has_the_same_logits_in_onnx(name, tmp_path, monkeypatch):
    if name == "resnet":
        monkeypatch.syspath_prepend(tmp_path)
        config = load_file(str(extending_resnet(tmp_path)))
    else:
        config = load_file(name)
    function, side = logits_of(config)
    got, want = answered(function, films(2, side))
    assert got.shape == (2,)
    np.testing.assert_allclose(got, want, atol=LOGIT_TOLERANCE)


@pytest.mark.slow
def test_bfloat16_is_refused_in_one_line(config):
    config.unlock().model.dtype = "bfloat16"
    function, side = logits_of(config)
    with pytest.raises(UserError, match="config.model.dtype is 'bfloat16'"):
        model_of(function, films_of_any_number(side), ("result",))
