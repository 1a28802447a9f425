"""What an evaluation report says, section by section, before it is a page or Markdown.

Each function takes the content of `metrics.json` and returns one section of text, tables and
names of pictures. A section without data says why. The order follows CLAIM (2024 update) and
TRIPOD+AI (BMJ 2024, e078378).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pneumojax.evaluation.terminal import decision_line, limits_of, value_of

Result = Mapping[str, Any]

TITLES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "positive_predictive_value": "Positive predictive value",
    "negative_predictive_value": "Negative predictive value",
    "positive_likelihood_ratio": "Positive likelihood ratio",
    "negative_likelihood_ratio": "Negative likelihood ratio",
    "f1_PNEUMONIA": "F1 of PNEUMONIA",
    "f1_NORMAL": "F1 of NORMAL",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "Matthews correlation",
    "accuracy": "Accuracy",
}
CALIBRATION = {
    "brier": "Brier score (0 is best)",
    "log_loss": "Log loss (0 is best)",
    "calibration_error": "Calibration error, equally filled bins (0 is best)",
    "calibration_slope": "Calibration slope (1 is right)",
    "calibration_intercept": "Calibration intercept (0 is right)",
    "calibration_in_the_large": "Intercept at slope 1 (0 is right)",
}
RULES = {
    "youden": "the most sensitivity plus specificity (Youden)",
    "sensitivity": "the highest threshold that reaches the sensitivity asked for",
    "cost": "the lowest cost of missed films and false alarms",
}


@dataclass(frozen=True)
class Table:
    """Headings and rows of text; the first column names the row.

    folded: where it is not "", the page shows it on demand, under this line.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the report.

    pictures: caption of each, by name.
    layout: "side by side", "wide" (each picture takes the whole width) or "small".
    """

    title: str
    text: list[str]
    tables: list[Table] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    layout: str = "side by side"

    @property
    def anchor(self) -> str:
        """The title as the name of a place in a page."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


def discrimination(result: Result) -> Section:
    """How well films are ranked."""
    rows = [
        (title, value_of(result[key]), limits_of(result[key]), limits_of(result[key]["bootstrap"]))
        for key, title in (("auroc", "AUROC"), ("average_precision", "Average precision"))
    ]
    unit = result["bootstrap"]["unit"]
    headings = ("figure", "value", "DeLong", f"{unit} bootstrap")
    rows[1] = (*rows[1][:2], "", rows[1][3])
    captions = {
        "roc": f"ROC curve; the band holds 95 % of {unit}-resampled curves at each place.",
        "precision_recall": "Precision over recall, with the same kind of band.",
    }
    text = [f"Chance is 0.5 for AUROC and {result['prevalence']:.3f} for average precision."]
    return Section("Discrimination", text, [Table(headings, rows)], captions)


def operating_point(result: Result) -> Section:
    """Calls at the operating point and, where that was fitted, at 0.5 beside it."""
    decision, unit = result["decision"], result["bootstrap"]["unit"]
    fitted = decision["rule"] != "default"
    text = [f"Films are {decision_line(decision)}."]
    if decision["rule"] in RULES:
        same = result["split"] == "val" or "out_of_fold" in result
        text.append(
            f"The rule: {RULES[decision['rule']]}. Threshold and temperature were fitted on "
            "validation films, before these were scored; no film scored here moved them"
            + (", except that these are the same films." if same else ".")
        )
    if "spread" in result:
        text.append(
            f"Several networks answer together ({result['run']}): the mean of their calibrated "
            f"probabilities, which lie {result['spread']['mean_deviation']:.3f} apart on average "
            f"(standard deviation on a film; at most "
            f"{result['spread']['largest_deviation']:.3f})."
        )
    text.append(
        "Closed forms (Wilson; Koopman for likelihood ratios) take films as independent. Several "
        "films of one patient are not: go by the bootstrap where it has an interval."
    )
    sides = [(f"{decision['threshold']:.3g}", result)]
    headings = ["figure", "value", "closed form", f"{unit} bootstrap"]
    if fitted:
        sides.append(("0.5", result["at_half"]))
        headings += ["at 0.5", f"{unit} bootstrap"]
    counts = [
        (f"{name}, at {place}", *(f"{side['confusion'][cell]:,}" for cell in cells))
        for place, side in sides
        for name, cells in (("NORMAL", ("tn", "fp")), ("PNEUMONIA", ("fn", "tp")))
    ]
    steadiness = [_stability(result["out_of_fold"])] if "out_of_fold" in result else []
    rows = []
    for key, title in TITLES.items():
        figure = result[key]
        closed = "" if "bootstrap" in figure["method"] else limits_of(figure)
        row = [title, value_of(figure), closed, limits_of(figure["bootstrap"])]
        if fitted:
            half = result["at_half"][key]
            row += [value_of(half), limits_of(half["bootstrap"])]
        rows.append(row)
    tables = [
        Table(("films of", "called NORMAL", "called PNEUMONIA"), counts),
        Table(headings, rows),
        *steadiness,
    ]
    captions = {"confusion": "Shade and percentage: share of the films of that class."}
    return Section("Operating point", text, tables, captions)


def _stability(out_of_fold: Result) -> Table:
    """How far threshold and figures move when the decision is fitted on other patients."""
    rows = [
        (
            f"{row['patients']:,}",
            f"{row['means']['threshold']:.3f}, {row['threshold']:.3f}",
            *(f"{row['means'][k]:.1f} %, {row[k]:.2f}" for k in ("sensitivity", "specificity")),
        )
        for row in out_of_fold["stability"]
    ]
    headings = (
        "fitted on so many patients drawn",
        "threshold: mean, deviation",
        "sensitivity: mean, deviation in points",
        "specificity: mean, deviation in points",
    )
    return Table(headings, rows)


def elsewhere(result: Result) -> Section:
    """Predictive values at other prevalences."""
    rows = []
    for row in result["at_prevalences"]:
        cells = [
            f"{value_of(row[key])} ({limits_of(row[key])})"
            for key in ("positive_predictive_value", "negative_predictive_value")
        ]
        rows.append((f"{row['prevalence']:.0%}", *cells))
    text = ["By Bayes' rule, if sensitivity and specificity were the same there, which is seldom."]
    headings = ("prevalence", "positive predictive value", "negative predictive value")
    return Section("Predictive values elsewhere", text, [Table(headings, rows)])


def calibration(result: Result) -> Section:
    """Whether probabilities mean what they say."""
    before, after = (result["calibration"][key] for key in ("uncalibrated", "calibrated"))
    rows = [
        (title, *(f"{value_of(side[key])} ({limits_of(side[key])})" for side in (before, after)))
        for key, title in CALIBRATION.items()
    ]
    decision = result["decision"]
    if decision["temperature"] == 1:
        reason = decision["note"].removeprefix("no temperature: ")
        text = [f"No temperature was fitted{': ' * bool(reason)}{reason}."]
    else:
        text = [
            f"Logits are divided by {decision['temperature']:.3g}, fitted on validation. That "
            "changes no ranking."
        ]
    headings = ("figure", "as trained", "after temperature scaling")
    captions = {"reliability": "Bins of about equally many films; 95 % Wilson intervals."}
    return Section("Calibration", text, [Table(headings, rows)], captions)


def training(result: Result) -> Section:
    """The curves of the run."""
    if not result["history"]:
        return Section("Training", ["No epoch is logged in the run folder."])
    if result["epoch"] is None:
        text = ["The checkpoint does not say after which epoch it was saved."]
    else:
        text = [f"The dashed line is epoch {result['epoch']}, which is evaluated."]
    return Section("Training", text, pictures={"training": "Loss and validation by epoch."})


def limitations(result: Result) -> Section:
    """What the network is not for."""
    text = [
        f"{result['disclaimer']} Not for diagnosis, triage or treatment of anybody.",
        "Trained on films of one kind from one place. Adults, lateral views, other devices and "
        "other hospitals are outside of what was measured. Networks of this kind lose much of "
        "their accuracy elsewhere: one trained on these films fell from an AUROC of 0.95 to 0.54 "
        "on another hospital's (Xin et al. 2021).",
        "The network answers one question. It does not know of other diseases, and a film without "
        "pneumonia need not be healthy.",
    ]
    return Section("Limitations and intended use", text)
