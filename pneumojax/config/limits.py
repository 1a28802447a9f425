"""The largest sizes that a config may ask for.

A run folder may come from a stranger. Without these limits its config could take the memory of
whoever opens it.
"""

from typing import NamedTuple


class Limit(NamedTuple):
    """The range of a whole number, or of every whole number in a list, and its reason."""

    low: int
    high: int
    reason: str


LARGEST_SIDE = 4096
LARGEST_BATCH = 65_536
MOST_ITEMS = 256
MOST_PIXELS = 2**30  # in a batch, which take 4 GiB as float32
_BATCH = "more films at once would take too much memory"
_WIDTH = Limit(0, 65_536, "a wider layer would take too much memory")
_SIDE = "memory grows with the square of the side"
LIMITS = {
    "batch_size": Limit(1, LARGEST_BATCH, _BATCH),
    "microbatch_size": Limit(0, LARGEST_BATCH, _BATCH),
    "data.image_size": Limit(1, LARGEST_SIDE, _SIDE),
    "augment.size": Limit(0, LARGEST_SIDE, _SIDE),
    "data.folds": Limit(0, 1000, "each fold trains its own network"),
    "data.fold": Limit(0, 999, "there are at most 1000 folds"),
    "model.channels": Limit(1, 64, "the film is repeated for each channel"),
    "model.classes": Limit(1, 1000, "the network answers one question"),
    "model.modules8": Limit(0, MOST_ITEMS, "each module is compiled"),
    "model.auxiliary_after": Limit(-1, MOST_ITEMS, "there are no more modules"),
    "model.pools": Limit(0, MOST_ITEMS, "there are no more modules"),
    "model.stem": _WIDTH,
    "model.modules": _WIDTH,
    "model.pools35": _WIDTH,
    "model.widths17": _WIDTH,
}
# The code relies on the length of these lists; all others may have 0 to MOST_ITEMS items.
FIXED_LENGTH = (
    "model.stem",
    "model.pools35",
    "model.widths17",
    "augment.crop_area",
    "augment.crop_aspect",
)
