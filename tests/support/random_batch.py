"""A batch of random films, as the training step takes it."""

import numpy as np


def batch_of(config, seed=0):
    """A full batch for a config: noise with labels drawn at random."""
    rng = np.random.default_rng(seed)
    n, side = config.batch_size, config.data.image_size
    return {
        "image": rng.integers(0, 256, (n, side, side, 1), np.uint8),
        "label": rng.integers(0, 2, n, np.int32),
        "mask": np.ones(n, np.float32),
        "film": np.arange(n, dtype=np.int32),
    }
