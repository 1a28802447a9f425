import numpy as np
import pytest
from matplotlib.figure import Figure

from pneumojax.disclaimer import (
    DISCLAIMER,
    SYNTHETIC_STAMP,
    confusion_figure,
    curves_figure,
    roc_figure,
)
from pneumojax.evaluation.metrics import Confusion, auroc, call, confusion

LABELS = np.array([0, 0, 0, 1, 1, 1, 1])
SCORES = np.array([-2.0, -1.0, 1.5, -0.5, 0.5, 1.0, 2.0])
HISTORY = [
    {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "val_loss": 0.6, "val_accuracy": 0.7},
    {"epoch": 2, "train_loss": 0.3, "train_accuracy": 0.9, "val_loss": None, "val_accuracy": None},
]


def _texts(figure: Figure) -> str:
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def _roc(synthetic: bool = False) -> Figure:
    area = {"value": auroc(LABELS, SCORES), "low": 0.5, "high": 1.0}
    counted = confusion(LABELS, call(SCORES, 0))
    return roc_figure(LABELS, SCORES, area, counted, 0.5, synthetic=synthetic)


def _confusion(synthetic: bool = False) -> Figure:
    return confusion_figure(confusion(LABELS, call(SCORES, 0)), synthetic=synthetic)


def _curves(synthetic: bool = False) -> Figure:
    return curves_figure(HISTORY, synthetic=synthetic)


@pytest.mark.parametrize("draw", [_roc, _confusion, _curves])
def test_every_picture_has_the_disclaimer_and_only_synthetic_ones_the_stamp(draw):
    assert DISCLAIMER in _texts(draw())
    assert SYNTHETIC_STAMP not in _texts(draw())
    assert SYNTHETIC_STAMP in _texts(draw(synthetic=True))


def test_the_roc_picture_says_its_area_and_marks_the_operating_point():
    figure = _roc()
    text = _texts(figure)
    assert "AUROC 0.750 (95 % interval 0.500 to 1.000)" in text
    assert "sensitivity 0.750" in text
    assert "specificity 0.667" in text
    points = [tuple(map(float, line.get_xydata()[0])) for line in figure.axes[0].lines]
    assert (pytest.approx(1 / 3), 0.75) in points


def test_one_class_only_is_said_instead_of_drawn():
    ones = np.ones(4, int)
    undefined = {"value": None, "low": None, "high": None}
    figure = roc_figure(ones, SCORES[:4], undefined, confusion(ones, ones), 0.5)
    assert "one class only" in _texts(figure)
    assert not figure.axes[0].lines


def test_the_confusion_picture_has_counts_and_shares_of_the_row():
    text = _texts(confusion_figure(Confusion(*np.array([103, 131, 5, 385]))))
    for part in ("103", "44.0 %", "131", "56.0 %", "1.3 %", "385", "98.7 %", "234 films"):
        assert part in text
    assert "called PNEUMONIA" in text
    assert "no films" in _texts(confusion_figure(Confusion(*np.array([0, 0, 1, 2]))))


def test_curves_show_what_the_history_has():
    loss, accuracy = _curves().axes
    lines = {line.get_label(): line.get_ydata() for line in loss.lines}
    np.testing.assert_array_equal(lines["train"], [0.5, 0.3])
    np.testing.assert_array_equal(lines["validation"], [0.6, np.nan])
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), [0.8, 0.9])
    bare = [{key: row[key] for key in ("epoch", "train_loss", "train_accuracy")} for row in HISTORY]
    assert "validation" not in _texts(curves_figure(bare))


def test_one_epoch_is_a_point_at_a_whole_number():
    figure = curves_figure(HISTORY[:1])
    figure.canvas.draw()
    axes = figure.axes[0]
    assert axes.lines[0].get_marker() == "o"
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
