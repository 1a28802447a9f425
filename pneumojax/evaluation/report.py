"""From the predictions of one evaluation to its figures and files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.films import CLASS_NAMES
from pneumojax.evaluation import metrics, plots
from pneumojax.evaluation.bootstrap import patient_bootstrap
from pneumojax.evaluation.delong import delong_interval
from pneumojax.evaluation.intervals import Interval, wilson
from pneumojax.evaluation.plots import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.files import replacing, write_csv, write_json

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Predictions:
    """What a model said of n films; all fields are in one order.

    files: path of each film as it is to be named in the CSV.
    patients: key of each film's patient; read only where patients are known.
    pathogens: "bacteria", "virus", "none" (a normal film) or "unknown" of each film.
    labels: (n,) 0 for NORMAL, 1 for PNEUMONIA.
    logits: (n,) float32, finite.
    """

    files: Sequence[str]
    patients: Sequence[str]
    pathogens: Sequence[str]
    labels: NDArray
    logits: NDArray

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of PNEUMONIA (n,): the sigmoid of the logits, taken in float64."""
        return metrics.probability(self.logits)


def evaluate(
    predictions: Predictions,
    threshold: float = 0.5,
    seed: int = 0,
    patients_known: bool = True,
) -> dict[str, Any]:
    """Every figure of an evaluation, ready for JSON; what is undefined is None.

    Figures with an interval are {"value", "low", "high", "method"} at the level 0.95. The method
    is "wilson" (a share of films), "delong" (AUROC) or "patient bootstrap" (the others). The
    first two take films as independent, so "bootstrap" holds the interval over patients of those
    figures too: where patients have several films it is the more honest one. Without known
    patients each film is drawn by itself and the method reads "film bootstrap".

    Args:
      predictions: at least one film.
      threshold: films whose probability reaches it are called PNEUMONIA.
      seed: of the bootstrap.
      patients_known: whether `predictions.patients` tells patients apart.

    Raises:
      ValueError: no film, fields of different lengths, or a logit that is not finite.
    """
    n = len(predictions.labels)
    lengths = {len(field) for field in vars(predictions).values()}
    if n == 0 or lengths != {n}:
        raise ValueError(f"predictions need one length of at least 1, not {sorted(lengths)}")
    labels, logits = metrics.check_scores(predictions.labels, predictions.logits)
    calls = metrics.call(predictions.probabilities, threshold)
    counted = metrics.confusion(labels, calls)
    patients = np.asarray(predictions.patients) if patients_known else np.arange(n)
    unit = "patient" if patients_known else "film"
    # Ranked by logit: the sigmoid rounds far-off logits to one probability and would tie them.
    drawn = patient_bootstrap(
        labels, calls, logits, patients, resamples=RESAMPLES, level=LEVEL, seed=seed
    )

    def share(k: Any, of: Any) -> dict[str, Any]:
        value = int(k) / int(of) if of else math.nan
        return _figure(value, wilson(int(k), int(of), LEVEL), "wilson")

    def resampled(name: str, value: Any) -> dict[str, Any]:
        return _figure(float(value), drawn[name], f"{unit} bootstrap")

    hits, called = (counted.tn, counted.tp), (counted.tn + counted.fn, counted.tp + counted.fp)
    per_class = {
        name: {
            "precision": share(hits[i], called[i]),
            "recall": share(hits[i], counted.support[i]),
            "f1": resampled(f"f1_{name}", counted.f1[i]),
            "support": int(counted.support[i]),
        }
        for i, name in enumerate(CLASS_NAMES)
    }
    by_pathogen = {
        pathogen: share(sum(calls[films]), films.size)
        for pathogen in sorted(set(predictions.pathogens) - {"none", "unknown"})
        if (films := np.flatnonzero(labels * (np.asarray(predictions.pathogens) == pathogen))).size
    }
    area = _figure(metrics.auroc(labels, logits), delong_interval(labels, logits, LEVEL), "delong")
    return _json_ready(
        {
            "disclaimer": DISCLAIMER,
            "n": n,
            "patients": len(set(patients)) if patients_known else None,
            "patients_known": patients_known,
            "prevalence": labels.mean(),
            "threshold": threshold,
            "level": LEVEL,
            "sensitivity": per_class["PNEUMONIA"]["recall"],
            "specificity": per_class["NORMAL"]["recall"],
            "auroc": area,
            "accuracy": share(counted.tn + counted.tp, n),
            "balanced_accuracy": resampled("balanced_accuracy", counted.balanced_accuracy),
            "per_class": per_class,
            "weighted": {
                "precision": resampled("weighted_precision", counted.weighted_precision),
                "recall": share(counted.tn + counted.tp, n),
                "f1": resampled("weighted_f1", counted.weighted_f1),
            },
            "sensitivity_by_pathogen": by_pathogen,
            "log_loss": metrics.log_loss(labels, logits),
            "confusion": vars(counted),
            "bootstrap": {
                "unit": unit,
                "resamples": RESAMPLES,
                "seed": seed,
                "intervals": {name: limits._asdict() for name, limits in drawn.items()},
            },
        }
    )


def write_evaluation(
    folder: Path,
    predictions: Predictions,
    context: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Evaluate and write metrics.json, predictions.csv, roc.png, confusion.png and curves.png.

    Each file appears whole or not at all, metrics.json last: where it is, the others are.

    Args:
      folder: made if it is missing.
      predictions: at least one film.
      context: what was evaluated (run, split, versions); its fields stand first in metrics.json.
        "synthetic": True stamps every output; "patients_known": False is passed to `evaluate`.
      history: one mapping per epoch as for `plots.curves_figure`; empty for no curves.png.

    Returns:
      The content of metrics.json.

    Raises:
      UserError: the folder cannot be written.
      ValueError: as `evaluate`, or a field of the context bears the name of a result.
    """
    known = bool(context.get("patients_known", True))
    synthetic = bool(context.get("synthetic", False))
    figures = evaluate(predictions, patients_known=known)
    if clash := sorted(context.keys() & figures.keys() - {"patients_known"}):
        raise ValueError(f"the context must not name results: {', '.join(clash)}")
    result = _json_ready({**context, "synthetic": synthetic, **figures})

    calls = metrics.call(predictions.probabilities, result["threshold"])
    counted = metrics.confusion(predictions.labels, calls)
    pictures = {
        "roc.png": plots.roc_figure(
            predictions.labels,
            predictions.logits,
            result["auroc"],
            counted,
            result["threshold"],
            synthetic=synthetic,
        ),
        "confusion.png": plots.confusion_figure(counted, synthetic=synthetic),
    }
    if history:
        pictures["curves.png"] = plots.curves_figure(history, synthetic=synthetic)
    for name, picture in pictures.items():
        with replacing(folder / name) as temporary:
            picture.savefig(temporary, format="png")

    stamp = f"{SYNTHETIC_STAMP}; {DISCLAIMER}" if synthetic else DISCLAIMER
    columns = zip(
        predictions.files,
        predictions.labels,
        predictions.probabilities,
        calls,
        predictions.patients,
        strict=True,
    )
    write_csv(
        folder / "predictions.csv",
        ("file", "label", "probability", "call", "patient", "disclaimer"),
        (
            (file, CLASS_NAMES[label], f"{p:.9g}", CLASS_NAMES[c], patient if known else "", stamp)
            for file, label, p, c, patient in columns
        ),
    )
    write_json(folder / "metrics.json", result)
    return result


def _figure(value: float, limits: Interval, method: str) -> dict[str, Any]:
    return {"value": value, **limits._asdict(), "method": method}


def _json_ready(value: Any) -> Any:
    """The same with NumPy's scalars and arrays as Python's, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _json_ready(value.tolist())
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
