"""The pages show the stored figures, and their pictures are drawn from them."""

from pathlib import Path

import pytest
from PIL import Image

from tools.docs.__main__ import PAGES, PICTURES, rendered
from tools.docs.marks import placed, table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_the_stored_figures(page):
    assert rendered(page) == (ROOT / page).read_text()


def test_every_mark_of_every_page_is_rendered():
    marks = {
        (str(page.relative_to(ROOT)), line.removeprefix("<!-- begin: ").removesuffix(" -->"))
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for line in page.read_text().splitlines()
        if line.startswith("<!-- begin: ")
    }
    assert marks == {(page, name) for page, texts in PAGES.items() for name in texts}


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_and_small(name, tmp_path):
    PICTURES[name](tmp_path / name)
    with Image.open(tmp_path / name) as drawn, Image.open(ROOT / "docs/images" / name) as stored:
        assert drawn.size == stored.size
    assert (tmp_path / name).stat().st_size < 1.5 * (ROOT / "docs" / "images" / name).stat().st_size


@pytest.mark.parametrize("page", ["", "<!-- begin: a -->\nno end\n", "<!-- end: a -->\n" * 2])
def test_a_page_without_both_marks_once_each_is_refused(page):
    with pytest.raises(ValueError, match="<!-- begin: a --> and <!-- end: a -->, once each"):
        placed(page, {"a": "text"})


def test_a_table_fills_short_rows_and_keeps_its_columns():
    lines = table(["a", "b"], [["1", "2"], ["one | of two"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| one / of two |  |"]
