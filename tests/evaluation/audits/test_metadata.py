"""Columns become groups with sklearn's figures, and a confounding column is recognised."""

import json

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from pneumojax.evaluation.audits.metadata import divide
from pneumojax.evaluation.predictions import Predictions
from pneumojax.inference.decision import Decision
from pneumojax.stats.intervals import wilson

N = 600
DECISION = Decision("youden", 1.0, 0.5, 10, "")
RNG = np.random.default_rng([0])
LABELS = (RNG.random(N) < 0.5).astype(int)
# Four of five ill patients are filmed in bed, and one of five others.
IN_BED = np.where(LABELS == 1, RNG.random(N) < 0.8, RNG.random(N) < 0.2)
VIEWS = np.where(IN_BED, "AP", "PA")
SEXES = RNG.choice(["F", "M", ""], N, p=[0.45, 0.45, 0.1])


def measured(logits, columns, resamples=200):
    files, notes = [f"{i}.png" for i in range(N)], [""] * N
    patients = [f"p{i // 2}" for i in range(N)]
    predictions = Predictions(files, patients, ["unknown"] * N, LABELS, logits, notes)
    return divide(predictions, DECISION, columns, resamples=resamples)


@pytest.fixture(scope="module")
def recogniser():
    """A network that recognises the view, and nothing else."""
    logits = np.where(IN_BED, 1.0, -1.0) + RNG.normal(0, 0.5, N)
    return logits, measured(logits, {"view": VIEWS, "sex": SEXES})


def test_groups_have_sklearns_figures_of_their_own_films(recogniser):
    logits, finding = recogniser
    calls = (logits >= 0).astype(int)
    view, sex = finding.record()["metadata"]["columns"]
    assert [part["name"] for part in view["parts"]] == ["AP", "PA"]
    assert [part["name"] for part in sex["parts"]] == ["F", "M", "unknown"]
    for values, parts in ((VIEWS, view["parts"]), (SEXES, sex["parts"])):
        for part in parts:
            own = values == ("" if part["name"] == "unknown" else part["name"])
            assert part["n"] == own.sum() and part["pneumonia"] == LABELS[own].sum()
            assert part["prevalence"] == LABELS[own].mean()
            area = part["auroc"]["value"]
            assert area == pytest.approx(roc_auc_score(LABELS[own], logits[own]))
            recall = part["sensitivity"]
            assert recall["value"] == pytest.approx(recall_score(LABELS[own], calls[own]))
            hits = int(calls[own & (LABELS == 1)].sum())
            assert (recall["low"], recall["high"]) == wilson(hits, int(LABELS[own].sum()))


def test_the_auroc_within_groups_counts_the_pairs_of_each_group(recogniser):
    logits, finding = recogniser
    correct = pairs = 0.0
    for view in ("AP", "PA"):
        own = view == VIEWS
        ill, normal = logits[own & (LABELS == 1)], logits[own & (LABELS == 0)]
        correct += np.sum(ill[:, None] > normal)
        pairs += ill.size * normal.size
    (column, _) = finding.columns
    assert column.within.value == pytest.approx(correct / pairs)
    difference = roc_auc_score(LABELS, logits) - correct / pairs
    assert column.difference.value == pytest.approx(difference)
    assert column.difference.method == "patient bootstrap"


def test_a_network_that_recognises_the_view_is_found_out_and_one_that_does_not_is_not(recogniser):
    _, finding = recogniser
    view, sex = finding.columns
    assert view.confounded and not sex.confounded
    assert finding.everything.auroc.value > 0.75 and view.within.high < 0.65
    assert "excludes 0) for view." in " ".join(finding.section().text)
    sees_disease = measured(3.0 * LABELS + RNG.normal(0, 1, N), {"view": VIEWS})
    assert not sees_disease.columns[0].confounded


def test_columns_without_groups_are_named_with_the_reason(recogniser):
    logits, _ = recogniser
    columns = {"name": [f"Somebody {i}" for i in range(N)], "scanner": ["one"] * N}
    finding = measured(logits, columns, resamples=10)
    assert finding.columns == [] and finding.pictures() == {}
    text = " ".join(finding.section().text)
    assert "The films are not divided by name: most films have a value of their own." in text
    assert "Somebody" not in json.dumps(finding.record()) + text


def test_hostile_names_of_columns_and_values_are_drawn_and_stored(recogniser):
    logits, _ = recogniser
    names = np.where(IN_BED, "$\\frac{", "<b>\x1b[31m\u202e" + "long " * 40)
    finding = measured(logits, {"all": SEXES, "a difference": VIEWS, "$x^{": names}, resamples=10)
    assert [column.name for column in finding.columns] == ["all", "a difference", "$x^{"]
    (figure,) = finding.pictures().values()
    figure.draw_without_rendering()
    cells = [cell for table in finding.section().tables for row in table.rows for cell in row]
    assert all(cell.isprintable() and len(cell) < 80 for cell in cells)
    json.dumps(finding.record(), allow_nan=False)


def test_one_class_and_few_films_are_survived():
    labels = np.ones(6, int)
    predictions = Predictions(list("abcdef"), None, ["none"] * 6, labels, labels * 1.0, [""] * 6)
    finding = divide(predictions, DECISION, {"sex": ["F", "F", "F", "M", "M", "M"]}, resamples=10)
    (column,) = finding.columns
    assert np.isnan(column.within.value) and not column.confounded
    assert all("auroc" in part.too_few for part in column.parts)
    json.dumps(finding.record(), allow_nan=False)
    assert "undefined" in finding.section().tables[1].rows[0][2]
