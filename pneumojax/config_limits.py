"""Checks of a stored config, before anything is built of it: types of its fields, and sizes.

A run folder may come from a stranger. A value of another type would end in a traceback somewhere
below, and a size without a limit would take the memory of whoever opens the run.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from configs import base, inception_v3
from pneumojax.config import flatten
from pneumojax.fields import is_flag, is_number, is_text


class Limit(NamedTuple):
    """The range of a whole number, or of every whole number in a list, and its reason."""

    low: int
    high: int
    reason: str


LARGEST_SIDE = 4096
LARGEST_BATCH = 65_536
MOST_ITEMS = 256
MOST_PIXELS = 2**30  # of a batch; 4 GiB as float32
_WIDTH = Limit(0, 65_536, "a wider layer would take the memory")
_SIDE = "films are at most that large, and the memory grows with its square"
LIMITS = {
    "batch_size": Limit(1, LARGEST_BATCH, "more films at once would take the memory"),
    "microbatch_size": Limit(0, LARGEST_BATCH, "more films at once would take the memory"),
    "data.image_size": Limit(1, LARGEST_SIDE, _SIDE),
    "augment.size": Limit(0, LARGEST_SIDE, _SIDE),
    "data.folds": Limit(0, 1000, "each fold is a network of its own"),
    "data.fold": Limit(0, 999, "there are at most 1000 folds"),
    "model.channels": Limit(1, 64, "a film is repeated for each channel"),
    "model.classes": Limit(1, 1000, "the network answers one question"),
    "model.modules8": Limit(0, MOST_ITEMS, "each module is compiled"),
    "model.auxiliary_after": Limit(-1, MOST_ITEMS, "there are no more modules"),
    "model.pools": Limit(0, MOST_ITEMS, "there are no more modules"),
    "model.stem": _WIDTH,
    "model.modules": _WIDTH,
    "model.pools35": _WIDTH,
    "model.widths17": _WIDTH,
}
# Lists whose length the code relies on; all others may have from 0 to MOST_ITEMS.
_FIXED = ("model.stem", "model.pools35", "model.widths17", "augment.crop_area")
FIXED_LENGTH = (*_FIXED, "augment.crop_aspect")


def wrong_field(config: dict[str, Any]) -> str | None:
    """The first field that a config cannot have and why, in one line; None where all are usable.

    Args:
        config: complete, as `run.completed` makes it, of values that JSON can hold. The
            arguments of a network that is none of PneumoJAX's are not looked at, nor are fields
            that `configs/base.py` lacks, which nothing reads.
    """
    examples = flatten(base.get_config())
    flat = flatten(config)
    if flat.get("model.network") != examples["model.network"]:
        of_all = ("model.network", *(k for k in examples if not k.startswith("model.")))
        examples = {name: examples[name] for name in of_all}
        of_inception_v3 = flatten(inception_v3.get_config())
        if flat.get("model.network") == of_inception_v3["model.network"]:
            examples |= {k: v for k, v in of_inception_v3.items() if k.startswith("model.")}
    for name in sorted(flat.keys() & examples.keys()):
        value, example = flat[name], examples[name]
        if not _is_like(value, example, name in FIXED_LENGTH):
            return f"{name} is {repr(value)[:60]}, not of the kind of {str(example)[:60]!r}"
        limit = LIMITS.get(name)
        if limit and (out := [n for n in _whole(value) if not limit.low <= n <= limit.high]):
            return (
                f"{name} is {out[0]}, not from {limit.low} to {limit.high}, because {limit.reason}"
            )
    if absent := sorted(n for n in examples.keys() - flat.keys() if not n.startswith("model.")):
        return f"{absent[0]} is absent"
    if flat["batch_size"] * flat["data.image_size"] ** 2 > MOST_PIXELS:
        return (
            f"batch_size is {flat['batch_size']} at a data.image_size of "
            f"{flat['data.image_size']}, but a batch has at most {MOST_PIXELS:,} pixels, because "
            "more would take the memory"
        )
    return None


_KINDS: dict[type, Callable[[Any], bool]] = {
    bool: is_flag,
    float: is_number,
    str: is_text,
    int: lambda value: type(value) is int and abs(value) <= 2**53,
}


def _is_like(value: Any, example: Any, same_length: bool) -> bool:
    """Whether a value has an example's type; a whole number may stand for one with a fraction."""
    if not isinstance(example, list):
        return _KINDS[type(example)](value)
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        return False
    if same_length and len(value) != len(example):
        return False
    if not example:  # `model.pools` and `test_time.views`, whose own checks name what they take
        return all(type(item) in (int, str) for item in value)
    # The widths of a module are as many in each.
    return all(_is_like(item, example[0], same_length=True) for item in value)


def _whole(value: Any) -> list[int]:
    if isinstance(value, list):
        return [number for item in value for number in _whole(item)]
    return [value] if type(value) is int else []
