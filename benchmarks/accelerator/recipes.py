"""The networks, batches and precisions that are measured, and the random films they are fed."""

from dataclasses import dataclass

import jax
import numpy as np
from ml_collections import ConfigDict

from pneumojax.configs import base, inception_v3, reference, two_heads
from pneumojax.data.splits import preprocessing_of
from pneumojax.decoding.preprocessing import Preprocessing

# "tf32" is JAX's default for float32 on NVIDIA GPUs: products of ten bits of mantissa, summed in
# float32. On a CPU the default is float32 itself, and there the two differ in nothing.
PRECISIONS = ("tf32", "bfloat16", "float32")
NETWORKS = ("base", "inception_v3", "reference", "two_heads")
BATCHES = {"base": 64, "inception_v3": 128, "reference": 32, "two_heads": 64}
FILMS = 5216  # as many as the Kermany training set has; 262 MB at 224 pixels
_SMOKE_BATCH, _SMOKE_FILMS = 4, 64
_CONFIGS = {
    "base": base.get_config,
    "inception_v3": inception_v3.get_config,
    "reference": reference.get_config,
    "two_heads": two_heads.get_config,
}


@dataclass(frozen=True)
class Recipe:
    """One training step to measure.

    network: a name in `NETWORKS`.
    precision: a name in `PRECISIONS`.
    batch: films of a step; 0 is the network's in `BATCHES`, or a few in a smoke run.
    steps_per_call: as `config.train.steps_per_call`.
    smoke: shrinks films, network and batch, so that the whole program can be tried on a CPU.
    """

    network: str
    precision: str
    batch: int = 0
    steps_per_call: int = 1
    smoke: bool = False

    @property
    def films(self) -> int:
        """The number of films in the training set."""
        return _SMOKE_FILMS if self.smoke else FILMS

    def config(self) -> ConfigDict:
        """The network of a shipped config, trained by plain Adam on the whole batch at once.

        Augmentation, ghost batches, clipping, weight decay and averages are off, so that PyTorch
        can be given the same work. Inception-v3 is torchvision's at 299 pixels, with both heads and
        with scales in its norms. Other films have the size at which the shipped config trains.
        """
        config = _CONFIGS[self.network]()
        config.data.image_size = config.augment.size or config.data.image_size
        plain = base.get_config()
        for group in ("augment", "optimizer", "finetune", "average", "loss"):
            config[group] = plain[group]
        config.start.weights = ""
        config.microbatch_size = 0
        config.batch_size = self.batch or BATCHES[self.network]
        if self.network == "inception_v3":
            config.data.image_size, config.model.heads = 299, ("main", "auxiliary")
            config.model.norm_scale = config.model.pool_counts_padding = True
        config.model.dtype = "bfloat16" if self.precision == "bfloat16" else "float32"
        config.precision = "highest" if self.precision == "float32" else "default"
        config.data.resident = "replicated"
        config.train.steps_per_call = self.steps_per_call
        if self.smoke:
            _shrink(config)
            config.batch_size = self.batch or _SMOKE_BATCH * jax.device_count()
        return config

    def shipped_config(self) -> ConfigDict:
        """As `config`, with the augmentation and the optimizer of the shipped config."""
        shipped, config = _CONFIGS[self.network](), self.config()
        for group in ("augment", "optimizer", "average", "loss"):
            config[group] = shipped[group]
        config.microbatch_size = min(shipped.microbatch_size, config.batch_size)
        config.data.image_size = shipped.data.image_size
        if self.smoke:
            config.data.image_size, config.augment.size = 48, 40 if shipped.augment.size else 0
        return config


def _shrink(config: ConfigDict) -> None:
    """Makes the network of a config narrow and its films small."""
    if config.name == "inception_v3":
        config.data.image_size = 75
        config.model.stem = (4, 4, 4, 4, 8)
        config.model.pools35, config.model.widths17, config.model.modules8 = (8,), (8,), 0
        config.model.heads = ("main",)
        return
    config.data.image_size = 40
    config.model.stem = (4, 4, 8)
    config.model.modules = ((4, 4, 8, 2, 4, 4),)
    config.model.pools = ()


@dataclass(frozen=True)
class RandomFilms:
    """A training set of noise in memory, with what `training.calls.make_input` asks of one.

    images: uint8 (n, image_size, image_size).
    labels: int32 (n,), 0 or 1.
    """

    images: np.ndarray
    labels: np.ndarray
    preprocessing: Preprocessing

    @classmethod
    def of(cls, config: ConfigDict, count: int) -> "RandomFilms":
        """`count` films of the config's size, the same ones each time."""
        rng, size = np.random.default_rng(0), config.data.image_size
        images = rng.integers(0, 256, (count, size, size), np.uint8)
        labels = rng.integers(0, 2, count).astype(np.int32)
        return cls(images, labels, preprocessing_of(config))

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, films: np.ndarray) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films by their index."""
        return self.images[films]
