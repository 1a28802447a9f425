"""Writes an evaluation: metrics as JSON, predictions as CSV, and the report in two forms."""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.report import run_sections, sections
from pneumojax.evaluation.report.charts import draw_charts
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.section import Picture, Section
from pneumojax.evaluation.report.style import signed
from pneumojax.evaluation.report.svg import css_variables, inline_svg
from pneumojax.evaluation.wording import HEADLINE, limits_of, titles, value_of
from pneumojax.files import printable, replacing, write_csv, write_json
from pneumojax.inference.overlay import captioned, colour_scale
from pneumojax.palette import DARK, LIGHT
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
        _write(folder / files[name], _standalone(picture, evaluation.facts.synthetic))
    _write(folder / "report.html", _html(evaluation, report, pictures).encode())
    _write(folder / "report.md", _markdown(evaluation, report, files).encode())
    columns = COLUMNS + (SPREAD_COLUMNS if evaluation.spread else ())
    write_csv(folder / "predictions.csv", columns, _prediction_rows(evaluation))
    write_json(folder / "metrics.json", record)
    return record


def build_report(evaluation: Evaluation) -> list[Section]:
    """The results first, then limitations and methods, and the identity of the run last."""
    before = (sections.discrimination, sections.operating_point, sections.calibration)
    after = (
        sections.limitations,
        run_sections.films,
        run_sections.selection,
        run_sections.identity,
    )
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
    captions = {name: text for s in report for name, text in {**s.pictures, **s.more}.items()}
    return template.render(
        **_values(evaluation, report),
        pictures={name: _embedded(pictures[name], name, text) for name, text in captions.items()},
        has_overlays={
            s.title: any(not isinstance(pictures[name], Figure) for name in s.pictures)
            for s in report
        },
        scale=_image(colour_scale(160, 12), "colours from no evidence to the strongest"),
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
    )


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
        "first_look": sections.first_look(evaluation, report),
        "headline": [
            (named[name], value_of(estimates[name]), limits_of(estimates[name]))
            for name in HEADLINE
        ],
        "disclaimer": DISCLAIMER,
        "stamp": SYNTHETIC_STAMP if evaluation.facts.synthetic else "",
    }


def _as_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]#&])", r"\\\1", printable(text))


def _embedded(picture: Picture, name: str, caption: str) -> Markup:
    if isinstance(picture, Figure):
        return inline_svg(picture, name, caption)
    return _image(picture.picture, caption)


def _image(picture: Image.Image, text: str) -> Markup:
    """An <img> that holds the picture as PNG."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    alt = escape(printable(text))
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{alt}" {size}>')


def _standalone(picture: Picture, synthetic: bool) -> bytes:
    """A PNG that can be read without the report."""
    if not isinstance(picture, Figure):
        return captioned(picture, synthetic=synthetic)
    stream = io.BytesIO()
    picture.savefig(stream, format="png")
    picture.set_layout_engine("none")  # the page's SVG keeps this layout, which takes time to find
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
