import csv
import html.parser
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.evaluation.report import report, sections
from pneumojax.evaluation.report.report import write_report
from pneumojax.evaluation.report.section import Section
from pneumojax.evaluation.run_facts import Selection
from pneumojax.evaluation.wording import HEADLINE
from pneumojax.palette import DARK, LIGHT

CHARTS = ["confusion", "precision_recall", "reliability", "robustness", "roc"]
CHARTS += ["shortcuts", "subgroups", "training"]
FILMS = ["evidence-0", "explanations-0", "explanations-1"]
FILMS += ["false_negatives-0", "false_positives-0"]
PICTURES = [*CHARTS, *FILMS]
OF_THE_RUN = {"config", "provenance", "versions", "history", "audit"}


@dataclass(frozen=True)
class Remark:
    """A finding of an audit of the user's own."""

    entry: dict

    def record(self):
        return self.entry

    def section(self):
        return Section("Remarks", ["A remark was made."])

    def pictures(self):
        return {}


@pytest.fixture(scope="module")
def written(evaluation, facts, tmp_path_factory):
    """The folder of one evaluation, and the content of its metrics.json."""
    folder = tmp_path_factory.mktemp("run") / "evaluation" / "test"
    facts = replace(facts, step=np.int64(7))
    return folder, write_report(folder, replace(evaluation, facts=facts))


class Page(html.parser.HTMLParser):
    """The text of a page, its anchors and its addresses."""

    def __init__(self, source: str):
        super().__init__()
        self.text, self.addresses, self.anchors, self.open = "", [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value)
            if name == "id":
                self.anchors.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_an_evaluation_leaves_whole_files_and_nothing_else(written):
    folder, result = written
    written = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert written == sorted(
        ["metrics.json", "predictions.csv", "report.html", "report.md"]
        + [f"pictures/{name}.png" for name in PICTURES]
    )
    for name in PICTURES:
        with Image.open(folder / "pictures" / f"{name}.png") as picture:
            picture.load()
            assert picture.width >= 700 or name in FILMS
    stored = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert stored == result
    assert (stored["run"], stored["step"], stored["synthetic"]) == ("base", 7, False)


def paths(value, at=""):
    """The paths of all keys; a metric with an interval is one path, with its keys in brackets."""
    if isinstance(value, dict) and {"value", "method"} <= value.keys():
        yield f"{at} ({', '.join(sorted(value))})"
    elif isinstance(value, dict) and at not in OF_THE_RUN:
        for key, item in value.items():
            key = "*" if at == "robustness/kinds" else key
            yield from paths(item, f"{at}/{key}" if at else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict) and at not in OF_THE_RUN:
        for item in value:
            yield from paths(item, f"{at}[]")
    else:
        yield at


def test_the_keys_of_metrics_json_are_those_that_earlier_versions_wrote(written):
    stored = set((Path(__file__).parent / "metrics_keys.txt").read_text().splitlines())
    assert set(paths(written[1])) - {"subgroups/undivided"} == stored


def test_the_page_needs_nothing_outside_of_itself(written):
    source = (written[0] / "report.html").read_text()
    page = Page(source)
    assert not page.open and "<script" not in source
    inside = [a for a in page.addresses if a.startswith("data:")]
    links = [a.removeprefix("#") for a in page.addresses if a.startswith("#")]
    scales = 3  # of the colours: failures, explanations, and the stages of the check
    assert len(inside) == 1 + len(FILMS) + scales  # with the icon
    assert source.count("<svg") == len(CHARTS)
    assert len(inside) + len(links) == len(page.addresses)
    assert set(links) <= set(page.anchors) and len(set(page.anchors)) == len(page.anchors)
    assert len(source) < 5_000_000


def test_results_come_first_and_the_identity_of_the_run_last_and_folded(evaluation):
    titles = [section.title for section in report.build_report(evaluation)]
    results = ["Discrimination", "Operating point", "Calibration", "Failures", "Subgroups"]
    results += ["Shortcut audit", "Robustness", "Explanations"]
    assert titles[: len(results)] == results
    last = report.build_report(evaluation)[-1]
    assert last.folded and "base" in str(last.tables[0].rows)


def test_the_top_says_what_to_look_at_first(written, evaluation, one_class, make_evaluation):
    estimates = {name: evaluation.summary.estimates[name] for name in HEADLINE}
    widest = max(estimates, key=lambda name: estimates[name].high - estimates[name].low)
    said = sections.first_look(evaluation, report.build_report(evaluation))
    assert said[0].startswith(
        f"The widest of these intervals is that of {widest.replace('auroc', 'AUROC')}"
    )
    assert said[1].startswith("Section 4 shows the films that were called wrong")
    for name in ("report.html", "report.md"):
        assert all(line in (written[0] / name).read_text() for line in said)
    few = make_evaluation(one_class(1), findings=())
    lines = sections.first_look(few, report.build_report(few))
    assert lines[0] == "Read the warning above first." and len(lines) == 2


def test_the_page_has_no_colour_but_those_of_the_theme(written):
    source = (written[0] / "report.html").read_text()
    for palette in (LIGHT, DARK):
        assert all(f"--{name}: {colour};" in source for name, colour in asdict(palette).items())
    drawn = source[source.index("<body>") :]
    assert not re.findall(r"#[0-9a-f]{6}|\brgb", drawn)
    variables = set(re.findall(r"var\(--([a-z]+)\)", drawn))
    assert {"ink", "muted", "paper", "blue", "orange"} <= variables <= set(asdict(LIGHT))


def test_page_and_markdown_say_what_the_json_says(written):
    folder, result = written
    page = Page((folder / "report.html").read_text())
    markdown = (folder / "report.md").read_text()
    for text in (page.text, markdown.replace("\\", "")):
        assert DISCLAIMER in text and "synthetic" not in text
        assert "--config=<b>.py" in text and "NORMAL/a|b.jpeg" in text
        for name in ("sensitivity", "negative_likelihood_ratio", "mcc", "average_precision"):
            assert f"{result[name]['value']:.3f}" in text
            assert f"{result[name]['low']:.3f} to {result[name]['high']:.3f}" in text
        for side in (result, result["at_half"]):
            assert f"{side['specificity']['value']:.3f}" in text
        assert "the rule 'youden' on 50 validation films, with a temperature of 2" in text
    for name in PICTURES:
        assert f"(pictures/{name}.png)" in markdown


@pytest.mark.slow
def test_the_same_evaluation_is_written_twice_alike(written, make_evaluation, tmp_path):
    write_report(tmp_path, make_evaluation())
    for file in written[0].rglob("*.*"):
        other = tmp_path / file.relative_to(written[0])
        assert file.read_bytes() == other.read_bytes(), file.name


def test_the_csv_holds_every_film_as_it_was_called(written, predictions):
    with open(written[0] / "predictions.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == list(predictions.files)
    assert [row["patient"] for row in rows] == list(predictions.patients)
    assert [row["label"] == "PNEUMONIA" for row in rows] == list(predictions.labels == 1)
    probabilities = 1 / (1 + np.exp(-predictions.logits.astype(float) / 2))
    np.testing.assert_allclose([float(row["probability"]) for row in rows], probabilities, 1e-8)
    for row in rows:
        assert row["call"] == ("PNEUMONIA" if float(row["probability"]) >= 0.6 else "NORMAL")
        assert row["disclaimer"] == DISCLAIMER


def test_a_failed_write_leaves_the_old_file_and_no_metrics(
    evaluation, tmp_path, monkeypatch, without_charts
):
    (tmp_path / "report.html").write_bytes(b"an older page")

    def full(self, data):
        if "report.html" in self.name:
            raise OSError(28, "No space left on device")
        return write_bytes(self, data)

    write_bytes = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="report.html.*No space left"):
        write_report(tmp_path, evaluation)
    assert (tmp_path / "report.html").read_bytes() == b"an older page"
    assert not (tmp_path / "metrics.json").exists()
    assert not [p for p in tmp_path.rglob(".*")]


def test_an_audit_that_a_user_adds_is_stored_and_told(evaluation, tmp_path, without_charts):
    findings = [*evaluation.findings, Remark({"remarks": {"count": 1}})]
    result = write_report(tmp_path, replace(evaluation, findings=findings))
    assert result["remarks"] == {"count": 1}
    assert "A remark was made." in (tmp_path / "report.md").read_text()


def test_an_audit_may_not_overwrite_a_metric(evaluation, tmp_path):
    findings = [*evaluation.findings, Remark({"accuracy": 1.0})]
    with pytest.raises(ValueError, match="accuracy"):
        write_report(tmp_path, replace(evaluation, findings=findings))
    assert not list(tmp_path.iterdir())


def test_a_network_without_maps_has_a_report_that_says_so(evaluation, tmp_path, without_charts):
    wrong, *others, _, _ = evaluation.findings
    findings = [replace(wrong, overlays={}, explained=False), *others]
    result = write_report(tmp_path, replace(evaluation, findings=findings))
    page = Page((tmp_path / "report.html").read_text())
    assert "This network has no feature maps" in page.text
    assert not {"explanations", "evidence"} & {*result, *page.anchors}
    assert not [path for path in (tmp_path / "pictures").iterdir() if path.stem in FILMS]


@pytest.fixture(scope="module")
def bare(one_class, facts, findings, make_evaluation, tmp_path_factory):
    """An evaluation of synthetic films of one class and unknown patients, without a history."""
    folder, stamps, signed = tmp_path_factory.mktemp("bare"), [], report.signed
    facts = replace(facts, synthetic=True, history=[], selection=Selection("loss", 3, 0))
    unknown = replace(one_class(1), patients=None)
    findings = [*findings, Remark({"extra": [np.float32("nan"), np.inf, 1.0]})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "signed", lambda f, stamp: stamps.append(stamp) or signed(f, stamp))
        result = write_report(folder, make_evaluation(unknown, facts, findings))
    return folder, result, stamps


def test_what_has_no_data_says_why(bare):
    text = Page((bare[0] / "report.html").read_text()).text
    assert "has no log of epochs" in text and "no validation films" in text
    assert "undefined" in text and not re.search(r"\bnan\b", text)


def test_unknown_patients_are_in_no_file(bare):
    with open(bare[0] / "predictions.csv", newline="") as stream:
        assert {row["patient"] for row in csv.DictReader(stream)} == {""}


def test_synthetic_films_are_stamped_in_every_output(bare):
    folder, result, stamps = bare
    assert stamps == [True] * (len(CHARTS) - 1)  # no training curves
    assert result["synthetic"] is True
    lines = (folder / "predictions.csv").read_text().splitlines()
    assert all("synthetic films" in line for line in lines[1:])
    for name in ("report.html", "report.md"):
        assert (
            "synthetic films: the metrics only show that the code works"
            in (folder / name).read_text()
        )


def test_what_is_no_number_becomes_null(bare):
    assert bare[1]["extra"] == [None, None, 1.0]
