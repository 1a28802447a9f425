"""Writes an evaluation: metrics as JSON, predictions as CSV, the report as a page and Markdown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pneumojax.data.films import CLASS_NAMES
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.report import run_sections, sections
from pneumojax.evaluation.report.charts import draw_charts
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.page import png, render_html, render_markdown
from pneumojax.evaluation.report.section import Picture, Section
from pneumojax.evaluation.report.style import signed
from pneumojax.files import replacing, write_csv, write_json

COLUMNS = ("file", "label", "probability", "call", "patient", "disclaimer", "trained_on")
SPREAD_COLUMNS = ("deviation", "lowest", "highest")  # of the members of an ensemble


def write_report(folder: Path, evaluation: Evaluation) -> dict[str, Any]:
    """Writes metrics.json, predictions.csv, report.html, report.md and pictures/.

    Each file appears whole or not at all, and metrics.json last: if it exists, so do the others.
    Returns the content of metrics.json.
    """
    record = evaluation.record()
    pictures: dict[str, Picture] = {**draw_charts(evaluation)}
    for finding in evaluation.findings:
        pictures |= finding.pictures()
    for picture in pictures.values():
        if isinstance(picture, Figure):
            signed(picture, evaluation.facts.synthetic)

    report = build_report(evaluation)
    files = {name: f"pictures/{name}.png" for name in pictures}
    for name, file in files.items():
        _write(folder / file, png(pictures[name]))
    _write(folder / "report.html", render_html(evaluation, report, pictures).encode())
    _write(folder / "report.md", render_markdown(evaluation, report, files).encode())
    columns = COLUMNS + (SPREAD_COLUMNS if evaluation.spread else ())
    write_csv(folder / "predictions.csv", columns, _prediction_rows(evaluation))
    write_json(folder / "metrics.json", record)
    return record


def build_report(evaluation: Evaluation) -> list[Section]:
    """The sections in the order of CLAIM (2024 update) and TRIPOD+AI (BMJ 2024, e078378)."""
    before = (
        run_sections.identity,
        run_sections.flow,
        run_sections.population,
        run_sections.prevalence,
        run_sections.selection,
        sections.discrimination,
        sections.operating_point,
        sections.elsewhere,
        sections.calibration,
    )
    after = (sections.training, sections.limitations)
    return [
        *(section(evaluation) for section in before),
        *(finding.section() for finding in evaluation.findings),
        *(section(evaluation) for section in after),
    ]


def _prediction_rows(evaluation: Evaluation) -> Iterator[tuple[object, ...]]:
    predictions, decision = evaluation.predictions, evaluation.summary.decision
    count = len(predictions.labels)
    probabilities = decision.probabilities(predictions.logits)
    stamp = f"{SYNTHETIC_STAMP}; {DISCLAIMER}" if evaluation.facts.synthetic else DISCLAIMER
    rows = zip(
        predictions.files,
        predictions.labels,
        probabilities,
        decision.calls(probabilities),
        [""] * count if predictions.patients is None else predictions.patients,
        predictions.trained_on,
        zip(*evaluation.spread, strict=True) if evaluation.spread else [()] * count,
        strict=True,
    )
    for file, label, probability, call, patient, note, spread in rows:
        yield (
            file,
            CLASS_NAMES[label],
            f"{probability:.9g}",
            CLASS_NAMES[call],
            patient,
            stamp,
            note,
            *(f"{value:.9g}" for value in spread),
        )


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
