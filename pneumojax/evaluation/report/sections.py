"""The report's sections on the metrics, and its limitations. A section without data says why."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.run_facts import OutOfFold
from pneumojax.evaluation.summary import MOST_BINS, bins_for
from pneumojax.evaluation.wording import (
    HEADLINE,
    decision_line,
    limits_of,
    temperature_of,
    titles,
    value_of,
    with_limits,
)

_CALIBRATION = {
    "brier": "Brier score (0 is best)",
    "log_loss": "Log loss (0 is best)",
    "calibration_error": "Calibration error, equally filled bins (0 is best)",
    "calibration_slope": "Calibration slope (1 is right)",
    "calibration_intercept": "Calibration intercept (0 is right)",
    "calibration_in_the_large": "Intercept at slope 1 (0 is right)",
}
_TRAVELLING = {"auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}
_RULES = {
    "youden": "the threshold with the highest sum of sensitivity and specificity (Youden)",
    "sensitivity": "the highest threshold that reaches the required sensitivity",
    "cost": "the threshold with the lowest cost of missed films and false alarms",
    "worst_case": "the threshold with the best sensitivity and specificity on the kind of film, "
    "among unchanged, degraded and unfamiliar ones, where the lower of the two is lowest",
}


def first_look(evaluation: Evaluation, report: Sequence[Section]) -> list[str]:
    """At most three sentences on what a reader of the report should look at first."""
    lines, estimates = [], evaluation.summary.estimates
    if count := len(evaluation.cautions):
        lines.append(f"Read the {'warning' if count == 1 else f'{count} warnings'} above first.")
    known = {name: e.high - e.low for name in HEADLINE if math.isfinite((e := estimates[name]).low)}
    if known:
        widest = max(known, key=lambda name: known[name])
        name = "AUROC" if widest == "auroc" else widest
        lines.append(
            f"The widest of these intervals is that of {name}: the true value may well lie "
            f"anywhere from {limits_of(estimates[widest])}."
        )
    for number, section in enumerate(report, 1):
        if section.title == "Failures" and section.tables:
            lines.append(
                f"Section {number} shows the films that were called wrong with the most "
                "confidence. Look at them before you rely on an average."
            )
    return lines


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
        "roc": f"ROC curve. At each place the band holds 95 % of the curves of resampled {unit}s.",
        "precision_recall": "Precision over recall, with a band of the same kind.",
    }
    text = [
        f"A network that guesses has an AUROC of 0.5 and an average precision of "
        f"{summary.prevalence:.3f}, the prevalence."
    ]
    return Section("Discrimination", text, [Table(headings, rows)], captions)


def operating_point(evaluation: Evaluation) -> Section:
    facts, decision = evaluation.facts, evaluation.summary.decision
    text = [f"Films are {decision_line(decision, evaluation.summary.class_names)}."]
    if decision.rule in _RULES:
        text.append(f"The rule takes {_RULES[decision.rule]}.")
    if decision.rule in _RULES and decision.rule != "worst_case":
        text.append(
            "Threshold and temperature were fitted on validation "
            f"films{_whether_scored(evaluation)}."
        )
    if evaluation.spread:
        deviation = evaluation.spread.deviation
        text.append(
            f"Several networks answer together ({facts.run}) by the mean of their calibrated "
            "probabilities. The standard deviation of these on one film is "
            f"{np.mean(deviation):.3f} on average and at most {np.max(deviation):.3f}."
        )
    text.append(
        "Closed-form intervals (Wilson's, and Koopman's for likelihood ratios) treat films as "
        "independent. If patients have several films, rely on the bootstrap where it has an "
        "interval."
    )
    tables = [_metrics(evaluation)]
    if decision.rule != "default":
        tables.append(_at_half(evaluation))
    tables.append(_elsewhere(evaluation))
    if facts.out_of_fold:
        tables.append(_stability(facts.out_of_fold))
    if facts.forecast:
        tables.append(_forecast(facts.forecast))
    captions = {
        "confusion": f"Calls at {decision.threshold:.3g}. The shade and the percentage show the "
        "share of the films of that class."
    }
    return Section("Operating point", text, tables, captions)


def _whether_scored(evaluation: Evaluation) -> str:
    """Whether the films that chose the threshold are among those scored; "" if it is not known."""
    facts, seen = evaluation.facts, evaluation.summary.trained_on
    if facts.split == "val" or facts.out_of_fold:
        return ", which are the films scored here"
    # A film of a known patient may be a copy of one that the threshold was fitted on.
    return "" if seen.films or seen.of_their_patients else ", and none of them is scored here"


def _metrics(evaluation: Evaluation) -> Table:
    summary = evaluation.summary
    named = titles(summary.class_names)
    rows = []
    for name in (name for name in named if name in summary.calls.estimates):
        estimate = summary.calls.estimates[name]
        closed = "" if "bootstrap" in estimate.method else limits_of(estimate)
        rows.append((named[name], value_of(estimate), closed, limits_of(estimate.bootstrap)))
    headings = ("metric", "value", "closed form", f"{summary.bootstrap.unit} bootstrap")
    return Table(headings, rows)


def _at_half(evaluation: Evaluation) -> Table:
    summary = evaluation.summary
    estimates, counts = summary.at_half.estimates, summary.at_half.confusion
    named = titles(summary.class_names)
    rows = [
        (named[name], value_of(estimates[name]), limits_of(estimates[name].bootstrap))
        for name in named
        if name in estimates
    ]
    negative, positive = summary.class_names
    note = (
        f"At 0.5, {counts.tn:,} films of {negative} and {counts.tp:,} of {positive} are called "
        f"right; {counts.fp:,} of {negative} and {counts.fn:,} of {positive} are called wrong."
    )
    headings = ("metric", "value", f"{summary.bootstrap.unit} bootstrap")
    return Table(headings, rows, folded="The metrics at a probability of 0.5", note=note)


def _elsewhere(evaluation: Evaluation) -> Table:
    """Predictive values at other prevalences."""
    names = ("positive_predictive_value", "negative_predictive_value")
    rows = [
        (f"{row.prevalence:.0%}", *(with_limits(getattr(row, name)) for name in names))
        for row in evaluation.summary.at_prevalences
    ]
    note = (
        "Bayes' rule gives these values if sensitivity and specificity are the same at the other "
        "prevalence, which is seldom true."
    )
    headings = ("prevalence", *(name.replace("_", " ") for name in names))
    return Table(headings, rows, folded="Predictive values at other prevalences", note=note)


def _forecast(record: Mapping[str, Any]) -> Table:
    """The metrics to expect on another machine, from groups of films that were held out."""
    ranges = [
        f"{name} {record[name][0]:.3f} to {record[name][1]:.3f}"
        for name in ("sensitivity", "specificity")
    ]
    rows = [
        (group["name"], f"{group['films']:,}", *(_measured(group[name]) for name in _TRAVELLING))
        for group in record["groups"]
    ]
    note = (
        f"Forecast for films of another machine: {' and '.join(ranges)}. Each group of the column "
        f"{record['column']!r} was scored by a network, and called at a threshold, that were made "
        "without its films; the forecast reaches from the lowest to the highest limit of a group."
    )
    return Table(("group that was held out", "films", *_TRAVELLING.values()), rows, note=note)


def _measured(figure: Mapping[str, float | None]) -> str:
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "undefined"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


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
        "patients drawn",
        "threshold: mean, deviation",
        "sensitivity: mean, deviation in points",
        "specificity: mean, deviation in points",
    )
    note = (
        "The threshold is fitted again on patients drawn at random and applied to all films. The "
        "networks stay as they are."
    )
    return Table(headings, rows, folded="How stable the threshold is", note=note)


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
            f"Logits are divided by a temperature that was fitted on {decision.fitted_on}: "
            f"{temperature_of(decision)}. This does not change the ranking of films."
        ]
    if (bins := bins_for(summary.n)) < MOST_BINS:
        text.append(
            f"With {summary.n:,} films the number of bins is {bins} instead of {MOST_BINS}, and "
            "the calibration error says little."
        )
    headings = ("metric", "as trained", "after temperature scaling")
    captions = {"reliability": "Bins of about equally many films, with 95 % intervals by Wilson."}
    return Section("Calibration", text, [Table(headings, rows)], captions)


def limitations(evaluation: Evaluation) -> Section:
    text = [
        f"{DISCLAIMER} It is not for the diagnosis, triage or treatment of anybody.",
        "The network has learned from films of one kind. Patients of another age, lateral views, "
        "other devices and other hospitals need an evaluation of their own. Networks of this kind "
        "lose much of their accuracy elsewhere: the AUROC of one that was trained on the films of "
        "Kermany et al. fell from 0.95 to 0.54 on films of another hospital (Xin et al. 2021).",
        "The network answers one question. It does not know other diseases, and a film called "
        f"{evaluation.summary.class_names.words.negative} need not be of a healthy patient.",
    ]
    return Section("Limitations and intended use", text)
