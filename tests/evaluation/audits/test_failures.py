import json

import numpy as np
import pytest

from pneumojax.evaluation.audits import failures as audited
from pneumojax.evaluation.wording import common_folder
from pneumojax.inference.decision import Decision

DECISION = Decision("youden", 2.0, 0.6, 10, "")


def failures(*arguments, **options):
    """The entry of metrics.json."""
    return audited.failures(*arguments, **options).record()["failures"]


def _names(films):
    return [film["file"] for film in films["films"]]


def test_the_most_confident_mistakes_come_first_and_equals_as_they_stand():
    labels = [0, 0, 0, 0, 1, 1, 1]
    logits = [9.0, 3.0, 9.0, -5.0, -1.0, 0.1, 4.0]
    files = list("abcdefg")
    result = failures(labels, logits, DECISION, files, k=2)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["false_positives"]["found"] == 3
    assert _names(result["false_positives"]) == ["a", "c"]
    assert _names(result["false_negatives"]) == ["e", "f"]  # f is above 0.5 and below 0.6
    first = result["false_negatives"]["films"][0]
    assert (first["index"], first["label"]) == (4, "PNEUMONIA")
    assert first["probability"] == pytest.approx(1 / (1 + np.exp(0.5)))


def test_absolute_paths_are_shown_below_the_folder_that_they_have_in_common():
    files = [f"/mnt/films/{name}" for name in ("a/1.png", "a/2.png", "b/3.png")]
    found = audited.failures([0, 0, 1], [9.0, 8.0, -7.0], DECISION, files)
    section = found.section()
    assert "Names of films are below '/mnt/films/'." in section.text
    assert [row[0] for table in section.tables for row in table.rows][:3] == [
        "a/1.png",
        "a/2.png",
        "b/3.png",
    ]
    assert _names(found.record()["failures"]["false_negatives"]) == ["/mnt/films/b/3.png"]
    assert common_folder(["a/1.png", "a/2.png"]) == ""


def test_confidence_is_told_apart_where_probabilities_are_all_one():
    result = failures([0, 0, 1], [1000.0, 2000.0, 5.0], DECISION, ["a", "b", "c"])
    assert _names(result["false_positives"]) == ["b", "a"]


def test_labels_are_doubtful_beyond_the_other_classs_mean_confidence():
    # On average films of PNEUMONIA get 0.85, and normal ones 0.8 for NORMAL (film c included).
    probabilities = np.array([0.05, 0.05, 0.7, 0.0, 0.9, 0.8, 0.99, 0.7])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(probabilities) - np.log1p(-probabilities), -50)
    plain = Decision("default", 1.0, 0.5, 0, "")
    files = list("abcdefgh")
    assert failures(labels, logits, plain, files)["doubtful_labels"]["found"] == 0
    logits[2] = 3.0  # 0.95, more than PNEUMONIA's own mean of 0.85
    assert _names(failures(labels, logits, plain, files)["doubtful_labels"]) == ["c"]


def test_nothing_is_doubtful_among_films_of_one_class_and_lengths_must_agree():
    result = failures([1, 1], [-9.0, 9.0], DECISION, ["a", "b"])
    assert result["doubtful_labels"] == {"found": 0, "films": []}
    assert result["false_positives"]["found"] == 0
    assert _names(result["false_negatives"]) == ["a"]
    with pytest.raises(ValueError, match="2 labels, 1 files"):
        failures([1, 1], [-9.0, 9.0], DECISION, ["a"])
