"""The HTML of readings, refusals and drawings."""

import dataclasses
import re

import pytest
from PIL import Image

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.inference.trained_run import open_run
from pneumojax.serve import markup
from pneumojax.serve.markup import Example, examples
from pneumojax.serve.reading import Reading
from pneumojax.shipped import reference_run

NETWORK = markup.About("a-run", "some films", False, 0.25, "youden", "65 films", True)
FILM = Image.new("L", (30, 20), 90)


def reading(probability=0.9, warnings=(), evidence=True):
    heat = FILM.convert("RGB") if evidence else None
    return Reading(probability, probability >= 0.25, list(warnings), FILM, heat)


def shown(read, network=NETWORK, seen=""):
    return markup.reading_of(read, network, seen)


@pytest.mark.parametrize(("probability", "call"), [(0.75, "PNEUMONIA"), (0.125, "NORMAL")])
def test_probability_and_operating_point_stand_at_their_places_on_the_scale(probability, call):
    text = shown(reading(probability))
    assert f"Called {call}" in text and f"{probability:.3f}" in text
    assert f'class="mark" data-at="{100 * probability}"' in text
    assert 'class="point" data-at="25.0"' in text and "operating point 0.250" in text


@pytest.mark.parametrize(
    ("probability", "said"),
    [(1.0, "above 0.999"), (0.0, "below 0.001"), (0.9991, "above 0.999"), (0.999, "0.999")],
)
def test_no_probability_is_shown_as_certain(probability, said):
    assert markup.three_places(probability) == said


def test_every_reading_carries_disclaimer_warnings_and_both_pictures():
    text = shown(reading(warnings=["blank", "<tiny>"]), NETWORK)
    assert DISCLAIMER in text and "<li>blank</li>" in text and "<li>&lt;tiny&gt;</li>" in text
    assert len(re.findall('src="data:image/jpeg;base64,', text)) == 2
    assert "fitted on 65 films" in text and "cannot tell" not in text


def test_a_film_without_evidence_and_a_run_without_fits_say_so():
    bare = NETWORK._replace(rule="default", recognises_training_films=False)
    text = shown(reading(evidence=False), bare)
    assert "no evidence for pneumonia" in text and text.count("<img") == 1
    unexplained = shown(reading(evidence=False), NETWORK._replace(explains=False))
    assert "no evidence for pneumonia" not in unexplained and unexplained.count("<img") == 1
    assert "No operating point could be fitted" in text and "cannot tell" in text


def test_a_network_trained_on_drawings_is_stamped_everywhere():
    drawn = NETWORK._replace(synthetic=True, trained_on=SYNTHETIC_STAMP)
    for text in (markup.introduction(drawn), shown(reading(), drawn)):
        assert "rained on drawings" in text
    for text in (markup.introduction(NETWORK), shown(reading(), NETWORK)):
        assert "drawings" not in text
    assert SYNTHETIC_STAMP in markup.introduction(drawn)


def test_what_the_page_says_of_a_network_is_that_of_its_run(workdir, films_root):
    network = markup.about(open_run(workdir), workdir)
    assert network == (
        "small-run",
        films_root.name,
        False,
        0.4,
        "youden",
        "10 validation films",
        False,
        True,
        CLASS_NAMES,
    )


def test_names_and_reasons_cannot_bring_markup_into_the_page():
    evil = NETWORK._replace(run="<script>1</script>", trained_on="<b>")
    texts = [markup.introduction(evil), markup.drawings_of([Example(b"", "<script>")])]
    texts.append(shown(reading(), evil, seen="<script>"))
    assert all("<script" not in text for text in texts)
    assert markup.page(evil, [], 1).count("<script") == 1  # the page's own script


def test_drawings_are_buttons_in_their_order():
    text = markup.drawings_of(examples())
    assert re.findall(r'value="(\d)"', text) == ["0", "1", "2"]
    assert [drawing.caption for drawing in examples()] == re.findall("<span>(.*?)</span>", text)


def test_no_part_of_the_page_names_another_host():
    texts = [markup.page(NETWORK, examples(), 1), *map(markup.fixed, ("page.css", "page.js"))]
    texts.append(shown(reading()))
    assert not [text for text in texts if re.search("https?:|//[a-z]|url\\(", text)]


def test_a_film_of_the_training_set_is_called_that_before_anything_else():
    text = shown(reading(), seen="the network was trained on this film")
    assert 0 < text.index("trained on this film") < text.index("Called PNEUMONIA")
    assert "Not a new film" not in shown(reading())


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_films_that_a_decision_was_fitted_on_are_named_truly(workdir, out_of_fold):
    trained = open_run(workdir)
    own = trained.meta["decision"] | ({"films": 3} if out_of_fold else {})
    meta = trained.meta | {"decision_of_validation": own}
    said = markup.about(dataclasses.replace(trained, meta=meta), workdir).fitted_on
    assert said == (
        "out-of-fold predictions of 10 training films" if out_of_fold else "10 validation films"
    )


def test_the_reference_model_says_that_its_threshold_rests_on_several_kinds_of_scores():
    folder = reference_run()
    assert markup.about(open_run(folder), folder).fitted_on.endswith("scores of several kinds")


def test_a_reading_as_values_carries_what_its_page_says():
    values = markup.values_of(reading(warnings=["blank"]), NETWORK, "seen")
    assert (values["call"], values["probability"], values["threshold"]) == ("PNEUMONIA", 0.9, 0.25)
    assert values["warnings"] == ["seen", "blank"] and values["disclaimer"] == DISCLAIMER


def test_a_reading_names_the_runs_own_classes_and_escapes_them():
    network = NETWORK._replace(class_names=ClassNames("clear", "<b>opacity"))
    text = shown(reading(), network)
    assert "Called &lt;b&gt;opacity" in text and "probability of &lt;b&gt;opacity" in text
    assert not re.search("pneumonia|<b>", text, re.IGNORECASE)
    assert "Called clear" in shown(reading(0.1), network)
    assert markup.values_of(reading(), network, "")["call"] == "<b>opacity"
