"""Checks of a checkpoint's metadata: each value is usable, and config.json tells the same."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from pneumojax.config import flatten
from pneumojax.errors import UserError
from pneumojax.evaluation.decision import RULES
from pneumojax.run import completed
from pneumojax.training.checkpoint import Checkpoints

_PREPROCESSING = ("image_size", "resize", "reduced_decode")
LARGEST_SIDE = 4096  # pixels; larger ones would take the memory before anything is known


class Field(NamedTuple):
    """A value of the metadata.

    place: the keys that lead to it.
    fits: whether a value may stand there.
    wanted: what may, for the message.
    required: whether a checkpoint without it is refused, where the group that it is in is there.
    """

    place: tuple[str, ...]
    fits: Callable[[Any], bool]
    wanted: str
    required: bool = True


def _number(low: float, high: float) -> Callable[[Any], bool]:
    """Whether a value is a finite number in the closed range."""

    def fits(value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and low <= value <= high

    return fits


def _count(low: int, high: int = 2**53) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_group(value: Any) -> bool:
    return isinstance(value, dict)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_KNOWN_RULES = (*RULES, "default")


def _decision(name: str) -> list[Field]:
    return [
        Field((name,), _is_group, "an object", required=False),
        Field((name, "rule"), lambda v: v in _KNOWN_RULES, "one of " + ", ".join(_KNOWN_RULES)),
        Field((name, "threshold"), _number(0, 1), "a number from 0 to 1"),
        Field((name, "temperature"), _number(1e-300, 1e300), "a finite number above 0"),
        Field((name, "films"), _count(0), "a count"),
        Field((name, "note"), _is_text, "text"),
    ]


FIELDS = (
    Field(("step",), _count(0), "a count"),
    Field(("synthetic",), _is_bool, "true or false"),
    Field(
        ("class_names",),
        lambda value: value == ["NORMAL", "PNEUMONIA"],
        '["NORMAL", "PNEUMONIA"]',
        required=False,
    ),
    Field(("preprocessing",), _is_group, "an object"),
    Field(
        ("preprocessing", "image_size"), _count(1, LARGEST_SIDE), f"a count up to {LARGEST_SIDE}"
    ),
    Field(("preprocessing", "resize"), _is_text, "text"),
    Field(("preprocessing", "reduced_decode"), _is_bool, "true or false"),
    Field(("digests",), _is_group, "an object"),
    Field(("digests", "params"), _is_text, "text"),
    *_decision("decision"),
    *_decision("decision_of_validation"),
    Field(("config",), _is_group, "an object", required=False),
)
_ABSENT = object()


def check_meta(meta: dict[str, Any], folder: Path) -> None:
    """Raises UserError with the folder and the field of the first value that cannot be used."""
    for field in FIELDS:
        *groups, name = field.place
        group: Any = meta
        for key in groups:
            group = group.get(key) if isinstance(group, dict) else None
        if not isinstance(group, dict):
            continue  # a group that is not there; a required one was refused before
        value = group.get(name, _ABSENT)
        if value is _ABSENT:
            fits, found = not field.required, "absent"
        else:
            fits, found = field.fits(value), repr(value)[:60]
        if not fits:
            raise UserError(
                f"--workdir: the checkpoint in {str(folder)!r} cannot be used: its metadata's "
                f"{'.'.join(field.place)} is {found}, not {field.wanted}; train again, or take a "
                "whole copy of the run"
            )


def check_before(checkpoints: Checkpoints, config: ConfigDict) -> None:
    """Refuses what `check_meta` and `check_config` do before a network is built of the config.

    The shapes of another config's arrays would be taken for damage, and a stranger's sizes could
    take the memory.
    """
    meta = checkpoints.newest_meta()
    if meta is not None:
        check_meta(meta, checkpoints.workdir)
        check_config(meta, config, checkpoints.workdir)


def check_config(meta: dict[str, Any], config: ConfigDict, folder: Path) -> None:
    """Raises UserError where a config is not that of a checkpoint in what decides its answers.

    Checkpoints without a config of their own are compared in their preprocessing alone.
    """
    ours = answering(config)
    theirs = {f"data.{name}": meta["preprocessing"][name] for name in _PREPROCESSING}
    _refuse_differences(theirs, {name: ours.get(name) for name in theirs}, folder)
    if "config" in meta:
        try:
            theirs = answering(completed(meta["config"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"--workdir: the config in the checkpoint's metadata in {str(folder)!r} is none "
                "of a run; train again, or take a whole copy of the run"
            ) from error
        _refuse_differences(theirs, ours, folder)


def answering(config: ConfigDict) -> dict[str, Any]:
    """The fields of a config that decide what a network's parameters answer, by their full name."""
    named = {f"data.{name}" for name in (*_PREPROCESSING, "normalise")}
    return {
        name: value
        for name, value in flatten(config).items()
        if name in named or name.startswith(("model.", "test_time."))
    }


def _refuse_differences(theirs: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    for name in sorted(theirs.keys() | ours.keys()):
        a, b = theirs.get(name, "absent"), ours.get(name, "absent")
        if a != b:
            raise UserError(
                f"--workdir: {name} is {b!r} in the config of {str(folder)!r} and {a!r} in its "
                f"checkpoint, which was trained with that: put {a!r} back into config.json"
            )
