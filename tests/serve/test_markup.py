"""The HTML of readings, refusals and drawings."""

import re

import pytest
from PIL import Image

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.serve import markup
from pneumojax.serve.examples import Example, examples
from pneumojax.serve.reading import Reading
from pneumojax.training.trained import open_run

NETWORK = markup.About("a-run", "some films", False, 0.25, "youden", 65, True)
FILM = Image.new("L", (30, 20), 90)


def reading(probability=0.9, warnings=(), evidence=True):
    shown = FILM.convert("RGB") if evidence else None
    return Reading(probability, probability >= 0.25, list(warnings), FILM, shown)


@pytest.mark.parametrize(("probability", "call"), [(0.75, "PNEUMONIA"), (0.125, "normal")])
def test_probability_and_operating_point_stand_at_their_places_on_the_scale(probability, call):
    text = markup.reading_of(reading(probability), NETWORK)
    assert f"Called {call}" in text and f"{probability:.3f}" in text
    assert f'class="mark" style="left: {100 * probability}%"' in text
    assert 'class="point" style="left: 25.0%"' in text and "operating point 0.250" in text


@pytest.mark.parametrize(
    ("probability", "said"),
    [(1.0, "above 0.999"), (0.0, "below 0.001"), (0.9991, "above 0.999"), (0.999, "0.999")],
)
def test_no_probability_is_shown_as_certain(probability, said):
    assert markup.three_places(probability) == said


def test_every_reading_carries_disclaimer_warnings_and_both_pictures():
    text = markup.reading_of(reading(warnings=["blank", "<tiny>"]), NETWORK)
    assert DISCLAIMER in text and "<li>blank</li>" in text and "<li>&lt;tiny&gt;</li>" in text
    assert len(re.findall('src="data:image/jpeg;base64,', text)) == 2
    assert "65 validation films" in text and "cannot tell" not in text


def test_a_film_without_evidence_and_a_run_without_fits_say_so():
    bare = NETWORK._replace(rule="default", knows_scope=False)
    text = markup.reading_of(reading(evidence=False), bare)
    assert "Nothing on this film" in text and text.count("<img") == 1
    assert "No operating point could be fitted" in text and "cannot tell" in text


def test_a_network_trained_on_drawings_is_stamped_everywhere():
    drawn = NETWORK._replace(synthetic=True, trained_on=SYNTHETIC_STAMP)
    for text in (markup.introduction(drawn), markup.reading_of(reading(), drawn)):
        assert "rained on drawings" in text
    for text in (markup.introduction(NETWORK), markup.reading_of(reading(), NETWORK)):
        assert "drawings" not in text
    assert SYNTHETIC_STAMP in markup.introduction(drawn)


def test_what_the_page_says_of_a_network_is_that_of_its_run(workdir, films_root):
    network = markup.about(open_run(workdir), workdir)
    assert network == ("small-run", films_root.name, False, 0.4, "youden", 10, False)


def test_names_and_reasons_cannot_bring_markup_into_the_page():
    evil = NETWORK._replace(run="<script>1</script>", trained_on="<b>")
    texts = [markup.introduction(evil), markup.refusal_of("<script>")]
    texts.append(markup.drawings_of([Example(b"", "<script>")]))
    assert all("<script" not in text for text in texts)


def test_drawings_are_buttons_in_their_order():
    text = markup.drawings_of(examples())
    assert re.findall(r'value="(\d)"', text) == ["0", "1", "2"]
    assert [drawing.caption for drawing in examples()] == re.findall("<span>(.*?)</span>", text)


def test_no_part_of_the_page_names_another_host():
    texts = [markup.introduction(NETWORK), markup.nothing_yet(), markup.style()]
    texts += [markup.reading_of(reading(), NETWORK), markup.refusal_of("why")]
    assert not [text for text in texts if re.search("https?:|//[a-z]|url\\(", text)]
