"""The PyTorch networks of the accelerator benchmark are the networks of this project."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from benchmarks.accelerator.recipes import RandomFilms, Recipe
from benchmarks.accelerator.torch_contest import measure_contest
from pneumojax.inference.network import make_network
from pneumojax.nn.inception import count_parameters

pytestmark = [pytest.mark.torchvision, pytest.mark.slow]
torch = pytest.importorskip("torch")


def random_params(network):
    """Values at which every tensor matters: kernels of variance 1/fan-in, statistics near 1."""
    rng = np.random.default_rng(0)

    def values(leaf):
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if len(leaf.shape) > 1 else 0.1
        shift = 0.0 if len(leaf.shape) > 1 else 1.0
        return (shift + scale * rng.standard_normal(leaf.shape)).astype(np.float32)

    return jax.tree.map(values, network.abstract_params)


@pytest.mark.parametrize("name", ["base", "two_heads", "reference"])
def test_logits_with_the_same_weights_are_ours(name):
    from benchmarks.accelerator import torch_networks

    config = Recipe(name, "float32", smoke=True).config()
    if name == "reference":  # the smoke run takes its pools away
        config.model.modules, config.model.pools = (*config.model.modules,) * 2, (1,)
    network = make_network(config)
    params, films = random_params(network), RandomFilms.of(config, 4)
    ours = jax.jit(network.logits)(params, films.images[..., None] / np.float32(255))
    theirs = torch_networks.make_torch_network(config).eval()
    flat = {"/".join(map(str, path)): a for path, a in flatten_dict(params).items()}
    torch_networks.copy_weights(theirs, flat)
    model = config.model
    with torch.no_grad():
        x = torch_networks.network_input(
            torch.from_numpy(films.images), config.data.normalise, model.channels
        )
        found = theirs(x)
    assert found.keys() == ours.keys()
    for head, logits in ours.items():
        # Both sum in float32 in different orders, over some ten layers.
        np.testing.assert_allclose(found[head].numpy(), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["base", "two_heads", "reference", "inception_v3"])
def test_the_networks_have_as_many_values(name):
    from benchmarks.accelerator import torch_networks

    if name == "inception_v3":
        pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    config = Recipe(name, "tf32").config()
    theirs = torch_networks.make_torch_network(config)
    statistics = [b for b in theirs.buffers() if b.is_floating_point()]
    found = sum(values.numel() for values in [*theirs.parameters(), *statistics])
    assert found == count_parameters(make_network(config).abstract_params)


def test_both_sides_take_turns(monkeypatch):
    monkeypatch.setattr("benchmarks.accelerator.torch_contest._ROUNDS", 2)
    contest = measure_contest(Recipe("base", "tf32", steps_per_call=2, smoke=True), ("eager",))
    assert set(contest.contestants) == {"ours", "eager"} and contest.skipped == ""
    assert all(len(one.seconds) == 2 for one in contest.contestants.values())
    ours, eager = (contest.contestants[name].median_seconds for name in ("ours", "eager"))
    assert contest.ratios == {"eager": pytest.approx(eager / ours)}
