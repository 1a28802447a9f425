"""Which trivial statistics of a film predict its label, and what the network knows beyond them.

A statistic that predicts the label by itself is a shortcut that a network may have taken. Whether
it did is asked twice: does its logit follow the statistic within a class, and does it still tell
the classes apart among films that are alike in sharpness and brightness.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.spatial
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.films import CLASS_NAMES
from pneumojax.evaluation.audits.film_statistics import STATISTICS
from pneumojax.stats.bootstrap import resample, weighted_auroc
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import LEVEL, RESAMPLES, json_ready
from pneumojax.stats.intervals import UNDEFINED, Interval, percentile_interval, wilson
from pneumojax.stats.metrics import (
    Floats,
    Ints,
    auroc,
    check_labels,
    check_scores,
    midranks,
    rank_correlation,
)

PAIRED_BY = ("sharpness", "brightness")
CALIPER = 0.05  # films of a pair stand at most this share of all films apart, in each statistic


def shortcuts(
    statistics: Mapping[str, Floats],
    labels: ArrayLike,
    logits: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """The audit of shortcuts on n films, ready for JSON; what is undefined is None.

    Args:
      statistics: (n,) each, as from `film_statistics`.
      labels: (n,) of 0 and 1, at least one.
      logits: (n,) finite, the network's.
      resamples: draws of pairs.
      seed: of those draws.

    Returns:
      "model": its "auroc" on all films, with DeLong's interval.
      "statistics": one row each, the best predictor first:
        "auroc": of the statistic alone, free of direction: of it or of its negative, whichever is
          0.5 or more, with DeLong's interval in that direction. Chance too lands above 0.5.
        "higher_in": the class in which it is higher, None at 0.5.
        "rank_correlation": Spearman's with the logit, on all films and on each class alone. On
          all films a good network follows whatever differs between the classes; within a class
          it has no such reason.
        "auroc_in_pairs": the same direction's AUROC on the paired films: 0.5 is balance.
      "pairs": how many, and on them the network's "auroc" and "in_order", the share of pairs
        whose PNEUMONIA film has the higher logit (ties one half), both with an interval by
        resampling pairs. Films of one patient in several pairs are taken as independent.

    Raises:
      ValueError: lengths differ, a label is neither 0 nor 1, or a value is not finite.
    """
    truth, values = check_scores(labels, logits)
    pairs = pair_films(truth, [statistics[name] for name in PAIRED_BY])
    rows = [
        {"name": name, **STATISTICS[name]._asdict(), **_statistic(statistic, truth, values, pairs)}
        for name, statistic in statistics.items()
    ]
    rows.sort(key=lambda row: -np.nan_to_num(row["auroc"]["value"]))
    model = _with_interval(auroc(truth, values), delong_interval(truth, values, LEVEL), "delong")
    return json_ready(
        {
            "n": truth.size,
            "level": LEVEL,
            "model": {"auroc": model},
            "statistics": rows,
            "pairs": {
                "paired_by": list(PAIRED_BY),
                "caliper": CALIPER,
                "pairs": len(pairs),
                **_in_pairs(values, pairs, resamples, seed),
                "bootstrap": {"unit": "pair", "resamples": resamples, "seed": seed},
            },
        }
    )


def softest_normal(sharpness: ArrayLike, labels: ArrayLike, calls: ArrayLike) -> dict[str, Any]:
    """Specificity among the third of the normal films that is least sharp, with Wilson's interval.

    A network that takes sharpness for health calls these PNEUMONIA.

    Args:
      sharpness: (n,), as from `film_statistics`.
      labels, calls: (n,) of 0 and 1.
    """
    normal = np.flatnonzero(check_labels(labels) == 0)
    order = np.argsort(np.asarray(sharpness)[normal], kind="stable")
    softest = normal[order[: normal.size // 3]]
    right = int(np.sum(check_labels(calls)[softest] == 0))
    limits = wilson(right, softest.size, LEVEL)
    share = right / softest.size if softest.size else float("nan")
    return json_ready({"n": softest.size, **_with_interval(share, limits, "wilson")})


def pair_films(
    labels: ArrayLike, statistics: Sequence[ArrayLike], caliper: float = CALIPER
) -> Ints:
    """Pairs of a normal film and one of PNEUMONIA that are alike; each film is in one at most.

    A film stands, in each statistic, at its share of films below. How far two films are apart is
    the larger of their differences in those shares. The closest two of all are paired first, then
    the closest of the rest, until none are left within the caliper; among equals the film that
    stands first. So the pairs are a function of the films and their order, without any draw.

    Args:
      labels: (n,) of 0 and 1.
      statistics: (n,) each, at least one.
      caliper: most that films of a pair may be apart, as a share of all films.

    Returns:
      int64 (m, 2), the normal film's index first, the closest pair first.
    """
    truth = check_labels(labels)
    # Ranks are halves, so that distances are exact and ties are ties on every machine.
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


def _statistic(statistic: ArrayLike, truth: Ints, logits: Floats, pairs: Ints) -> dict[str, Any]:
    _, values = check_scores(truth, statistic)
    area = auroc(truth, values)
    sign = -1 if area < 0.5 else 1
    limits = delong_interval(truth, sign * values, LEVEL)
    by_class = {
        name: rank_correlation(values[truth == c], logits[truth == c])
        for c, name in enumerate(CLASS_NAMES)
    }
    return {
        "auroc": _with_interval(max(area, 1 - area), limits, "delong"),
        "higher_in": None if area == 0.5 or np.isnan(area) else CLASS_NAMES[int(area > 0.5)],
        "rank_correlation": {"all": rank_correlation(values, logits), **by_class},
        "auroc_in_pairs": auroc(_classes(pairs), sign * values[pairs.ravel()]),
    }


def _in_pairs(logits: Floats, pairs: Ints, resamples: int, seed: int) -> dict[str, Any]:
    """The network's figures on paired films, with intervals by resampling pairs."""
    scores = logits[pairs.ravel()]
    order = (np.sign(scores[1::2] - scores[::2]) + 1) / 2

    def figures(weights: Floats) -> dict[str, Floats]:
        return {
            "auroc": weighted_auroc(_classes(pairs), scores, weights),
            "in_order": weights[:, ::2] @ order / len(pairs),
        }

    names, method = ("auroc", "in_order"), "pair bootstrap"
    if not len(pairs):
        return {name: _with_interval(float("nan"), UNDEFINED, method) for name in names}
    value = {name: float(v[0]) for name, v in figures(np.ones((1, scores.size))).items()}
    drawn = resample(figures, np.repeat(np.arange(len(pairs)), 2), resamples=resamples, seed=seed)
    return {
        name: _with_interval(value[name], percentile_interval(drawn[name], LEVEL), method)
        for name in names
    }


def _classes(pairs: Ints) -> NDArray[np.int64]:
    """Labels (2m,) of the films of m pairs in a row."""
    return np.tile(np.array([0, 1]), len(pairs))


def _with_interval(value: float, limits: Interval, method: str) -> dict[str, Any]:
    return {"value": value, **limits._asdict(), "method": method}
