"""Writes an evaluation: metrics as JSON, predictions as CSV, the report as a page and Markdown."""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.report import run_sections, sections
from pneumojax.evaluation.report.charts import draw_charts
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.section import Picture, Section
from pneumojax.evaluation.report.style import signed
from pneumojax.evaluation.wording import HEADLINE, limits_of, titles, value_of
from pneumojax.files import printable, replacing, write_csv, write_json
from pneumojax.templates import environment

_TEMPLATES = Path(__file__).parent / "templates"
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
    for name, picture in pictures.items():
        png = picture if isinstance(picture, bytes) else _saved(picture, format="png")
        _write(folder / files[name], png)
    _write(folder / "report.html", _html(evaluation, report, pictures).encode())
    _write(folder / "report.md", _markdown(evaluation, report, files).encode())
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


def _html(
    evaluation: Evaluation, report: Sequence[Section], pictures: Mapping[str, Picture]
) -> str:
    """The page, with charts as SVG and pictures of films as PNG inside it."""
    template = environment(_TEMPLATES, html=True).get_template("report.html.jinja")
    inside = {name: _data_uri(pictures[name]) for s in report for name in s.pictures}
    return template.render(**_values(evaluation, report), pictures=inside)


def _markdown(evaluation: Evaluation, report: Sequence[Section], files: Mapping[str, str]) -> str:
    """The same as Markdown for a paper's supplement; `files` are relative to its folder."""
    templates = environment(_TEMPLATES, html=False)
    templates.filters["cell"] = _as_markdown
    template = templates.get_template("report.md.jinja")
    text = template.render(**_values(evaluation, report), files=files)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _values(evaluation: Evaluation, report: Sequence[Section]) -> dict[str, Any]:
    estimates = evaluation.summary.estimates
    named = titles(evaluation.summary.class_names)
    return {
        "facts": evaluation.facts,
        "summary": evaluation.summary,
        "cautions": evaluation.cautions,
        "sections": report,
        "headline": [
            (named[name], value_of(estimates[name]), limits_of(estimates[name]))
            for name in HEADLINE
        ],
        "disclaimer": DISCLAIMER,
        "stamp": SYNTHETIC_STAMP if evaluation.facts.synthetic else "",
    }


def _as_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]#&])", r"\\\1", printable(text))


def _data_uri(picture: Picture) -> str:
    if isinstance(picture, bytes):
        return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    # Reproducible: no date, and names inside the SVG are drawn from a fixed salt.
    with matplotlib.rc_context({"svg.hashsalt": "pneumojax"}):
        svg = _saved(picture, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _saved(picture: Figure, **form: Any) -> bytes:
    stream = io.BytesIO()
    picture.savefig(stream, **form)
    return stream.getvalue()


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
            predictions.class_names[label],
            f"{probability:.9g}",
            predictions.class_names[call],
            patient,
            stamp,
            note,
            *(f"{value:.9g}" for value in spread),
        )


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
