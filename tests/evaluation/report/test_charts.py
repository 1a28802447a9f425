import numpy as np
import pytest
from matplotlib.figure import Figure

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.report import charts
from pneumojax.evaluation.report.style import signed
from pneumojax.stats.calibration import reliability
from pneumojax.stats.metrics import Confusion

LABELS = np.array([0, 0, 0, 1, 1, 1, 1])
LOGITS = np.array([-2.0, -1.0, 1.5, -0.5, 0.5, 1.0, 2.0])
PATIENTS = list("abcdefg")
HISTORY = [
    {"epoch": 1, "train_loss": 0.5, "val_loss": 0.6, "val_sensitivity": 0.7},
    {"epoch": 2, "train_loss": 0.3, "val_loss": None, "val_sensitivity": None},
]


def texts(figure: Figure) -> str:
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_signed_picture_has_the_disclaimer_and_only_synthetic_ones_the_stamp(synthetic):
    figure = signed(charts.confusion_chart(Confusion(tn=1, fp=2, fn=3, tp=4)), synthetic)
    assert DISCLAIMER in texts(figure)
    assert (SYNTHETIC_STAMP in texts(figure)) == synthetic


def test_the_roc_chart_marks_its_points_inside_the_band_of_resampled_curves():
    figure = charts.roc_chart(LABELS, LOGITS, PATIENTS, {"at 0.5": (0.75, 2 / 3)})
    points = [tuple(map(float, line.get_xydata()[0])) for line in figure.axes[0].lines]
    assert (pytest.approx(1 / 3), 0.75) in points
    assert "at 0.5" in texts(figure)
    assert figure.axes[0].collections  # the band


def test_chance_of_the_precision_recall_chart_is_the_prevalence():
    figure = charts.precision_recall_chart(LABELS, LOGITS, PATIENTS)
    assert float(figure.axes[0].lines[0].get_ydata()[0]) == pytest.approx(4 / 7)


@pytest.mark.parametrize("labels", [np.ones(7, int), np.zeros(7, int)])
def test_one_class_only_is_said_instead_of_drawn(labels):
    for figure in (
        charts.roc_chart(labels, LOGITS, PATIENTS, {}),
        charts.precision_recall_chart(labels, LOGITS, PATIENTS),
    ):
        assert "one class only" in texts(figure)
        assert not figure.axes[0].lines


def test_the_confusion_chart_has_counts_and_shares_of_the_row():
    text = texts(charts.confusion_chart(Confusion(tn=103, fp=131, fn=5, tp=385)))
    for part in ("103", "44.0 %", "131", "56.0 %", "1.3 %", "385", "98.7 %", "234 films"):
        assert part in text
    assert "no films" in texts(charts.confusion_chart(Confusion(tn=0, fp=0, fn=1, tp=2)))


def test_the_reliability_chart_shows_each_bin_with_its_films():
    rows = reliability(LABELS, 1 / (1 + np.exp(-LOGITS)), bins=3)
    figure = charts.reliability_chart({"as trained": rows})
    above, below = figure.axes
    np.testing.assert_allclose(above.lines[1].get_ydata(), [row.observed for row in rows])
    assert [bar.get_height() for bar in below.patches] == [row.films for row in rows]


def test_training_shows_what_the_history_has_and_the_epoch_chosen():
    figure = charts.training_chart(HISTORY, chosen=2)
    loss, below = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in loss.lines}
    np.testing.assert_array_equal(lines["training"], [0.5, 0.3])
    np.testing.assert_array_equal(lines["validation"], [0.6, np.nan])
    assert loss.lines[0].get_xdata()[0] == 2
    assert "specificity" not in texts(figure)
    one = charts.training_chart(HISTORY[:1], chosen=1)
    one.canvas.draw()
    low, high = one.axes[0].get_xlim()
    assert [t for t in one.axes[0].get_xticks() if low <= t <= high] == [1]


@pytest.mark.parametrize("epochs", [20, 21])
def test_a_long_training_is_drawn_as_lines_without_markers_or_warnings(epochs):
    history = [{"epoch": epoch, "train_loss": 1 / epoch} for epoch in range(1, epochs + 1)]
    (line,) = charts.training_chart(history, chosen=None).axes[0].lines
    assert line.get_linestyle() == "-" and (line.get_marker() == "o") == (epochs == 20)
