"""The table of docs/reference_model.md on films whose patients no network was trained on."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.docs.marks import table
from tools.docs.places import REFERENCE
from tools.docs.reference_card import shown

# part -> its title, in the order of the columns
PARTS = {
    "from_scratch": "from random weights",
    "fine_tuned": "fine-tuned",
    "mean": "mean of the two",
    "views": "mean of the two, with further views",
}
Part = Mapping[str, Any]


def by_fold(values: Sequence[float]) -> str:
    """Writes one value for each fold."""
    return ", ".join(f"{value:.3f}" for value in values)


def _elsewhere(name: str) -> Callable[[Part], str]:
    return lambda part: by_fold([fold[f"elsewhere_{name}"]["value"] for fold in part["elsewhere"]])


def _released(name: str) -> Callable[[Part], str]:
    return lambda part: shown(part["released"][name]) if "released" in part else ""


# title of a row -> the cell of one part
ROWS: dict[str, Callable[[Part], str]] = {
    "AUROC": lambda part: shown(part["out_of_fold"]["auroc"]),
    "AUROC by fold": lambda part: by_fold(part["out_of_fold"]["auroc_by_fold"]),
    "AUROC on matched pairs": lambda part: shown(part["out_of_fold"]["matched_auroc"]),
    "AUROC under stress, mean": lambda part: shown(part["protocols"]["stress_mean_auroc"]),
    "AUROC under stress, worst": lambda part: shown(part["protocols"]["stress_worst_auroc"]),
    "specificity at a sensitivity of 95 %": lambda part: shown(part["out_of_fold"]["specificity"]),
    "the same, softest third of normal films": lambda part: shown(
        part["protocols"]["softest_specificity"]
    ),
    "calibration error": lambda part: shown(part["out_of_fold"]["calibration_error"]),
    "sensitivity at the released threshold": _released("sensitivity"),
    "specificity at the released threshold": _released("specificity"),
    "another hospital by fold: AUROC, AP": _elsewhere("auroc_ap"),
    "another hospital by fold: AUROC, PA": _elsewhere("auroc_pa"),
    "another hospital by fold: mean of both": _elsewhere("auroc"),
}


def patient_folds(found: Mapping[str, Any]) -> str:
    """Renders each figure of each part, and how the AUROC of the last differs from the others'."""
    parts = [found["parts"][part] for part in PARTS]
    rows = [[title, *(cell(part) for part in parts)] for title, cell in ROWS.items()]
    differences = found["auroc_of_views_minus"]
    rows.insert(
        1,
        [
            "AUROC with further views, minus this one",
            *(_difference(differences[part]) if part in differences else "" for part in PARTS),
        ],
    )
    films = found["parts"]["views"]["out_of_fold"]
    head = f"out of fold, {films['films']:,} films of {films['patients']:,} children"
    return table((head, *PARTS.values()), rows)


def _difference(test: Mapping[str, float]) -> str:
    limits = f"{test['low']:+.4f} to {test['high']:+.4f}"
    p = "p < 0.001" if test["p"] < 0.001 else f"p = {test['p']:.3f}"
    return f"{test['difference']:+.4f} ({limits}), {p}"


def rendered() -> str:
    """Renders the stored figures."""
    return patient_folds(json.loads((REFERENCE / "folds.json").read_text()))
