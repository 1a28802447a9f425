"""Metrics and their intervals as pure functions of arrays.

This package needs NumPy alone and nothing else of the project, so it can be used by itself. The
same arguments mean the same everywhere; other shapes and values raise ValueError:

    labels, calls       (n,) of 0 and 1, where class 1 is the positive class
    logits, scores      (n,) finite; scores are logits or probabilities
    patients            (n,) one key per film; films with one key are drawn together
    weights             (b, n) how often each film counts, in each of b resamples

Undefined values are nan.

>>> from pneumojax.stats.delong import delong_interval
>>> from pneumojax.stats.metrics import auroc, call, confusion, probability
>>> labels, logits = [0, 0, 0, 1, 1, 1], [-2.0, -1.5, 0.5, -0.5, 1.0, 3.0]
>>> counted = confusion(labels, call(probability(logits), threshold=0.5))
>>> print(f"sensitivity {counted.sensitivity:.2f}, AUROC {auroc(labels, logits):.2f}")
sensitivity 0.67, AUROC 0.89
>>> print("AUROC {0.low:.2f} to {0.high:.2f}".format(delong_interval(labels, logits)))
AUROC 0.58 to 1.00
"""
