"""The report's sections on the metrics. A section without data says why."""

import numpy as np

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.run_facts import OutOfFold
from pneumojax.evaluation.wording import decision_line, limits_of, titles, value_of, with_limits

_CALIBRATION = {
    "brier": "Brier score (0 is best)",
    "log_loss": "Log loss (0 is best)",
    "calibration_error": "Calibration error, equally filled bins (0 is best)",
    "calibration_slope": "Calibration slope (1 is right)",
    "calibration_intercept": "Calibration intercept (0 is right)",
    "calibration_in_the_large": "Intercept at slope 1 (0 is right)",
}
_RULES = {
    "youden": "the threshold of the highest sensitivity plus specificity (Youden)",
    "sensitivity": "the highest threshold that reaches the sensitivity asked for",
    "cost": "the threshold of the lowest cost of missed films and false alarms",
}


def discrimination(evaluation: Evaluation) -> Section:
    summary = evaluation.summary
    area, precision = summary.auroc, summary.average_precision
    named = titles(summary.class_names)
    rows = [
        (named["auroc"], value_of(area), limits_of(area), limits_of(area.bootstrap)),
        (named["average_precision"], value_of(precision), "", limits_of(precision.bootstrap)),
    ]
    unit = summary.bootstrap.unit
    headings = ("metric", "value", "DeLong", f"{unit} bootstrap")
    captions = {
        "roc": f"ROC curve; the band holds 95 % of {unit}-resampled curves at each place.",
        "precision_recall": "Precision over recall, with the same kind of band.",
    }
    text = [f"Chance is 0.5 for AUROC and {summary.prevalence:.3f} for average precision."]
    return Section("Discrimination", text, [Table(headings, rows)], captions)


def operating_point(evaluation: Evaluation) -> Section:
    facts, decision = evaluation.facts, evaluation.summary.decision
    text = [f"Films are {decision_line(decision, evaluation.summary.class_names)}."]
    if decision.rule in _RULES:
        same = facts.split == "val" or facts.out_of_fold
        which = "which are the films scored here" if same else "none of which is scored here"
        text.append(
            f"The rule takes {_RULES[decision.rule]}. Threshold and temperature were fitted on "
            f"validation films, {which}."
        )
    if evaluation.spread:
        deviation = evaluation.spread.deviation
        text.append(
            f"Several networks answer together ({facts.run}): the mean of their calibrated "
            f"probabilities, which lie {np.mean(deviation):.3f} apart on average (standard "
            f"deviation on a film; at most {np.max(deviation):.3f})."
        )
    text.append(
        "Closed forms (Wilson; Koopman for likelihood ratios) treat films as independent. Several "
        "films of one patient are not, so rely on the bootstrap where it has an interval."
    )
    tables = [_counts(evaluation), _metrics(evaluation)]
    if facts.out_of_fold:
        tables.append(_stability(facts.out_of_fold))
    captions = {"confusion": "Shade and percentage: share of the films of that class."}
    return Section("Operating point", text, tables, captions)


def _counts(evaluation: Evaluation) -> Table:
    summary = evaluation.summary
    sides = {f"{summary.decision.threshold:.3g}": summary.calls.confusion}
    if summary.decision.rule != "default":
        sides["0.5"] = summary.at_half.confusion
    rows, (negative, positive) = [], summary.class_names
    for at, counts in sides.items():
        rows.append((f"{negative}, at {at}", f"{counts.tn:,}", f"{counts.fp:,}"))
        rows.append((f"{positive}, at {at}", f"{counts.fn:,}", f"{counts.tp:,}"))
    return Table(("films of", f"called {negative}", f"called {positive}"), rows)


def _metrics(evaluation: Evaluation) -> Table:
    summary, unit = evaluation.summary, evaluation.summary.bootstrap.unit
    fitted = summary.decision.rule != "default"
    headings = ["metric", "value", "closed form", f"{unit} bootstrap"]
    headings += ["at 0.5", f"{unit} bootstrap"] * fitted
    rows, named = [], titles(summary.class_names)
    for name in (name for name in named if name in summary.calls.estimates):
        estimate = summary.calls.estimates[name]
        closed = "" if "bootstrap" in estimate.method else limits_of(estimate)
        row = [named[name], value_of(estimate), closed, limits_of(estimate.bootstrap)]
        if fitted:
            half = summary.at_half.estimates[name]
            row += [value_of(half), limits_of(half.bootstrap)]
        rows.append(row)
    return Table(headings, rows)


def _stability(out_of_fold: OutOfFold) -> Table:
    """How far threshold and metrics move when the decision is fitted on other patients."""
    rows = [
        (
            f"{row.patients:,}",
            f"{row.means.threshold:.3f}, {row.threshold:.3f}",
            f"{row.means.sensitivity:.1f} %, {row.sensitivity:.2f}",
            f"{row.means.specificity:.1f} %, {row.specificity:.2f}",
        )
        for row in out_of_fold.stability
    ]
    headings = (
        "fitted on so many patients drawn",
        "threshold: mean, deviation",
        "sensitivity: mean, deviation in points",
        "specificity: mean, deviation in points",
    )
    return Table(headings, rows)


def elsewhere(evaluation: Evaluation) -> Section:
    names = ("positive_predictive_value", "negative_predictive_value")
    rows = [
        (f"{row.prevalence:.0%}", *(with_limits(getattr(row, name)) for name in names))
        for row in evaluation.summary.at_prevalences
    ]
    text = [
        "These values follow from Bayes' rule if sensitivity and specificity are the same at that "
        "prevalence, which is seldom so."
    ]
    headings = ("prevalence", *(name.replace("_", " ") for name in names))
    return Section("Predictive values elsewhere", text, [Table(headings, rows)])


def calibration(evaluation: Evaluation) -> Section:
    summary, decision = evaluation.summary, evaluation.summary.decision
    sides = (summary.uncalibrated.estimates, summary.calibrated.estimates)
    rows = [
        (title, *(with_limits(side[name]) for side in sides))
        for name, title in _CALIBRATION.items()
    ]
    if decision.temperature == 1:
        reason = decision.note.removeprefix("no temperature: ")
        text = [f"No temperature was fitted{': ' * bool(reason)}{reason}."]
    else:
        text = [
            f"Logits are divided by {decision.temperature:.3g}, which was fitted on validation "
            "films. That changes no ranking."
        ]
    headings = ("metric", "as trained", "after temperature scaling")
    captions = {"reliability": "Bins of about equally many films; 95 % Wilson intervals."}
    return Section("Calibration", text, [Table(headings, rows)], captions)


def training(evaluation: Evaluation) -> Section:
    facts = evaluation.facts
    if not facts.history:
        return Section("Training", ["No epoch is logged in the run folder."])
    if facts.epoch is None:
        text = ["The checkpoint does not say after which epoch it was saved."]
    else:
        text = [f"The dashed line is epoch {facts.epoch}, which is evaluated."]
    return Section("Training", text, pictures={"training": "Loss and validation by epoch."})


def limitations(evaluation: Evaluation) -> Section:
    text = [
        f"{DISCLAIMER} It is not for the diagnosis, triage or treatment of anybody.",
        "A network knows films like those that it was trained on. Patients of another age, lateral "
        "views, other devices and other hospitals need an evaluation of their own. Networks of "
        "this kind lose much of their accuracy elsewhere: one trained on the films of Kermany et "
        "al. fell from an AUROC of 0.95 to 0.54 on another hospital's (Xin et al. 2021).",
        "The network answers one question. It does not know other diseases, and a film without "
        f"{evaluation.summary.class_names.words.positive} need not be healthy.",
    ]
    return Section("Limitations and intended use", text)
