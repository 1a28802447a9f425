"""What becomes of a network's figures when films get darker, blurred, turned, cropped, ...

The same films are scored at each level, so changes are paired with the films as they are.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.evaluation.audits.perturbations import PERTURBATIONS, Images, Perturbation
from pneumojax.evaluation.audits.stress import STRESSES, stress_summary
from pneumojax.inference.decision import Decision
from pneumojax.stats.delong import delong_interval, delong_test
from pneumojax.stats.estimates import LEVEL, json_ready
from pneumojax.stats.metrics import Floats, Ints, auroc, check_labels, check_scores, confusion
from pneumojax.stats.threshold_metrics import ClosedForm, closed_forms

# 23 passes of so many films take 80 s at 150 films a second, as on two cores of a CPU.
MOST_FILMS = 512

Score = Callable[[Images], NDArray[np.floating]]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def sample_films(labels: ArrayLike, most: int = MOST_FILMS, seed: int = 0) -> Ints:
    """Indices of at most `most` of n films, rising: all of them, or each class in proportion.

    A function of the labels (n,), of 0 and 1, and of the seed. Of a class that occurs at least
    one film is taken.
    """
    truth = check_labels(labels)
    if truth.size <= most:
        return np.arange(truth.size)
    ill = round(most * float(truth.mean()))
    if 0 < truth.sum() < truth.size:
        ill = min(max(ill, 1), most - 1)
    chosen = [
        np.random.default_rng([seed, c]).permutation(np.flatnonzero(truth == c))[:count]
        for c, count in ((0, most - ill), (1, ill))
    ]
    return np.sort(np.concatenate(chosen))


def robustness(
    score: Score,
    images: Images,
    labels: ArrayLike,
    decision: Decision,
    perturbations: Mapping[str, Perturbation] = PERTURBATIONS,
    patients: Sequence[str] | None = None,
    log: Callable[[str], None] = _to_stderr,
) -> dict[str, Any]:
    """Figures of the films as they are and under each perturbation, ready for JSON.

    Args:
      score: from films like `images` to logits (n,). With a scorer of a `FilmSet` that is
        `lambda pixels: scorer(params, replace(films, images=pixels, rows=np.arange(n)))`.
      images: uint8 (n, side, side), at least one; of `sample_films`.
      labels: (n,) of 0 and 1.
      decision: calls at the run's operating point.
      perturbations: ways and levels.
      patients: (n,) key of each film's, or None where they are unknown.
      log: takes a line now and then that says how far it is.

    Returns:
      "n", "normal", "pneumonia"; "unchanged": the figures of the films as they are; "kinds": by
      perturbation "title", "unchanged" (the level at which films are as they are) and "levels",
      rising, one row each. A row has "level"; "auroc", "sensitivity" and "specificity", each
      {"value", "low", "high", "method"} by DeLong or Wilson; and "change", the AUROC's from the
      films as they are, with DeLong's interval of paired AUROCs. "stress": `stress_summary` of
      those among `STRESSES`. What is undefined is None.

    Raises:
      ValueError: no film, lengths differ, a label is neither 0 nor 1, a logit is not finite.
    """
    truth = check_labels(labels)
    if not truth.size or truth.size != len(images):
        raise ValueError(f"{truth.size} labels, {len(images)} films")
    settings = [(name, level) for name, p in perturbations.items() for level in sorted(p.levels)]
    began = told = time.monotonic()
    plain = check_scores(truth, score(images))[1]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in perturbations}
    stressed: dict[tuple[str, float], Floats] = {}
    for done, (name, level) in enumerate(settings, start=1):
        now = time.monotonic()
        if now - told > 5:
            told, left = now, (now - began) / done * (len(settings) + 1 - done)
            log(f"robustness: {done}/{len(settings) + 1} settings, {left:.0f} s left")
        logits = check_scores(truth, score(perturbations[name].apply(images, level)))[1]
        if name in STRESSES:
            stressed[name, level] = logits
        rows[name].append({"level": level, **_figures(truth, logits, plain, decision)})
    kinds = {
        name: {"title": p.title, "unchanged": p.unchanged, "levels": rows[name]}
        for name, p in perturbations.items()
    }
    units = np.arange(truth.size) if patients is None else np.asarray(patients)
    unchanged = _figures(truth, plain, plain, decision)
    del unchanged["change"]
    return json_ready(
        {
            "n": truth.size,
            "normal": (truth == 0).sum(),
            "pneumonia": truth.sum(),
            "side": images.shape[1],
            "level": LEVEL,
            "threshold": decision.threshold,
            "unchanged": unchanged,
            "kinds": kinds,
            "stress": stress_summary(truth, stressed, decision, units) if stressed else None,
        }
    )


def _figures(truth: Ints, logits: Floats, plain: Floats, decision: Decision) -> dict[str, Any]:
    counted = confusion(truth, decision.calls(decision.probabilities(logits)))
    formulas = closed_forms(counted)
    formulas["auroc"] = ClosedForm(delong_interval(truth, logits, LEVEL), "delong")
    values = {
        "auroc": auroc(truth, logits),
        "sensitivity": counted.sensitivity,
        "specificity": counted.specificity,
    }
    figures: dict[str, Any] = {
        name: {"value": value, **formulas[name][0]._asdict(), "method": formulas[name][1]}
        for name, value in values.items()
    }
    change = delong_test(truth, plain, logits, LEVEL)
    figures["change"] = {
        "value": change.difference,
        "low": change.low,
        "high": change.high,
        "method": "paired delong",
    }
    return figures
