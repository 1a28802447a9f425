"""How far an operating point would move had other patients been drawn to fit it on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.inference.decision import fit_decision
from pneumojax.stats.estimates import json_ready
from pneumojax.stats.metrics import check_scores, confusion

RESAMPLES = 1000


def threshold_stability(
    settings: Mapping[str, Any],
    labels: ArrayLike,
    logits: ArrayLike,
    patients: Sequence[str] | NDArray,
    *,
    shares: Sequence[float] = (1.0, 0.1),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Refits the decision on resampled patients and applies each to all films.

    Args:
      settings: `config.decision`.
      labels: (n,) of 0 and 1.
      logits: (n,) finite.
      patients: (n,) key of each film's.
      shares: of the patients that are drawn, with replacement; below 1 it is what a hold-out of
        that size would do.
      resamples: draws for each share.
      seed: of the draws.

    Returns:
      For each share "patients", the number drawn, and the standard deviation over draws of
      "threshold" (on calibrated probabilities), "temperature", and of "sensitivity" and
      "specificity" on all films, these two in percentage points; and their "means". None where no
      draw held both classes. The networks stay the same: what training them again would change is
      not in these.
    """
    truth, values = check_scores(labels, logits)
    keys, patient = np.unique(np.asarray(patients), return_inverse=True)
    order = np.argsort(patient, kind="stable")
    films_of = np.split(order, np.cumsum(np.bincount(patient))[:-1])
    rows = []
    for share in shares:
        drawn_each = max(1, round(share * keys.size))
        rng = np.random.default_rng([seed, drawn_each])
        found = []
        for _ in range(resamples):
            drawn = rng.integers(keys.size, size=drawn_each)
            films = np.concatenate([films_of[i] for i in drawn])
            if len(set(truth[films].tolist())) < 2:
                continue
            decision = fit_decision(settings, truth[films], values[films])
            counted = confusion(truth, decision.calls(decision.probabilities(values)))
            found.append(
                (
                    decision.threshold,
                    decision.temperature,
                    100 * float(counted.sensitivity),
                    100 * float(counted.specificity),
                )
            )
        names = ("threshold", "temperature", "sensitivity", "specificity")
        # Where no draw held both classes there is nothing to say.
        columns = np.array(found) if found else np.full((1, len(names)), np.nan)
        rows.append(
            {
                "share": share,
                "patients": drawn_each,
                "resamples": len(found),
                **dict(zip(names, columns.std(0), strict=True)),
                "means": dict(zip(names, columns.mean(0), strict=True)),
            }
        )
    return json_ready(rows)
