"""Names of films, patients, folders and runs that contain HTML, Markdown or invalid text."""

import html.parser
from dataclasses import replace

from PIL import Image

from pneumojax.evaluation.audits.failures import Kind
from pneumojax.evaluation.compare.compare import compare
from pneumojax.evaluation.report.report import write_report
from pneumojax.files import write_csv
from pneumojax.serve import markup
from pneumojax.serve.reading import Reading

NAMES = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "'-alert(1)-'{{7*7}}{%x%}",
    "&lt;b&gt;<!--",
    "a\n\n<iframe src=//evil.example>\n# heading\n| cell |",
    "[x](javascript:alert(1)) ![y](http://evil.example/z)",
    "\udcff<b>\x00\x1b[31m.png",
    "$x^{$ \\frac",
    "=HYPERLINK(1)",
]


class Elements(html.parser.HTMLParser):
    """The elements of a page in order, with the names of their attributes."""

    def __init__(self, source):
        super().__init__()
        self.found = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, tuple(name for name, _ in attributes)))

    def handle_comment(self, data):
        self.found.append(("comment", ()))


def renamed(evaluation, name):
    """The same evaluation with `name(i)` in every place that a stranger can name."""
    predictions, facts = evaluation.predictions, evaluation.facts
    count = len(predictions.files)
    films = replace(
        predictions,
        files=[f"{name(i)}{i:03}" for i in range(count)],
        patients=[name(int(p.removeprefix("person"))) + p for p in predictions.patients],
    )
    named = replace(
        facts,
        run=name(1),
        root=name(1),
        split=name(1),
        config={**facts.config, "name": name(2), "data.root": name(3)},
        provenance={**facts.provenance, "command": ["main.py", name(4)]},
        flow=replace(facts.flow, rejected=[(name(5), name(6))], audit=name(7)),
    )
    wrong = {
        kind: replace(
            found, films=[replace(film, file=films.files[film.index]) for film in found.films]
        )
        for kind, found in vars(evaluation.findings[3]).items()
        if isinstance(found, Kind)
    }
    findings = list(evaluation.findings)
    findings[3] = replace(findings[3], **wrong)
    return replace(evaluation, predictions=films, facts=named, findings=findings)


def test_names_add_no_element_attribute_or_link_to_a_report(evaluation, tmp_path, without_charts):
    pages = {}
    for kind, name in (
        ("plain", lambda i: "plain"),
        ("odd", lambda i: NAMES[i % len(NAMES)]),
    ):
        write_report(tmp_path / kind, renamed(evaluation, name))
        pages[kind] = (tmp_path / kind / "report.html").read_text()
    assert Elements(pages["odd"]).found == Elements(pages["plain"]).found
    assert "<img src=x" not in pages["odd"] and "&lt;img src=x" in pages["odd"]
    markdown = (tmp_path / "odd" / "report.md").read_text()
    lines = [len((tmp_path / kind / "report.md").read_text().splitlines()) for kind in pages]
    assert lines[0] == lines[1]  # no name adds a line
    plain = markdown.replace("\\<", "").replace("\\[", "").replace("\\]", "")
    assert "<" not in plain and "](javascript" not in plain and "](http" not in plain


def test_a_comparison_says_names_without_taking_them_for_markdown(tmp_path):
    films = [f"{name}{i}" for i, name in enumerate(NAMES)]
    for network in "ab":
        alone = [
            name + network for name in NAMES
        ]  # the comparison lists films that only one network has
        rows = [
            (film, (i % 5) / 5, ("NORMAL", "PNEUMONIA")[i % 2], f"{NAMES[0]}{i % 4}")
            for i, film in enumerate([*films, *(alone[-3:] if network == "a" else alone[:3])])
        ]
        write_csv(tmp_path / f"{network}.csv", ("file", "probability", "label", "patient"), rows)
    output = tmp_path / "out"
    compare([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], output=str(output))
    markdown = (output / "comparison.md").read_text()
    bare = markdown.replace("\\\\", "").replace("\\<", "").replace("\\[", "").replace("\\]", "")
    for mark in ("<script", "<img", "<svg", "<iframe", "<b>", "](javascript", "](http"):
        assert mark not in bare


def test_the_page_of_serve_escapes_the_names_of_runs_and_films():
    film = Image.new("L", (30, 20))
    for name in NAMES:
        about = markup.About(name, name, False, 0.5, name, 3, True)
        plain = markup.About("run", "films", False, 0.5, "youden", 3, True)
        of_name, of_plain = (Elements(markup.introduction(a)).found for a in (about, plain))
        assert of_name == of_plain
        # Refusals are not tested: they are plain text, which the page's script sets as text.
        readings = (
            markup.reading_of(Reading(0.9, True, [text], film, None), network, text)
            for text, network in ((name, about), ("x", plain))
        )
        of_name, of_plain = (Elements(reading).found for reading in readings)
        assert of_name == of_plain
