"""Writes an evaluation: figures as JSON, predictions as CSV, the report as a page and Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pneumojax.data.films import CLASS_NAMES
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.audits import audit_charts, audit_sections
from pneumojax.evaluation.report import charts, run_sections, sections
from pneumojax.evaluation.report.page import Picture, png, render_html, render_markdown
from pneumojax.evaluation.report.sections import Section
from pneumojax.evaluation.summary import Predictions, evaluate
from pneumojax.files import replacing, write_csv, write_json
from pneumojax.inference.decision import Decision
from pneumojax.stats.estimates import json_ready
from pneumojax.stats.metrics import Floats

COLUMNS = ("file", "label", "probability", "call", "patient", "disclaimer", "trained_on")
SPREAD_COLUMNS = ("deviation", "lowest", "highest")  # of the members of an ensemble


def write_evaluation(
    folder: Path,
    predictions: Predictions,
    decision: Decision,
    context: Mapping[str, Any],
    pictures: Mapping[str, Picture],
    spread: Sequence[Floats] | None = None,
) -> dict[str, Any]:
    """Evaluates and writes metrics.json, predictions.csv, report.html, report.md and pictures/.

    Each file appears whole or not at all, metrics.json last: where it is, the others are.

    Args:
      folder: made if it is missing.
      predictions: at least one film.
      decision: what becomes of their logits.
      context: everything else that the report tells, see `sections`; stands first in
        metrics.json. "synthetic" stamps every output, "patients_known" is passed to `evaluate`.
      pictures: beside those drawn from the figures, by name.
      spread: standard deviation, lowest and highest of the members' probabilities of each film,
        (n,) each, where several networks answered together.

    Returns:
      The content of metrics.json.

    Raises:
      UserError: the folder cannot be written.
      ValueError: as `evaluate`, or a field of the context bears the name of a result.
    """
    figures = evaluate(predictions, decision, patients_known=context["patients_known"])
    if clash := sorted(context.keys() & figures.keys() - {"patients_known"}):
        raise ValueError(f"the context must not name results: {', '.join(clash)}")
    result = json_ready({**context, **figures})
    drawn = {**_charts(predictions, result), **pictures}
    for picture in drawn.values():
        if isinstance(picture, Figure):
            charts.signed(picture, result["synthetic"])

    report = build_report(result)
    files = {name: f"pictures/{name}.png" for name in drawn}
    for name, file in files.items():
        _write(folder / file, png(drawn[name]))
    _write(folder / "report.html", render_html(result, report, drawn).encode())
    _write(folder / "report.md", render_markdown(result, report, files).encode())
    _write_predictions(folder / "predictions.csv", predictions, decision, result, spread)
    write_json(folder / "metrics.json", result)
    return result


def build_report(result: Mapping[str, Any]) -> list[Section]:
    """The sections of the report, in order, from the content of metrics.json."""
    return [
        run_sections.identity(result),
        run_sections.flow(result),
        run_sections.population(result),
        run_sections.prevalence(result),
        run_sections.selection(result),
        sections.discrimination(result),
        sections.operating_point(result),
        sections.elsewhere(result),
        sections.calibration(result),
        audit_sections.subgroups(result),
        audit_sections.shortcuts(result),
        audit_sections.robustness(result),
        audit_sections.failures(result),
        audit_sections.explanations(result),
        sections.training(result),
        sections.limitations(result),
    ]


def _charts(predictions: Predictions, result: Mapping[str, Any]) -> dict[str, Figure]:
    labels, logits = predictions.labels, predictions.logits
    known = result["patients_known"]
    patients = predictions.patients if known else predictions.files
    threshold = result["decision"]["threshold"]
    points = {}
    for name, side in ((f"at {threshold:.3g}", result), ("at 0.5", result["at_half"])):
        pair = side["sensitivity"]["value"], side["specificity"]["value"]
        if None not in pair:
            points[name] = pair
    both = result["calibration"]
    names = {"as trained": both["uncalibrated"]["bins"]}
    if result["decision"]["temperature"] != 1:
        names["after temperature scaling"] = both["calibrated"]["bins"]
    drawn = {
        "roc": charts.roc_chart(labels, logits, patients, points),
        "precision_recall": charts.precision_recall_chart(labels, logits, patients),
        "confusion": charts.confusion_chart(result["confusion"]),
        "reliability": charts.reliability_chart(names),
        "subgroups": audit_charts.subgroups_chart(result["subgroups"]),
        "shortcuts": audit_charts.shortcuts_chart(result["shortcuts"]),
        "robustness": audit_charts.robustness_chart(result["robustness"]),
    }
    if result["history"]:
        drawn["training"] = charts.training_chart(result["history"], result["epoch"])
    return drawn


def _write_predictions(
    path: Path,
    predictions: Predictions,
    decision: Decision,
    result: Mapping[str, Any],
    spread: Sequence[Floats] | None,
) -> None:
    probabilities = decision.probabilities(predictions.logits)
    known = result["patients_known"]
    stamp = f"{SYNTHETIC_STAMP}; {DISCLAIMER}" if result["synthetic"] else DISCLAIMER
    rows = zip(
        predictions.files,
        predictions.labels,
        probabilities,
        decision.calls(probabilities),
        predictions.patients,
        predictions.trained_on,
        zip(*spread, strict=True) if spread is not None else [()] * len(probabilities),
        strict=True,
    )
    write_csv(
        path,
        COLUMNS + (SPREAD_COLUMNS if spread is not None else ()),
        (
            (
                file,
                CLASS_NAMES[label],
                f"{p:.9g}",
                CLASS_NAMES[c],
                patient if known else "",
                stamp,
                note,
                *(f"{value:.9g}" for value in apart),
            )
            for file, label, p, c, patient, note, apart in rows
        ),
    )


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
