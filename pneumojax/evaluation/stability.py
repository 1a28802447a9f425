"""How much an operating point depends on the patients that it is fitted on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.inference.decision import fit_decision
from pneumojax.stats.metrics import Floats, Ints, check_scores, confusion

RESAMPLES = 1000
# Shares of the patients that are drawn. A tenth shows what a hold-out of that size would give.
SHARES = (1.0, 0.1)


@dataclass(frozen=True)
class Means:
    threshold: float
    temperature: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class Stability:
    """Standard deviations over resamples of one size; nan if no resample has both classes.

    Networks trained again would add variance that is not included.

    share, patients: how many patients each resample draws.
    resamples: the number of resamples with both classes.
    threshold: of calibrated probabilities.
    sensitivity, specificity: in percentage points, on all films.
    means: the means over the resamples.
    """

    share: float
    patients: int
    resamples: int
    threshold: float
    temperature: float
    sensitivity: float
    specificity: float
    means: Means


def threshold_stability(
    settings: Mapping[str, Any],
    labels: ArrayLike,
    logits: ArrayLike,
    patients: Sequence[str] | NDArray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Stability]:
    """Refits `config.decision` on resampled patients (n,), and applies each fit to all films."""
    truth, values = check_scores(labels, logits)
    keys, patient = np.unique(np.asarray(patients), return_inverse=True)
    order = np.argsort(patient, kind="stable")
    films_of = np.split(order, np.cumsum(np.bincount(patient))[:-1])
    found = []
    for share in SHARES:
        size = max(1, round(share * keys.size))
        rng = np.random.default_rng([seed, size])
        draws = (
            np.concatenate([films_of[i] for i in rng.integers(keys.size, size=size)])
            for _ in range(resamples)
        )
        rows = list(_refits(settings, truth, values, draws))
        fits = np.array(rows) if rows else np.full((1, 4), np.nan)
        deviations, means = Means(*fits.std(0).tolist()), Means(*fits.mean(0).tolist())
        found.append(Stability(share, size, len(rows), **vars(deviations), means=means))
    return found


def _refits(
    settings: Mapping[str, Any], truth: Ints, logits: Floats, draws: Iterator[Ints]
) -> Iterator[tuple[float, float, float, float]]:
    """Threshold, temperature, sensitivity and specificity of each draw that has both classes."""
    for films in draws:
        if len(set(truth[films].tolist())) < 2:
            continue
        decision = fit_decision(settings, truth[films], logits[films])
        counted = confusion(truth, decision.calls(decision.probabilities(logits)))
        yield (
            decision.threshold,
            decision.temperature,
            100 * float(counted.sensitivity),
            100 * float(counted.specificity),
        )
