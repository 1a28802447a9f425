"""The values that each field of a config may have, beyond its type.

Rules about a network's own arguments are checked by the network. Rules that need the films, such
as the size of a class, are checked where the films are loaded. Limits of size are there because a
run folder may come from a stranger, whose config could take the memory of whoever opens it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LONGEST_NAME = 100
DRAWN_SETS = ("synthetic", "synthetic_hard")  # values of data.root for films that are drawings
NAMED_SETS = (*DRAWN_SETS, "pneumonia_mnist")  # values of data.root that are not folders
ANY_OTHER = "*"  # in data.ignored, every name that is not that of a class
KERMANY = "kermany"  # the value of data.patient_pattern for the names of the Kermany set
# Other values of data.patient_pattern with a name. The groups of an expression name the patient.
PATIENT_PATTERNS = {
    "nih": r"(?:^|/)(\d{8})_\d{3}\.[^/]*$",  # ChestX-ray14, such as 00000061_012.png
    "chexpert": r"(?:^|/)patient(\d+)/",
    "mimic": r"(?:^|/)p(\d{8})/",
}
# Separators and case of names do not matter: "No finding" and "NO_FINDING" are one name.
_SEPARATORS = str.maketrans("", "", " \t-_")
LONGEST_PATTERN = 200
LONGEST_CLASS_NAME = 40  # characters of a class, whose names may be joined by "or"
# `inference`, `decoding` and `nn` have the following names too. Configs are checked without
# importing them, so the names are written twice, and a test compares them.
VIEWS = ("flip", "zoom")
DICOM_METADATA = ("PatientID", "PatientAge", "PatientSex", "ViewPosition")
RESIZES = ("bilinear_antialias", "bilinear", "nearest")
NORMALISATIONS = ("unit", "film", "symmetric")


class Rule(NamedTuple):
    """A condition that the value of one field must fulfil."""

    field: str  # full name, such as "data.val_fraction"
    holds: Callable[[Any], bool]
    words: str  # the second half of the message


def _one_of(field: str, *values: str) -> Rule:
    names = ", ".join(repr(value) for value in values)
    return Rule(field, lambda value: value in values, f"use one of {names}")


def _some_of(field: str, *values: str) -> Rule:
    names = ", ".join(map(repr, values))
    return Rule(
        field,
        lambda chosen: set(chosen) <= set(values) and len(set(chosen)) == len(chosen),
        f"use any of {names}, each once",
    )


def _within(field: str, low: float, high: float = float("inf")) -> Rule:
    words = f"it must be {low:g} or more" if high == float("inf") else f"use {low:g} to {high:g}"
    return Rule(field, lambda value: low <= value <= high, words)


def _share(field: str) -> Rule:
    return Rule(field, lambda value: 0 <= value < 1, "it must be 0 or more, and below 1")


def _is_folder_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name == Path(name).name and name.isprintable()


def plain(name: str) -> str:
    """A class's name without case, blanks, hyphens and underscores, by which names are compared."""
    return name.casefold().translate(_SEPARATORS)


def _is_class(names: Sequence[str]) -> bool:
    shown = " or ".join(names)
    return (
        all(isinstance(name, str) and plain(name) for name in names)
        and 0 < len(shown) <= LONGEST_CLASS_NAME
        and shown.isprintable()
    )


def _class_rule(field: str) -> Rule:
    return Rule(
        field,
        _is_class,
        "use one or more names of folders or labels, printable and with at most "
        f"{LONGEST_CLASS_NAME} characters together",
    )


def _is_patient_pattern(pattern: str) -> bool:
    if pattern == KERMANY or pattern in PATIENT_PATTERNS:
        return True
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return len(pattern) <= LONGEST_PATTERN


RULES = (
    Rule(
        "name",
        _is_folder_name,
        f"it begins the name of a folder: use 1 to {LONGEST_NAME} printable characters without a "
        "slash",
    ),
    _within("epochs", 1),
    _one_of("statistics_over", "devices", "device"),
    _one_of("precision", "default", "highest"),
    _one_of("data.val", "patients", "folder"),
    _share("data.val_fraction"),
    Rule("data.folds", lambda folds: folds == 0 or folds >= 2, "use 0, or 2 or more"),
    _one_of("data.resize", *RESIZES),
    _within("data.max_cache_gb", 0),
    _class_rule("data.negative"),
    _class_rule("data.positive"),
    Rule(
        "data.ignored",
        lambda names: all(isinstance(name, str) and plain(name) for name in names),
        f"use names of folders or labels, or {ANY_OTHER!r} for all others",
    ),
    _some_of("data.dicom_metadata", *DICOM_METADATA),
    Rule(
        "data.patient_pattern",
        _is_patient_pattern,
        f"use {', '.join(map(repr, (KERMANY, *PATIENT_PATTERNS)))}, a regular expression of at "
        f"most {LONGEST_PATTERN} characters, or '' if paths tell no patient",
    ),
    _one_of("data.resident", "auto", "off", "replicated", "sharded"),
    _within("data.resident_share", 0, 1),
    _one_of("data.normalise", *NORMALISATIONS),
    Rule(
        "augment.crop_area",
        lambda area: 0 < area[0] <= area[1] <= 1,
        "use two shares of the film, above 0 and at most 1, the smaller one first",
    ),
    Rule(
        "augment.crop_aspect",
        lambda aspect: 0 < aspect[0] <= aspect[1],
        "use two ratios above 0, the smaller one first",
    ),
    _within("augment.rotation", 0, 180),
    _within("augment.shift", 0, 1),
    _within("augment.flip", 0, 1),
    _within("augment.brightness", 0, 1),
    _within("augment.contrast", 0, 10),
    _within("augment.gamma", 0, 10),
    _within("augment.blur", 0, 20),
    _within("augment.sharpen", 0, 10),
    _within("augment.noise", 0, 1),
    _within("augment.downscale", 0.05, 1),
    _within("augment.jpeg", 0, 1),
    _within("augment.probability", 0, 1),
    _within("augment.erase", 0, 1),
    _within("augment.mixup", 0, 10),
    _one_of("model.dtype", "float32", "bfloat16"),
    Rule(
        "loss.auxiliary_weights",
        lambda weights: all(weight >= 0 for weight in weights),
        "each must be 0 or more",
    ),
    _share("loss.label_smoothing"),
    _within("loss.focal_gamma", 0),
    _within("optimizer.learning_rate", 0),
    _one_of("optimizer.schedule", "constant", "cosine"),
    _within("optimizer.warmup_epochs", 0),
    _within("optimizer.weight_decay", 0),
    _within("optimizer.clip_norm", 0),
    _within("finetune.frozen_epochs", 0),
    _within("finetune.backbone_rate", 0),
    Rule(
        "distill.teachers",
        lambda teachers: all(isinstance(folder, str) and folder.strip() for folder in teachers),
        "use run folders",
    ),
    Rule("distill.weight", lambda weight: 0 < weight <= 1, "it must be above 0, and at most 1"),
    Rule("distill.temperature", lambda value: value > 0, "it must be above 0"),
    _share("average.decay"),
    _within("early_stopping.patience", 0),
    _some_of("test_time.views", *VIEWS),
    _one_of("checkpoint.best_metric", "loss", "auroc", "last"),
    _one_of("decision.rule", "youden", "sensitivity", "cost"),
    Rule(
        "decision.min_sensitivity",
        lambda value: 0 < value <= 1,
        "it must be above 0, and at most 1",
    ),
    Rule("decision.cost_ratio", lambda value: value > 0, "it must be above 0"),
    _some_of("log.trackers", "mlflow", "wandb"),
    _within("log.tracker_seconds", 0, 3_600),
)


def broken_relation(flat: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first field that contradicts another field, with the rule in words; or None."""
    epochs, folds = flat["epochs"], flat["data.folds"]
    if folds and flat["data.val"] == "folder":
        return "data.folds", "folds are groups of patients, so config.data.val must be 'patients'"
    if flat["data.stratify"] and flat["data.val"] == "folder":
        return "data.stratify", "films are only divided with config.data.val='patients'"
    if flat["data.fold_by"] and not folds:
        return "data.fold_by", "its groups are folds: set config.data.folds to their number"
    if flat["data.fold_by"] and flat["data.stratify"]:
        return "data.stratify", "folds are the groups of config.data.fold_by; set only one of them"
    if folds and not 0 <= flat["data.fold"] < folds:
        return "data.fold", f"with config.data.folds={folds} use 0 to {folds - 1}"
    if shared := set(map(plain, flat["data.negative"])) & set(map(plain, flat["data.positive"])):
        return "data.positive", f"config.data.negative has the name {min(shared)!r} as well"
    if flat["finetune.frozen_epochs"] > epochs:
        return "finetune.frozen_epochs", f"it must be at most config.epochs, {epochs}"
    if flat["optimizer.warmup_epochs"] >= epochs:
        return "optimizer.warmup_epochs", f"it must be below config.epochs, {epochs}"
    if flat["early_stopping.patience"] and flat["checkpoint.best_metric"] == "last":
        return (
            "early_stopping.patience",
            "with config.checkpoint.best_metric='last' every epoch is better than the one before "
            "it; use 'auroc' or 'loss'",
        )
    return None


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
    "train.steps_per_call": Limit(0, 1024, "saves and signals wait for the end of a call"),
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
    "augment.crop_area",
    "augment.crop_aspect",
)
