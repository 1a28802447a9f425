"""Checks of a checkpoint's metadata: each value is usable, and agrees with config.json.

The metadata holds the decision that was fitted in training. When `config.decision` changes later,
evaluation fits it again on the validation films and keeps it in decision.json.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
from ml_collections import ConfigDict

from pneumojax.config.check import first_problem
from pneumojax.config.flat import flatten
from pneumojax.config.rules import LARGEST_SIDE, LONGEST_CLASS_NAME
from pneumojax.data.naming import naming_of
from pneumojax.data.out_of_distribution import STATISTICS
from pneumojax.errors import UserError
from pneumojax.fields import (
    Field,
    first_wrong,
    is_count,
    is_flag,
    is_group,
    is_measured,
    is_number,
    is_positive,
    is_text,
    list_of,
    mapping_of,
    number_in,
    optional,
    read_record,
    with_keys,
)
from pneumojax.files import write_json
from pneumojax.run.provenance import FINGERPRINTS
from pneumojax.run.stored_config import NOT_A_CONFIG, completed
from pneumojax.run.weights_folder import WeightsFolder

if TYPE_CHECKING:
    from pneumojax.run.checkpoint import Checkpoints

_PREPROCESSING = ("image_size", "resize", "reduced_decode")
_SCOPE = ("mean", "whitening", "limit", "films")
# A small compressed file can unpack to arrays of any size; these take 4 GiB as float32.
MOST_PARAMETERS = 2**30
# The fields of `inference.decision.Decision`. "default" is the rule when none could be fitted.
DECISION_FIELDS = ("rule", "temperature", "threshold", "films", "note")
DECISION = "decision.json"
_DECISION_RULES = ("youden", "sensitivity", "cost", "worst_case", "default")


def decision_fields(*place: str) -> list[Field]:
    """The fields of a `Decision` at a place in a record, by default at the top."""
    fields = [
        Field(
            (*place, "rule"),
            lambda value: value in _DECISION_RULES,
            "one of " + ", ".join(_DECISION_RULES),
        ),
        Field((*place, "temperature"), is_positive, "a finite number above 0"),
        Field((*place, "threshold"), number_in(0, 1), "a number from 0 to 1"),
        Field((*place, "films"), is_count, "a count"),
        Field((*place, "note"), is_text, "text"),
    ]
    if not place:
        return fields
    names = ", ".join(DECISION_FIELDS)
    return [Field(place, with_keys(DECISION_FIELDS), f"an object of {names}", False), *fields]


def _are_class_names(value: Any) -> bool:
    return (
        list_of(is_text, 2)(value)
        and len(set(value)) == 2
        and all(0 < len(name) <= LONGEST_CLASS_NAME and name.isprintable() for name in value)
    )


def _is_held_out(value: Any) -> bool:
    """Whether a value is a group of a forecast, see `evaluation.forecast.HeldOut`."""
    group = (
        Field(("name",), is_text, ""),
        Field(("films",), is_count, ""),
        *(
            Field((metric, limit), optional(is_number), "")
            for metric in ("auroc", "sensitivity", "specificity")
            for limit in ("value", "low", "high")
        ),
    )
    return isinstance(value, dict) and first_wrong(value, group) is None


def _are_held_out(value: Any) -> bool:
    most = 1000  # as many as there may be folds
    return list_of(_is_held_out)(value) and len(value) <= most


# Fields that earlier versions did not write are not required.
FIELDS = (
    Field(("step",), is_count, "a count"),
    Field(("epoch",), is_count, "a count", required=False),
    Field(("synthetic",), is_flag, "true or false"),
    Field(("class_names",), _are_class_names, "two different short names"),
    Field(
        ("preprocessing",), with_keys(_PREPROCESSING), "an object of " + ", ".join(_PREPROCESSING)
    ),
    Field(
        ("preprocessing", "image_size"),
        lambda value: type(value) is int and 1 <= value <= LARGEST_SIDE,
        f"a whole number from 1 to {LARGEST_SIDE}",
    ),
    Field(("preprocessing", "resize"), is_text, "text"),
    Field(("preprocessing", "reduced_decode"), is_flag, "true or false"),
    Field(("digests",), mapping_of(is_text), "an object of texts"),
    Field(("digests", "params"), is_text, "text"),
    Field(("decision",), is_group, "an object"),
    *decision_fields("decision"),
    *decision_fields("decision_of_validation"),
    Field(
        ("scope",), optional(with_keys(_SCOPE)), "null or an object of " + ", ".join(_SCOPE), False
    ),
    Field(("scope", "mean"), list_of(is_number, STATISTICS), f"{STATISTICS} finite numbers"),
    Field(
        ("scope", "whitening"),
        list_of(list_of(is_number, STATISTICS), STATISTICS),
        f"{STATISTICS} rows of {STATISTICS} finite numbers",
    ),
    Field(("scope", "limit"), is_positive, "a finite number above 0"),
    Field(("scope", "films"), is_count, "a count"),
    Field(("forecast",), optional(is_group), "null or an object", required=False),
    Field(("forecast", "column"), is_text, "text"),
    Field(("forecast", "groups"), _are_held_out, "a list of groups with their metrics"),
    Field(("forecast", "sensitivity"), list_of(is_number, 2), "two finite numbers"),
    Field(("forecast", "specificity"), list_of(is_number, 2), "two finite numbers"),
    *FINGERPRINTS,
    Field(("figures",), mapping_of(is_measured), "an object of numbers", required=False),
    Field(("best",), optional(mapping_of(is_measured)), "null or an object of numbers", False),
    Field(("versions",), mapping_of(is_text), "an object of texts", required=False),
    Field(("config",), is_group, "an object"),
)
_DECISION_RECORD = (
    Field(("rule",), is_group, "an object"),
    Field(("params",), is_text, "text"),
    *decision_fields("decision"),
)


def check_meta(meta: dict[str, Any], folder: Path) -> None:
    """Raises UserError for the first value that cannot be used, with its folder and field."""
    if wrong := first_wrong(meta, FIELDS):
        raise UserError(
            f"the checkpoint in {str(folder)!r} cannot be used: its metadata's {wrong}; "
            "train again, or take a whole copy of the run",
            flag="workdir",
        )


def check_before(
    checkpoints: "Checkpoints | WeightsFolder", config: ConfigDict
) -> dict[str, Any] | None:
    """Returns the newest metadata, checked before a network is built from the config.

    Otherwise arrays of another config would look damaged, and a stranger's sizes could take the
    memory.
    """
    meta = checkpoints.newest_meta("best", "latest")
    if meta is not None:
        check_meta(meta, checkpoints.workdir)
        check_config(meta, config, checkpoints.workdir)
    return meta


def check_config(meta: dict[str, Any], config: ConfigDict, folder: Path) -> None:
    """Raises UserError if a config and its checkpoint would give different answers."""
    try:
        trained = completed(meta["config"])
    except NOT_A_CONFIG as error:
        raise UserError(
            f"the config in the checkpoint's metadata in {str(folder)!r} is not "
            "that of a run; train again, or take a whole copy of the run",
            flag="workdir",
        ) from error
    if wrong := first_problem(trained):
        raise UserError(
            f"the config in the checkpoint's metadata in {str(folder)!r} cannot be "
            f"used: {wrong}; train again, or take a whole copy of the run",
            flag="workdir",
        )
    ours = answering(config)
    preprocessing = {f"data.{name}": meta["preprocessing"][name] for name in _PREPROCESSING}
    _refuse_differences(preprocessing, {name: ours.get(name) for name in preprocessing}, folder)
    _refuse_differences(answering(trained), ours, folder)
    names = list(naming_of(config).classes.names)
    if names != meta["class_names"]:
        raise UserError(
            f"the class_names in the checkpoint of {str(folder)!r} are {meta['class_names']}, but "
            f"config.data.negative and positive in its config.json name {names}; put the names of "
            "the checkpoint back",
            flag="workdir",
        )


def current_decision(
    workdir: Path, config: ConfigDict, meta: dict[str, Any]
) -> dict[str, Any] | None:
    """The decision of a checkpoint under the run's config; None if it has to be fitted first."""
    trained, rule = meta["decision"], flatten(config.decision)
    could_fit = trained["rule"] != "default"
    if not could_fit or flatten(completed(meta["config"]).decision) == rule:
        return trained
    path = workdir / DECISION
    if not path.exists():
        return None
    record = read_record(path, _DECISION_RECORD)
    is_current = record["rule"] == rule and record["params"] == meta["digests"]["params"]
    return record.get("decision") if is_current else None


def write_decision(
    workdir: Path, config: ConfigDict, meta: dict[str, Any], decision: dict[str, Any]
) -> None:
    """Writes a decision that was fitted by the config's rule for a checkpoint's parameters."""
    rule, params = flatten(config.decision), meta["digests"]["params"]
    write_json(workdir / DECISION, {"rule": rule, "params": params, "decision": decision})


def check_size(abstract_params: dict, folder: Path) -> None:
    """Raises UserError for a network whose arrays would take the memory of whoever opens the run.

    Each size in a stranger's config is in range, but their products need not be.
    """
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(abstract_params))
    if count > MOST_PARAMETERS:
        raise UserError(
            f"the config in {str(folder)!r} describes a network of {count:,} "
            f"parameters, but at most {MOST_PARAMETERS:,} are read, because more would take the "
            "memory",
            flag="workdir",
        )


def answering(config: ConfigDict) -> dict[str, Any]:
    """The fields of a config, by full name, that decide the network's answers."""
    named = {"precision", *(f"data.{name}" for name in (*_PREPROCESSING, "normalise"))}
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
                f"config.{name} is {b!r} in the config of {str(folder)!r} and {a!r} in "
                f"its checkpoint, which was trained with it: put {a!r} back into config.json",
                flag="workdir",
            )
