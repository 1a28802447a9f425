"""The figures that recipes are chosen by, read from an evaluation: no test film is among them."""

from collections.abc import Mapping
from typing import Any


def protocol_figures(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What `metrics.json` of a validation says under each protocol.

    Returns:
      By name a figure {"value", "low", "high", "method"}: "auroc", "sensitivity" and
      "specificity" of the hold-out; "matched_auroc" on pairs alike in sharpness and brightness;
      "stress_mean_..." and "stress_worst_..." of `stress_summary`; "softest_specificity". And
      without an interval "sharpness_normal" and "sharpness_pneumonia", the rank correlations of
      sharpness with the logit within a class.
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
    """The one number that recipes are ranked by: the plain mean of the figures in `SCORED`.

    Ranking on films as they are, on films that differ in nothing but what is to be seen, and on
    films from worse machines; and whether the operating point holds there. No film of a test
    split is among them. NaN where one of them is undefined.
    """
    values = [figures[name]["value"] for name in SCORED]
    return float("nan") if None in values else sum(values) / len(SCORED)
