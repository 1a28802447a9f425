"""Training and evaluation on several devices, for which one CPU stands in."""

import json
import subprocess

import numpy as np
import pytest

from tests.support import devices, equal_steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def steps_of(tmp_path_factory):
    """`(cases, counts) -> arrays by name`: runs steps on virtual devices, in a new process."""

    def run(cases, counts):
        path = tmp_path_factory.mktemp("steps") / "steps.npz"
        line = devices.program(path, cases=cases, devices=counts)
        subprocess.run(line, env=devices.environment(8), check=True)
        return devices.load(path)

    return run


@pytest.fixture(scope="module")
def augmented(steps_of):
    return steps_of(["augmented"], [1, 2, 8])


@pytest.mark.parametrize("count", [2, 8])
def test_steps_of_several_devices_are_those_of_one(augmented, count):
    """Losses, state and logits, with batch norm, augmentation, dropout and an uneven last batch."""
    for dtype, steps in equal_steps.STEPS.items():
        assert len(set(augmented[f"augmented/{dtype}/1"]["losses"])) == steps
    row = devices.row(augmented, "augmented", augmented, "augmented", count)
    assert devices.agrees(row), row


@pytest.fixture(scope="module")
def in_parts(steps_of):
    return steps_of(["whole_batch", "two_at_a_time", "own_statistics"], [1, 2])


@pytest.mark.parametrize("count", [1, 2])
def test_gradients_added_up_over_parts_are_those_of_the_whole_batch(in_parts, count):
    """The batch is sixteen films on one device at once; the parts are two films at a time."""
    row = devices.row(in_parts, "whole_batch", in_parts, "two_at_a_time", count)
    assert devices.agrees(row), row


def test_statistics_of_each_device_alone_make_other_steps(in_parts):
    one, two = (in_parts[f"own_statistics/float64/{count}"] for count in (1, 2))
    assert np.min(np.abs(one["losses"] - two["losses"])) > 1e-4


SCORED = """
import json
import jax, numpy as np
from jax.sharding import Mesh
from tests.support import equal_steps
from pneumojax.training.optimizer import make_optimizer
from pneumojax.inference.forward import make_batched
from pneumojax.inference.forward import make_forward
from pneumojax.inference.network import make_network
from pneumojax.training.state import evaluation_params, initial_state
from pneumojax.inference.forward import to_unit_range

config = equal_steps.small_config("augmented", "float32")
network = make_network(config)
state = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))()
params = evaluation_params(network, state)
found = {}
for count in (1, 5, 8, 21, 32):
    films = equal_steps.film_set(count)
    images = films.pixels(np.arange(count))[..., None]
    alone = jax.jit(lambda image: network.evaluation_logits(params, to_unit_range(image)))
    found[f"{count} alone"] = [float(alone(image[None])[0]) for image in images]
for devices in (1, 2, 4, 8):
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    score = make_batched(make_forward(network, mesh), mesh, 8)
    for count in (1, 5, 8, 21, 32):
        found[f"{count} on {devices}"] = score(params, equal_steps.film_set(count)).tolist()
print(json.dumps(found))
"""


def test_every_film_is_scored_once_on_any_number_of_devices(on_virtual_devices):
    """Some counts are not multiples of the batch size, and each film is also scored alone."""
    scored = json.loads(on_virtual_devices(SCORED, 8))
    for count in (1, 5, 8, 21, 32):
        alone = scored[f"{count} alone"]
        assert len(set(alone)) == count
        for several in (1, 2, 4, 8):
            logits = scored[f"{count} on {several}"]
            assert len(logits) == count
            # A matrix product over more films is rounded differently.
            np.testing.assert_allclose(logits, alone, rtol=0, atol=1e-5 * np.max(np.abs(alone)))
