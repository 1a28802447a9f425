"""The figures by which recipes are chosen. They come from validation, never from test films."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pneumojax.stats.metrics import midranks

Figure = dict[str, Any]  # "value", "low", "high" and "method"


def protocol_figures(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Reads the figures of each protocol from the `metrics.json` of a validation.

    Returns:
        {name: {"value", "low", "high", "method"}}: "auroc", "sensitivity" and "specificity" of the
        hold-out; "matched_auroc" on pairs alike in sharpness and brightness; "stress_mean_..." and
        "stress_worst_..." under stress; "softest_specificity". "sharpness_normal" and
        "sharpness_pneumonia" have no interval; they are the rank correlations of sharpness with
        the logit within a class.
    """
    stress = result["robustness"]["stress"]
    sharpness = next(r for r in result["shortcuts"]["statistics"] if r["name"] == "sharpness")
    figures = {name: result[name] for name in ("auroc", "sensitivity", "specificity")}
    figures["matched_auroc"] = result["shortcuts"]["pairs"]["auroc"]
    for kind in ("mean", "worst"):
        figures |= {f"stress_{kind}_{name}": value for name, value in stress[kind].items()}
    figures["softest_specificity"] = result["softest_normal"]
    for name in ("NORMAL", "PNEUMONIA"):
        correlation = sharpness["rank_correlation"][name]
        figures[f"sharpness_{name.lower()}"] = {"value": correlation, "method": "spearman"}
    return {
        name: {key: figure.get(key) for key in ("value", "low", "high", "method")}
        for name, figure in figures.items()
    }


SCORED = ("auroc", "matched_auroc", "stress_mean_auroc", "stress_mean_balanced_accuracy")


def selection_score(figures: Mapping[str, Mapping[str, Any]]) -> float:
    """Returns the mean of the figures in `SCORED`, by which recipes are ranked.

    They measure ranking on unchanged films, on pairs that are alike in sharpness and brightness and
    on degraded films, and the operating point on degraded films. The score is NaN if one of the
    figures is undefined.
    """
    values = [figures[name]["value"] for name in SCORED]
    return float("nan") if None in values else sum(values) / len(SCORED)


# Each of these figures has one vote, by `mean_ranks`. All but the first ask how a network does on
# films unlike those that it was trained on, and half of them at a threshold that was frozen before.
VOTES = (
    "auroc",
    "matched_auroc",
    "stress_mean_auroc",
    "stress_mean_balanced_accuracy",
    "softest_specificity",
    "elsewhere_auroc",
    "styles_auroc",
    "styles_balanced_accuracy",
)


def mean_ranks(rows: Sequence[Mapping[str, Figure]]) -> list[float]:
    """Ranks recipes by each of `VOTES` that all of them have, and returns the mean of the ranks.

    The best of a vote has rank 1, and equal figures share a rank. Ranks do not depend on how widely
    a figure spreads: the few films of another hospital, whose AUROC varies by several points, have
    the same weight as the many of the hold-out.
    """
    votes = [name for name in VOTES if all(name in row for row in rows)]
    if not rows or not votes:
        return [float("nan")] * len(rows)
    values = np.array([[row[name]["value"] for name in votes] for row in rows], np.float64)
    ranks = np.stack([midranks(-column) for column in values.T], axis=1)
    return ranks.mean(axis=1).tolist()
