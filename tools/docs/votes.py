"""The table of votes of docs/reference_model.md: how each figure ranks the networks tried."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from pneumojax.stats.metrics import midranks, rank_correlation
from tools.docs.marks import table
from tools.docs.places import REFERENCE
from tools.protocols import VOTES, Figure, mean_ranks

ELSEWHERE = "elsewhere_auroc"
TITLES = {
    "auroc": "AUROC",
    "matched_auroc": "on matched pairs",
    "stress_mean_auroc": "under stress",
    "stress_mean_balanced_accuracy": "balanced accuracy under stress",
    "softest_specificity": "specificity, softest third",
    ELSEWHERE: "another hospital",
}


def votes(candidates: Mapping[str, Mapping[str, Figure]]) -> str:
    """Renders each network's rank by each vote, and how each vote ranks as the other hospital does.

    Args:
        candidates: by the name of a network, its figures. Votes that one of them lacks are left
            out.
    """
    names = [name for name in VOTES if all(name in row for row in candidates.values())]
    values = np.array([[row[name]["value"] for name in names] for row in candidates.values()])
    ranks = np.stack([midranks(-column) for column in values.T], axis=1)
    means = mean_ranks(list(candidates.values()))
    rows = [
        [f"`{name}`", *(f"{rank:g}" for rank in of_votes), f"{mean:.2f}"]
        for name, of_votes, mean in zip(candidates, ranks, means, strict=True)
    ]
    there = values[:, names.index(ELSEWHERE)]
    agreements = [
        "" if name == ELSEWHERE else f"{rank_correlation(column, there):.2f}"
        for name, column in zip(names, values.T, strict=True)
    ]
    rows.append(["rank correlation with another hospital", *agreements, ""])
    return table(("rank by", *(TITLES[name] for name in names), "mean rank"), rows)


def rendered() -> str:
    """Renders the votes on the stored figures of the trials and of the released networks."""
    card, shift, elsewhere = (
        json.loads((REFERENCE / f"{name}.json").read_text())
        for name in ("card", "shift", "elsewhere")
    )
    candidates: dict[str, Any] = {row["trial"]: row["figures"] for row in shift["rows"]}
    released = {
        "reference_1": "reference",
        "reference_2": "validation_2",
        "reference": "validation",
    }
    for network, part in released.items():
        candidates[network] = card[part]["figures"] | elsewhere[network]["figures"]
    return votes(candidates)
