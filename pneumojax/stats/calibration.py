"""Temperature scaling, metrics of calibration, and the reliability diagram.

A temperature is fitted on validation films and then divides every logit. It changes no ranking.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pneumojax.stats.intervals import Interval, wilson
from pneumojax.stats.metrics import Floats, Ints, check_scores, midranks, probability

# A few hundred films are not enough evidence for a more extreme temperature.
COLDEST, HOTTEST = 0.1, 10.0


class Bin(NamedTuple):
    """Films of similar probability; the interval is Wilson's, of the observed share of class 1."""

    films: int
    lowest: float
    highest: float
    mean_probability: float
    observed: float
    interval: Interval


def fit_temperature(labels: ArrayLike, logits: ArrayLike) -> float:
    """The T for which sigmoid(logits / T) has the least log loss, within [COLDEST, HOTTEST].

    T above 1 means that the network was overconfident. T is nan where no optimum exists: with films
    of one class only, or with no film on the wrong side of logit 0, so that a lower T is always
    better. Logits that rank the classes the wrong way get HOTTEST.
    Source: Guo et al., Proc. ICML 2017, 1321.
    """
    truth, values = check_scores(labels, logits)
    right = (2 * truth - 1) * values
    if len(set(truth.tolist())) < 2 or (right >= 0).all():
        return float("nan")
    # At slope 0 the derivative of the loss is -mean(right) / 2. The loss is convex, so the optimum
    # is at a positive slope only if that mean is positive.
    if right.mean() <= 0:
        return HOTTEST
    # Newton's method fits the slope 1 / T of scaled logits, which keeps its steps well conditioned.
    scale = np.abs(values).max()
    columns, zeros, ones = values[None] / scale, np.zeros(truth.size), np.ones((1, truth.size))
    slope = _logistic(truth, columns, zeros, ones)[0, 0] / scale
    return float(np.clip(1 / slope, COLDEST, HOTTEST))


def calibration_metrics(
    labels: ArrayLike, logits: ArrayLike, weights: Floats | None = None, bins: int = 10
) -> dict[str, Floats]:
    """Metrics of calibration (b,), one per row of weights (b, n); (1,) without weights.

    - brier: mean squared error of the probability
    - log_loss: mean binary cross-entropy in nats
    - calibration_error: mean over films of |observed share - mean probability| of their bin, with
      the same number of films in each bin (adaptive ECE; Nixon et al., CVPR Workshops 2019). It
      is biased upwards: sampling error keeps it above 0, more so with fewer films in a bin.
    - calibration_slope and calibration_intercept: coefficients of a logistic regression of the
      labels on the logits; 1 and 0 for calibrated probabilities. A slope below 1 means
      overconfidence. nan where the logits separate the classes, since the slope is then infinite.
    - calibration_in_the_large: the intercept with the slope fixed at 1; below 0 where
      probabilities are too high on average. nan with films of one class only.

    Slope and intercepts: Cox, Biometrika 45:562 (1958). The limits of bins come from all films,
    whatever their weights; without a film there is a ValueError.
    """
    truth, values = check_scores(labels, logits)
    if not truth.size:
        raise ValueError("calibration needs at least one film")
    weights = np.ones((1, truth.size)) if weights is None else weights
    probabilities = probability(values)
    total = weights.sum(axis=1)
    # (b, bins): observed minus expected number of films of class 1.
    excess = weights @ ((truth - probabilities)[:, None] * np.eye(bins)[_bins(values, bins)])
    result = {
        "brier": weights @ (truth - probabilities) ** 2 / total,
        "log_loss": weights @ (np.logaddexp(0.0, values) - truth * values) / total,
        "calibration_error": np.abs(excess).sum(axis=1) / total,
    }
    return result | _recalibration(truth, values, weights)


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10, level: float = 0.95
) -> list[Bin]:
    """At most `bins` bins of about equally many films, by rising probability.

    Films of equal probability share a bin, so bins may be uneven.
    """
    truth, values = check_scores(labels, probabilities)
    return [
        Bin(
            films=films.size,
            lowest=float(np.min(values[films])),
            highest=float(np.max(values[films])),
            mean_probability=float(values[films].mean()),
            observed=float(truth[films].mean()),
            interval=wilson(int(truth[films].sum()), films.size, level),
        )
        for films in equal_parts(values, bins)
    ]


def equal_parts(values: Floats, parts: int) -> list[Ints]:
    """Films of at most so many parts, by rising value; equal values are in one part."""
    index = _bins(values, parts)
    return [np.flatnonzero(index == i) for i in np.unique(index)]


def _bins(values: Floats, bins: int) -> Ints:
    """Bin (n,) of each film; equal values have one midrank and so share a bin."""
    return ((midranks(values) - 0.5) * bins / max(1, values.size)).astype(np.int64)


def _recalibration(truth: Ints, values: Floats, weights: Floats) -> dict[str, Floats]:
    present = weights > 0
    positive, negative = present & (truth == 1), present & (truth == 0)
    both = positive.any(axis=1) & negative.any(axis=1)
    # The slope is finite only where the values of the two classes overlap.
    least = [np.where(of, values, np.inf).min(axis=1) for of in (positive, negative)]
    most = [np.where(of, values, -np.inf).max(axis=1) for of in (positive, negative)]
    overlap = both & (least[0] < most[1]) & (least[1] < most[0])
    line = np.full((len(weights), 2), np.nan)
    shift = np.full(len(weights), np.nan)
    ones, zeros = np.ones(values.size), np.zeros(values.size)
    if overlap.any():
        centre, scale = values.mean(), values.std()
        columns = np.stack([ones, (values - centre) / scale])
        fitted = _logistic(truth, columns, zeros, weights[overlap])
        line[overlap, 1] = fitted[:, 1] / scale
        line[overlap, 0] = fitted[:, 0] - line[overlap, 1] * centre
    if both.any():
        shift[both] = _logistic(truth, ones[None], values, weights[both])[:, 0]
    return {
        "calibration_slope": line[:, 1],
        "calibration_intercept": line[:, 0],
        "calibration_in_the_large": shift,
    }


def _logistic(truth: Ints, columns: Floats, offset: Floats, weights: Floats) -> Floats:
    """Coefficients (b, k) of logistic regressions on columns (k, n), by rows of weights (b, n).

    Newton's method, with a step halved where it would raise the loss. The offset (n,) is added to
    the logits with the coefficient 1. The optimum must be finite.
    """
    rows, k = len(weights), len(columns)
    products = (columns[:, None] * columns[None]).reshape(k * k, -1).T
    total = weights.sum(axis=1)

    def loss(coefficients: Floats) -> Floats:
        logits = coefficients @ columns + offset
        terms = np.logaddexp(0.0, logits) - truth * logits
        return np.einsum("bn,bn->b", weights, terms) / total

    coefficients = np.zeros((rows, k))
    value = loss(coefficients)
    for _ in range(100):
        chance = probability(coefficients @ columns + offset)
        gradient = (weights * (chance - truth)) @ columns.T / total[:, None]
        curvature = (weights * chance * (1 - chance)) @ products / total[:, None]
        # The ridge keeps a step finite where the curvature vanishes. It does not move the optimum.
        curvature = curvature.reshape(rows, k, k) + 1e-10 * np.eye(k)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        for _ in range(50):
            after = loss(coefficients - step)
            worse = after > value + 1e-14 * np.abs(value)
            if not worse.any():
                break
            step[worse] /= 2
        coefficients, value = coefficients - step, after
        if np.abs(step).max() < 1e-10 * (1 + np.abs(coefficients).max()):
            break
    return coefficients
