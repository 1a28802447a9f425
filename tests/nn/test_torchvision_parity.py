"""Our Inception-v3 and torchvision's answer alike.

Run it with `pytest -m torchvision` where `torch==2.14.1 torchvision==0.29.1` for CPUs are
installed. docs/inception_v3.md has the result.
"""

import numpy as np
import pytest
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from pneumojax.nn.inception_v3 import InceptionV3
from pneumojax.weights.torchvision_files import read_torchvision

pytestmark = pytest.mark.torchvision
STAGES = [
    f"Mixed_{name}" for name in ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"]
]


@pytest.fixture(scope="module")
def published():
    """torchvision's network with random parameters and running statistics of sensible sizes."""
    import torch
    from torchvision.models import inception_v3

    network = inception_v3(
        weights=None, aux_logits=True, num_classes=9, init_weights=False, transform_input=False
    )
    rng = np.random.default_rng(0)
    state = network.state_dict()
    for name, values in state.items():
        if not values.dtype.is_floating_point:
            continue
        drawn = rng.normal(0, 1, values.shape)
        if name.endswith("running_var"):
            drawn = 0.5 + np.abs(drawn)
        elif name.endswith("bn.weight"):
            drawn = 1 + 0.2 * drawn
        elif values.ndim > 1:  # He's scale, which keeps activations of one size
            drawn *= np.sqrt(2 / np.prod(values.shape[1:]))
        else:
            drawn *= 0.1
        values.copy_(torch.from_numpy(drawn))
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("size", [299, 150, 75])
def test_torchvision_and_we_answer_alike(published, tmp_path, size):
    import torch
    from safetensors.torch import save_file

    state = {name: values.contiguous() for name, values in published.state_dict().items()}
    save_file(state, tmp_path / "torchvision.safetensors")
    arrays = read_torchvision(tmp_path / "torchvision.safetensors").arrays
    heads = ("main", "auxiliary") if size == 299 else ("main",)  # theirs needs 299
    module = nnx.eval_shape(
        lambda: InceptionV3(
            image_size=size,
            classes=9,
            heads=heads,
            norm_scale=True,
            pool_counts_padding=True,
            rngs=nnx.Rngs(0),
        )
    )
    definition, shapes = nnx.split(module)
    wanted = flatten_dict(nnx.to_pure_dict(shapes))
    taken = {place: array for place, array in arrays.items() if place in wanted}
    assert set(taken) == set(wanted)
    assert all(array.shape == wanted[place].shape for place, array in taken.items())
    ours = nnx.merge(definition, unflatten_dict(taken))

    films = np.random.default_rng(size).random((2, size, size, 3)).astype(np.float32)
    maps = {}
    hooks = [
        getattr(published, name).register_forward_hook(
            lambda _, __, result, name=name: maps.__setitem__(name, result)
        )
        for name in STAGES
    ]
    with torch.no_grad():
        theirs = {"main": published(torch.from_numpy(2 * films - 1).permute(0, 3, 1, 2))}
        if size == 299:
            theirs["auxiliary"] = published.AuxLogits(maps["Mixed_6e"])
    for hook in hooks:
        hook.remove()

    @nnx.jit
    def run(module, films):
        return module.stages(films), module(films)

    stages, logits = run(ours, films)
    furthest = 0.0
    for name, found in zip(STAGES, stages[1:], strict=True):
        expected = maps[name].permute(0, 2, 3, 1).numpy()
        # Float32 sums of up to 4,032 products are taken in another order, layer after layer.
        furthest = max(furthest, float(np.abs(found - expected).max() / np.abs(expected).max()))
    assert furthest < 1e-4
    for head, found in logits.items():
        np.testing.assert_allclose(found, theirs[head].numpy(), atol=1e-4)
    print(f"{size} pixels: stages within {furthest:.1e} of their largest value")
