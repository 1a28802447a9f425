"""The table of docs/reference_model.md on the reference model's parts, trained with two seeds."""

import json
from collections.abc import Mapping
from typing import Any

from tools.docs.marks import table
from tools.docs.places import REFERENCE

# part -> its title, the model or trial with seed 0, and that one's part of the card
PARTS = {
    "from_scratch": ("from random weights", "reference_1", "reference"),
    "fine_tuned": ("fine-tuned", "small_tuned", ""),
    "mean": ("mean of the two", "reference_2", "validation_2"),
    "views": ("mean of the two, with further views", "reference", "validation"),
}
COLUMNS = {
    "auroc": "AUROC",
    "matched_auroc": "AUROC on matched pairs",
    "stress_mean_auroc": "AUROC under stress, mean",
    "stress_worst_auroc": "AUROC under stress, worst",
    "elsewhere_auroc_ap": "another hospital: AUROC, AP",
    "elsewhere_auroc_pa": "another hospital: AUROC, PA",
}


def second_seed(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Renders each figure of each part, with seed 0 and with seed 1.

    Args:
        first: {part: its figures} with seed 0.
        second: the same with seed 1.
    """
    rows = [
        [
            title,
            *(f"{first[part][c]['value']:.3f}, {second[part][c]['value']:.3f}" for c in COLUMNS),
        ]
        for part, (title, *_) in PARTS.items()
    ]
    return table(("seeds 0 and 1", *COLUMNS.values()), rows)


def rendered() -> str:
    """Renders the stored figures."""
    card, shift, elsewhere, found = (
        json.loads((REFERENCE / f"{name}.json").read_text())
        for name in ("card", "shift", "elsewhere", "second_seed")
    )
    trials = {row["trial"]: row["figures"] for row in shift["rows"]}
    first = {
        part: card[of_card]["figures"] | elsewhere[name]["figures"] if of_card else trials[name]
        for part, (_, name, of_card) in PARTS.items()
    }
    return second_seed(first, found["runs"])
