import numpy as np
import pytest

from pneumojax.evaluation.audits.robustness import robustness
from pneumojax.evaluation.audits.shortcuts import shortcuts
from pneumojax.evaluation.audits.subgroups import subgroups
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.wording import HEADLINE
from pneumojax.inference.decision import Decision, undecided
from pneumojax.palette import PAPER

LABELS = (np.arange(160) % 4 > 0).astype(int)
LOGITS = np.random.default_rng([0]).normal(size=160) + 2 * LABELS - 1
STATISTICS = {
    "sharpness": np.random.default_rng([1]).normal(size=160) - LABELS,
    "brightness": np.random.default_rng([2]).normal(size=160),
    "width": np.full(160, 224.0),
}


def _finding(labels, pathogens):
    """The subgroups of the films, called at a logit of 0."""
    names = [f"{i}.png" for i in range(160)]
    films = Predictions(names, None, pathogens, labels, LOGITS, [""] * 160)
    return subgroups(films, undecided(""), STATISTICS, resamples=20)


def _texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def _inside(figure):
    """Asserts that no text leaves the picture and that no labels overlap."""
    figure.draw_without_rendering()
    whole = figure.bbox
    for axes in figure.axes:
        low, high = sorted(axes.get_ylim())
        # Panels that share an axis have ticks but no labels.
        labels = zip(axes.get_yticks(), axes.get_yticklabels(), strict=False)
        boxes = [
            label.get_window_extent()
            for at, label in labels
            if low <= at <= high and label.get_visible()
        ]
        texts = [text for text in (axes.title, axes.xaxis.label) if text.get_text()]
        for box in [*boxes, *(text.get_window_extent() for text in texts)]:
            assert whole.x0 - 1 <= box.x0 and box.x1 <= whole.x1 + 1
            assert whole.y0 - 1 <= box.y0 and box.y1 <= whole.y1 + 1
        heights = sorted((box.y0, box.y1) for box in boxes)
        assert all(one[1] <= two[0] + 1 for one, two in zip(heights, heights[1:], strict=False))


def test_shortcuts_are_drawn_best_first_with_the_network_and_without_what_says_nothing():
    result = shortcuts(STATISTICS, LABELS, LOGITS, LABELS, resamples=20)
    figure = result.pictures()["shortcuts"]
    _inside(figure)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["Sharpness", "Brightness"]
    assert [round(bar.get_x() + bar.get_width(), 9) for bar in axes.patches[:2]] == [
        round(row.auroc.value, 9) for row in result.statistics[:2]
    ]
    at = [line.get_xdata()[0] for line in axes.lines if line.get_linewidth() == 2]
    assert result.model.value in at
    assert {"the network", "higher in NORMAL"} <= set(_texts(figure))


def test_every_part_has_a_row_and_too_few_films_are_hollow():
    pathogens = np.where(LABELS == 0, "none", "virus").tolist()
    result = _finding(LABELS, pathogens)
    figure = result.pictures()["subgroups"]
    _inside(figure)
    texts = _texts(figure)
    assert {"all films (n 160)", "virus (n 120)", "Sharpness", "Brightness"} <= set(texts)
    assert "Width" not in texts
    sensitivity, specificity, _ = figure.axes
    for axes, name in ((sensitivity, "sensitivity"), (specificity, "specificity")):
        points = [line for line in axes.lines if line.get_marker() in ("o", "<")]
        drawn = [row for row in result.parts if not np.isnan(getattr(row, name).value)]
        left = axes.get_xlim()[0]
        places = [max(left, getattr(row, name).value) for row in drawn]
        assert [p.get_xdata()[0] for p in points] == places
        hollow = [p.get_markerfacecolor() == PAPER for p in points]
        assert hollow == [name in row.too_few for row in drawn]
    assert any(hollow)


def test_a_marker_at_one_is_whole():
    labels = np.array([0, 1] * 30)
    logits = np.where(labels == 1, 2.0, -2.0)
    films = Predictions([str(i) for i in range(60)], None, ["none"] * 60, labels, logits, [""] * 60)
    statistics = {name: values[:60] for name, values in STATISTICS.items()}
    figure = subgroups(films, undecided(""), statistics, resamples=5).pictures()["subgroups"]
    markers = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    assert {float(line.get_xdata()[0]) for line in markers} == {1.0}
    assert not any(line.get_clip_on() for line in markers)


def test_all_values_are_within_the_axes_if_all_films_are_few():
    labels = np.array([0, 1] * 6)
    logits = np.where(labels == 1, 2.0, -2.0)
    logits[:4] *= -1  # four of twelve calls are wrong
    films = Predictions([str(i) for i in range(12)], None, ["none"] * 12, labels, logits, [""] * 12)
    statistics = {name: values[:12] for name, values in STATISTICS.items()}
    result = subgroups(films, undecided(""), statistics, resamples=5)
    figure = result.pictures()["subgroups"]
    _inside(figure)
    for axes, name in zip(figure.axes, HEADLINE, strict=True):
        left, right = axes.get_xlim()
        values = [getattr(part, name).value for part in result.parts]
        points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        assert points == [value for value in values if not np.isnan(value)]
        assert left <= min(points) < 0.7 < max(points) <= right
    assert "lies further left" not in _texts(figure)


def test_a_value_of_too_few_films_that_is_off_the_axis_is_an_arrow_at_its_edge():
    labels = np.array([0, 1] * 30)
    logits = np.where(labels == 1, 2.0, -2.0)
    logits[1] = -9.0  # the only film of a virus is missed
    pathogens = ["none" if label == 0 else "bacteria" for label in labels]
    pathogens[1] = "virus"
    films = Predictions([str(i) for i in range(60)], None, pathogens, labels, logits, [""] * 60)
    statistics = {name: np.ones(60) for name in STATISTICS}
    figure = subgroups(films, undecided(""), statistics, resamples=5).pictures()["subgroups"]
    _inside(figure)
    axes = figure.axes[0]
    (missed,) = (line for line in axes.lines if line.get_marker() == "<")
    left = axes.get_xlim()[0]
    assert list(missed.get_xdata()) == [left] and left > 0 and not missed.get_clip_on()
    assert "lies further left" in _texts(figure)


def test_each_perturbation_has_a_panel_with_the_films_as_they_are_among_the_levels():
    images = np.repeat(np.clip(100 + 20 * LOGITS, 0, 255).astype(np.uint8), 256).reshape(-1, 16, 16)
    result = robustness(
        lambda films: films.mean(axis=(1, 2)) - 100.0,
        images,
        LABELS,
        Decision("default", 1.0, 0.5, 0, ""),
    )
    figure = result.pictures()["robustness"]
    _inside(figure)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == [kind.title for kind in result.kinds.values()]
    lines = [line for line in panels["Contrast, factor"].lines if line.get_marker() == "o"]
    assert len(lines) == 3
    np.testing.assert_array_equal(lines[0].get_xdata(), [0.5, 0.75, 1.0, 1.5])
    assert lines[0].get_ydata()[2] == result.unchanged.auroc.value


@pytest.mark.parametrize("label", [0, 1])
def test_films_of_one_class_are_drawn_without_what_they_cannot_tell(label):
    labels = np.full(160, label)
    shown = shortcuts(STATISTICS, labels, LOGITS, labels, resamples=5).pictures()["shortcuts"]
    assert any("no statistic" in text for text in _texts(shown))
    parts = _finding(labels, ["unknown"] * 160).pictures()["subgroups"]
    _inside(parts)
    assert not [line for line in parts.axes[2].lines if line.get_marker() == "o"]
