"""The films that a network gets most wrong, and those whose label may be what is wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pneumojax.data.films import CLASS_NAMES
from pneumojax.inference.decision import Decision
from pneumojax.stats.metrics import Floats, Ints, check_scores

SHOWN = 6  # films of each kind


def failures(
    labels: ArrayLike,
    logits: ArrayLike,
    decision: Decision,
    files: Sequence[str],
    k: int = SHOWN,
) -> dict[str, Any]:
    """The k most confident false positives and false negatives, and k doubtful labels.

    A label is doubtful where the other class's probability is more than half and at least what
    that class's own films have on average, as in confident learning (Northcutt et al., JAIR
    70:1373, 2021). That is a reason to look at the film again, nothing more. Among films that the
    network was trained on it finds little, since a network learns wrong labels too.

    Args:
      labels: (n,) of 0 and 1.
      logits: (n,) finite.
      decision: calls, and calibrates, as the run does.
      files: (n,) names of the films.
      k: most films of each kind.

    Returns:
      "false_positives", "false_negatives" and "doubtful_labels", each with "found", how many there
      are, and "films", the most confident first and among equals the one that stands first:
      {"index", "file", "label", "probability"}, calibrated, of PNEUMONIA.

    Raises:
      ValueError: lengths differ, a label is neither 0 nor 1, or a logit is not finite.
    """
    truth, values = check_scores(labels, logits)
    if truth.size != len(files):
        raise ValueError(f"{truth.size} labels, {len(files)} files")
    probabilities = decision.probabilities(values)
    calls = decision.calls(probabilities)
    # Of being wrong, in logits: the sigmoid rounds far-off ones to one probability.
    wrong = np.where(truth == 1, -values, values)
    kinds = {
        "false_positives": (calls == 1) & (truth == 0),
        "false_negatives": (calls == 0) & (truth == 1),
        "doubtful_labels": _doubtful(truth, probabilities),
    }
    result: dict[str, Any] = {"k": k}
    for kind, of_kind in kinds.items():
        films = np.flatnonzero(of_kind)
        chosen = films[np.argsort(-wrong[films], kind="stable")][:k]
        result[kind] = {
            "found": int(films.size),
            "films": [
                {
                    "index": int(film),
                    "file": files[film],
                    "label": CLASS_NAMES[truth[film]],
                    "probability": float(probabilities[film]),
                }
                for film in chosen
            ],
        }
    return result


def _doubtful(truth: Ints, probabilities: Floats) -> np.ndarray:
    """bool (n,); nothing is doubtful where films of the other class are missing."""
    if not 0 < truth.sum() < truth.size:
        return np.zeros(truth.size, bool)
    ill, normal = probabilities[truth == 1].mean(), 1 - probabilities[truth == 0].mean()
    other = np.where(truth == 0, probabilities, 1 - probabilities)
    return (other > 0.5) & (other >= np.where(truth == 0, ill, normal))
