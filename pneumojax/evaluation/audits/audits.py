"""Asks a trained network what lies behind its figures: all audits of a report, and their films."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumojax.data.film_set import FilmSet
from pneumojax.evaluation.audits.failures import failures
from pneumojax.evaluation.audits.film_statistics import film_statistics
from pneumojax.evaluation.audits.robustness import robustness, sample_films
from pneumojax.evaluation.audits.shortcuts import shortcuts, softest_normal
from pneumojax.evaluation.audits.subgroups import subgroups
from pneumojax.evaluation.explanation_sanity import FILMS, Explain, randomisation_check
from pneumojax.inference.batching import make_batched
from pneumojax.inference.decision import Decision
from pneumojax.inference.gradcam import make_explainer
from pneumojax.inference.overlay import overlay, strip
from pneumojax.inference.trained_run import TrainedRun

_SHOWN = 6  # films of the check that are pictured
_WIDTH = 300  # pixels of the longer side of a film pictured


def audit_network(
    trained: TrainedRun,
    decision: Decision,
    films: FilmSet,
    logits: NDArray,
    score: Callable[[FilmSet], NDArray],
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Findings for the report, and pictures of films as PNG, both by the name of their section.

    Args:
        trained: the network that is asked where its evidence lies; of several the first.
        decision: what makes calls of logits.
        films: those that were scored.
        logits: (n,) of them.
        score: films like these -> logits (n,).
    """
    labels = films.labels
    calls = decision.calls(decision.probabilities(logits))
    patients = films.patients if all(films.patients_known) else None
    pathogens = [identity.pathogen for identity in films.identities]
    statistics = film_statistics(films)
    sampled = films.select(sample_films(labels))

    def rescore(images: NDArray[np.uint8]) -> NDArray:
        return score(replace(sampled, images=images, rows=np.arange(len(images))))

    explain = _compiled_explainer(trained)
    checked = films.select(sample_films(labels, FILMS))
    images = checked.pixels(np.arange(len(checked)))[..., None]
    check, maps = randomisation_check(explain, trained.params, images)
    wrong = failures(labels, logits, decision, films.paths)
    findings = {
        "subgroups": subgroups(labels, logits, calls, pathogens, statistics, patients),
        "shortcuts": shortcuts(statistics, labels, logits),
        "robustness": robustness(
            rescore,
            sampled.pixels(np.arange(len(sampled))),
            sampled.labels,
            decision,
            patients=None if patients is None else sampled.patients,
        ),
        "softest_normal": softest_normal(statistics["sharpness"], labels, calls),
        "failures": wrong,
        "explanations": check,
    }
    pictures = {
        f"explanations-{i}": _png(strip(images[:_SHOWN, ..., 0], of_stage[:_SHOWN]))
        for i, of_stage in enumerate(maps.values())
    }
    for kind in ("false_positives", "false_negatives"):
        indices = np.array([film["index"] for film in wrong[kind]["films"]], np.int64)
        if indices.size:
            images = films.pixels(indices)[..., None]
            _, evidence = explain(trained.params, images)
            for i, index in enumerate(indices):
                picture = overlay(images[i, ..., 0], evidence[i])
                pictures[f"{kind}-{i}"] = _png(_shaped(picture, films.sizes[index]))
    return findings, pictures


def _compiled_explainer(trained: TrainedRun) -> Explain:
    """Explains any number of films, `FILMS` at a time, so that one compiled function does."""
    size = math.ceil(FILMS / trained.mesh.size) * trained.mesh.size
    explain = make_batched(make_explainer(trained.network, trained.mesh), trained.mesh, size)
    return lambda params, images: explain(params, images[..., 0])


def _shaped(picture: Image.Image, size: NDArray) -> Image.Image:
    """The picture in the shape of the film in its file, of which the network saw a square."""
    scale = _WIDTH / max(size)
    shape = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    return picture.resize(shape, Image.Resampling.BICUBIC)


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
