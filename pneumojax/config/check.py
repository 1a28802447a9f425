"""Checks a config before anything is built from it, and words all errors in one way.

A config may come from a stranger's run folder. A value of another type would end in a traceback
deep in the program, and a size without a limit would take the memory of whoever opens the run.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pneumojax.config.flat import flatten
from pneumojax.config.rules import (
    FIXED_LENGTH,
    LIMITS,
    MOST_ITEMS,
    MOST_PIXELS,
    RULES,
    broken_relation,
)
from pneumojax.configs import base, inception_v3
from pneumojax.errors import UserError
from pneumojax.fields import is_flag, is_number, is_text


def wrong_value(field: str, value: Any, rule: str) -> str:
    """The line that tells a user which field is wrong, by a rule such as "it must be 1 or more"."""
    shown = repr(tuple(value)) if isinstance(value, list) else repr(value)
    return f"config.{field} is {shown if len(shown) <= 60 else shown[:57] + '...'}: {rule}"


def check(config: Mapping[str, Any]) -> None:
    """Raises UserError for the first field that has a wrong value; see `first_problem`."""
    if wrong := first_problem(config):
        raise UserError(wrong)


def first_problem(config: Mapping[str, Any]) -> str | None:
    """One line about the first field that is absent or has a wrong value; None if there is none.

    The arguments of a network that is not PneumoJAX's are not checked, nor are fields that
    `configs/base.py` lacks, which nothing reads.
    """
    flat = flatten(config)
    examples = _examples(flat)
    for name in sorted(flat.keys() & examples.keys()):
        if wrong := _wrong_kind(name, flat[name], examples[name]) or _wrong_size(name, flat[name]):
            return wrong_value(name, flat[name], wrong)
    if absent := sorted(n for n in examples.keys() - flat.keys() if not n.startswith("model.")):
        return f"config.{absent[0]} is absent"
    for rule in RULES:
        if rule.field in flat and not rule.holds(flat[rule.field]):
            return wrong_value(rule.field, flat[rule.field], rule.words)
    if broken := broken_relation(flat):
        field, words = broken
        return wrong_value(field, flat[field], words)
    if flat["batch_size"] * flat["data.image_size"] ** 2 > MOST_PIXELS:
        return wrong_value(
            "batch_size",
            flat["batch_size"],
            f"with config.data.image_size={flat['data.image_size']} a batch has more than "
            f"{MOST_PIXELS:,} pixels, which would take too much memory",
        )
    return None


def _examples(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A value of the right type for every known field."""
    defaults = flatten(base.get_config())
    network = flat.get("model.network")
    if network == defaults["model.network"]:
        return defaults
    examples = {name: value for name, value in defaults.items() if not name.startswith("model.")}
    examples["model.network"] = defaults["model.network"]
    other = flatten(inception_v3.get_config())
    if network == other["model.network"]:
        examples |= {name: value for name, value in other.items() if name.startswith("model.")}
    return examples


_KINDS: dict[type, tuple[Callable[[Any], bool], str]] = {
    bool: (is_flag, "True or False"),
    float: (is_number, "a finite number"),
    str: (is_text, "text"),
    int: (lambda value: type(value) is int and abs(value) <= 2**53, "a whole number"),
}


def _wrong_kind(name: str, value: Any, example: Any) -> str | None:
    """The rule that a value of the wrong type breaks; a float field may hold a whole number."""
    if _is_like(value, example, same_length=name in FIXED_LENGTH):
        return None
    if isinstance(example, list):
        length = f"{len(example)}" if name in FIXED_LENGTH else f"at most {MOST_ITEMS}"
        such = f", such as {tuple(example)}" if example else ""
        return f"it must be a tuple of {length} items{such}"
    return f"it must be {_KINDS[type(example)][1]}"


def _is_like(value: Any, example: Any, same_length: bool) -> bool:
    if not isinstance(example, list):
        return _KINDS[type(example)][0](value)
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        return False
    if same_length and len(value) != len(example):
        return False
    # The defaults of model.pools and test_time.views are empty, so there is no item to compare
    # with. The rules check their values.
    if not example:
        return all(type(item) in (int, str) for item in value)
    # Every module has the same number of widths.
    return all(_is_like(item, example[0], same_length=True) for item in value)


def _wrong_size(name: str, value: Any) -> str | None:
    limit = LIMITS.get(name)
    if limit is None or all(limit.low <= number <= limit.high for number in _whole(value)):
        return None
    each = "each must be" if isinstance(value, list) else "it must be"
    return f"{each} from {limit.low} to {limit.high:,}, because {limit.reason}"


def _whole(value: Any) -> list[int]:
    """The whole numbers in a value, at any depth of nesting."""
    if isinstance(value, list):
        return [number for item in value for number in _whole(item)]
    return [value] if type(value) is int else []
