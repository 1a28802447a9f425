"""Pairs of a normal film and one of PNEUMONIA with similar statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.spatial
from numpy.typing import ArrayLike, NDArray

from pneumojax.stats.bootstrap import weighted_auroc
from pneumojax.stats.estimates import LEVEL, Bootstrap, Limited, sample
from pneumojax.stats.intervals import UNDEFINED, percentile_interval
from pneumojax.stats.metrics import Floats, Ints, check_labels, midranks

CALIPER = 0.05  # the largest distance of two films of a pair, as a share of all films


@dataclass(frozen=True)
class PairAudit:
    """The metrics on paired films.

    in_order: the share of pairs in which the film of PNEUMONIA has the higher logit.

    Intervals resample pairs, and treat films of one patient in several pairs as independent.
    """

    pairs: int
    auroc: Limited
    in_order: Limited
    bootstrap: Bootstrap


def pair_films(
    labels: ArrayLike, statistics: Sequence[ArrayLike], caliper: float = CALIPER
) -> Ints:
    """Pairs normal films with similar films of PNEUMONIA: int64 (m, 2), the normal film first.

    A film's rank in a statistic is its place among all films. The distance of two films is the
    larger of their differences in rank, as a share of all films. The closest two films are paired
    first, then the closest two of the rest, until none are left within the caliper. Among films at
    the same distance the first is taken, so the pairs depend on the films and their order alone.
    """
    truth = check_labels(labels)
    # Ranks are multiples of one half, so that distances and ties are exact on every machine.
    ranks = np.stack([midranks(statistic) for statistic in statistics], axis=1)
    normal, ill = np.flatnonzero(truth == 0), np.flatnonzero(truth == 1)
    if not normal.size or not ill.size:
        return np.empty((0, 2), np.int64)
    trees = [scipy.spatial.KDTree(ranks[films]) for films in (normal, ill)]
    near = trees[0].sparse_distance_matrix(
        trees[1], caliper * truth.size, p=np.inf, output_type="ndarray"
    )
    near = near[np.lexsort((near["j"], near["i"], near["v"]))]
    free = np.ones(truth.size, bool)
    pairs = []
    for i, j in zip(normal[near["i"]].tolist(), ill[near["j"]].tolist(), strict=True):
        if free[i] and free[j]:
            free[i] = free[j] = False
            pairs.append((i, j))
    return np.array(pairs, np.int64).reshape(-1, 2)


def audit_pairs(logits: Floats, pairs: Ints, resamples: int) -> PairAudit:
    scores = logits[pairs.ravel()]
    order = (np.sign(scores[1::2] - scores[::2]) + 1) / 2

    def metrics(weights: Floats) -> dict[str, Floats]:
        return {
            "auroc": weighted_auroc(classes_of_pairs(pairs), scores, weights),
            "in_order": weights[:, ::2] @ order / len(pairs),
        }

    method, bootstrap = "pair bootstrap", Bootstrap("pair", resamples)
    if not len(pairs):
        undefined = Limited.of(float("nan"), UNDEFINED, method)
        return PairAudit(0, undefined, undefined, bootstrap)
    sampled = sample(metrics, np.repeat(np.arange(len(pairs)), 2), bootstrap)
    limited = {
        name: Limited(value, *percentile_interval(sampled.drawn[name], LEVEL), method)
        for name, value in sampled.values.items()
    }
    return PairAudit(len(pairs), **limited, bootstrap=bootstrap)


def classes_of_pairs(pairs: Ints) -> NDArray[np.int64]:
    """Labels (2m,) of the films of m pairs, which follow each other pair by pair."""
    return np.tile(np.array([0, 1]), len(pairs))
