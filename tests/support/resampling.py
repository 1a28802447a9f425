"""Bootstrap intervals of a single network, with which other code's intervals are compared."""

from pneumojax.stats.bootstrap import resample, weighted_auroc, weighted_confusion
from pneumojax.stats.intervals import percentile_interval
from pneumojax.stats.threshold_metrics import threshold_metrics


def patient_bootstrap(labels, calls, scores, patients, *, resamples=2000, seed=0):
    """95 % percentile intervals, by name, of the threshold metrics and of "auroc"."""

    def metrics(weights):
        found = threshold_metrics(weighted_confusion(labels, calls, weights))
        return {**found, "auroc": weighted_auroc(labels, scores, weights)}

    drawn = resample(metrics, patients, resamples=resamples, seed=seed)
    return {name: percentile_interval(values) for name, values in drawn.items()}
