"""Metrics of calls (0 or 1) and of scores on two classes, in NumPy.

Class 1 is the positive class. A ratio whose denominator is 0 is nan, never a silent 0 or 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int64] | np.int64


@dataclass(frozen=True)
class Confusion:
    """Counts of one confusion matrix, or (b,) each for b of them at once.

    Every property is float64 of that shape; those "by class" have a leading axis of two, class 0
    first. nan is undefined: the precision of a class that was never called, or the F1 of a class
    that neither occurs nor was called.
    """

    tn: Counts
    fp: Counts
    fn: Counts
    tp: Counts

    @property
    def n(self) -> Counts:
        return self.tn + self.fp + self.fn + self.tp

    @property
    def support(self) -> Ints:
        """By class."""
        return np.stack([self.tn + self.fp, self.fn + self.tp])

    @property
    def sensitivity(self) -> Floats:
        """The recall of class 1."""
        return ratio(self.tp, self.fn + self.tp)

    @property
    def specificity(self) -> Floats:
        """The recall of class 0."""
        return ratio(self.tn, self.tn + self.fp)

    @property
    def accuracy(self) -> Floats:
        return ratio(self.tn + self.tp, self.n)

    @property
    def balanced_accuracy(self) -> Floats:
        """Mean of sensitivity and specificity; nan where either is."""
        return (self.sensitivity + self.specificity) / 2

    @property
    def precision(self) -> Floats:
        """Share of each class's calls that were correct, by class."""
        return np.stack([ratio(self.tn, self.tn + self.fn), ratio(self.tp, self.tp + self.fp)])

    @property
    def recall(self) -> Floats:
        """By class."""
        return np.stack([self.specificity, self.sensitivity])

    @property
    def f1(self) -> Floats:
        """2 tp / (2 tp + fp + fn), with each class in turn as the positive one."""
        wrong = self.fp + self.fn
        return np.stack([ratio(2 * hits, 2 * hits + wrong) for hits in (self.tn, self.tp)])

    @property
    def positive_likelihood_ratio(self) -> Floats:
        """Sensitivity / (1 - specificity); nan (in truth infinite) without a false positive."""
        return ratio(self.tp * (self.tn + self.fp), self.fp * (self.fn + self.tp))

    @property
    def negative_likelihood_ratio(self) -> Floats:
        """(1 - sensitivity) / specificity; nan without a true negative."""
        return ratio(self.fn * (self.tn + self.fp), self.tn * (self.fn + self.tp))

    @property
    def mcc(self) -> Floats:
        """Matthews correlation of calls and labels; nan where either holds one class only."""
        actual, called = self.support, np.stack([self.tn + self.fn, self.tp + self.fp])
        # The product of all four margins overflows 64 bits at about 60,000 films.
        margins = np.sqrt(actual[0] * actual[1]) * np.sqrt(called[0] * called[1])
        return ratio(self.tp * self.tn - self.fp * self.fn, margins)

    @property
    def weighted_precision(self) -> Floats:
        """Mean precision weighted by support; nan where a class that occurs was never called."""
        return self._weighted(self.precision)

    @property
    def weighted_recall(self) -> Floats:
        """Mean recall weighted by support; it equals the accuracy."""
        return self._weighted(self.recall)

    @property
    def weighted_f1(self) -> Floats:
        return self._weighted(self.f1)

    def _weighted(self, by_class: Floats) -> Floats:
        # A class without films has weight 0, but 0 * nan is nan, so it is left out of the sum.
        parts = np.where(self.support > 0, self.support * by_class, 0.0)
        return ratio(parts.sum(axis=0), self.n)


def probability(logits: ArrayLike) -> Floats:
    """Sigmoid of logits (n,) in float64, without overflow."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64)))


def call(probabilities: ArrayLike, threshold: float = 0.5) -> Ints:
    return (np.asarray(probabilities) >= threshold).astype(np.int64)


def confusion(labels: ArrayLike, calls: ArrayLike) -> Confusion:
    truth = check_labels(labels)
    called = check_labels(calls)
    if truth.shape != called.shape:
        raise ValueError(f"{truth.size} labels but {called.size} calls")
    tn, fp, fn, tp = np.bincount(2 * truth + called, minlength=4).astype(np.int64)
    return Confusion(tn=tn, fp=fp, fn=fn, tp=tp)


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; ties count one half. nan where labels hold one class only."""
    truth, values = check_scores(labels, scores)
    positives = int(truth.sum())
    above = midranks(values)[truth == 1].sum() - positives * (positives + 1) / 2
    return float(ratio(above, positives * (truth.size - positives)))


def midranks(values: ArrayLike) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's correlation; nan where one of the two has fewer than two distinct values."""
    ranks = np.stack([midranks(first), midranks(second)])
    if ranks.shape[1] < 2 or not np.ptp(ranks, axis=1).all():
        return float("nan")
    return float(np.asarray(np.corrcoef(ranks))[0, 1])


def log_loss(labels: ArrayLike, logits: ArrayLike) -> float:
    """Mean binary cross-entropy in nats; nan without a film. Logits need no clipping."""
    truth, values = check_scores(labels, logits)
    if truth.size == 0:
        return float("nan")
    return float(np.mean(np.logaddexp(0.0, values) - truth * values))


def check_labels(labels: ArrayLike) -> Ints:
    values = np.asarray(labels)
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise ValueError("labels and calls must be one axis of 0 and 1")
    return values.astype(np.int64)


def check_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[Ints, Floats]:
    """Labels as int64 (n,) and finite scores as float64 (n,); ValueError for other arrays."""
    truth, values = check_labels(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape:
        raise ValueError(f"{truth.size} labels but scores of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {values.size} scores are not finite")
    return truth, values


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """Elementwise quotient, nan where the denominator is 0."""
    out = np.full(np.shape(below), np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) != 0)
    return out[()]  # [()] turns an array without axes into a scalar, which prints as a number
