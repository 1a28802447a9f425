"""The weight-randomisation check: do the maps depend on what the network has learned?

A map that looks the same after the weights are destroyed shows the film's edges and shades, not
what the network uses. Source: Adebayo et al., NeurIPS 2018, arXiv 1810.03292.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from pneumojax.data.classes import CLASS_NAMES
from pneumojax.evaluation.audits.audit import Explain, Subject, png
from pneumojax.evaluation.audits.robustness import sample_films
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.wording import two_decimals
from pneumojax.inference.overlay import strip
from pneumojax.stats.estimates import json_ready
from pneumojax.stats.metrics import rank_correlation

FILMS = 16
FEWEST = 8  # no verdict is given if fewer films have a map both before and after
# The check fails if the median rank correlation with the maps as trained is higher.
MOST_ALIKE = 0.5
_STEP = 4  # every fourth pixel: feature maps are four times coarser than films
_SHOWN = 6  # films in the pictures


@dataclass(frozen=True)
class Stage:
    """The maps as trained against those after one more part was shuffled, by rank correlation.

    compared: films whose map is constant neither before nor after; the others have no ranks.
    vanished: films whose map became constant.
    median, quartiles: of the rank correlations of the compared films.
    """

    shuffled: str
    compared: int
    vanished: int
    median: float
    quartiles: tuple[float, float] | None


@dataclass(frozen=True)
class Explanations:
    """The outcome of the check on some films, of which `constant` have a constant map as trained.

    No verdict is given (None) where fewer than `FEWEST` films were compared with all weights
    shuffled. `strips` are pictures of the maps at each stage as PNG, the first as trained.
    """

    films: int
    constant: int
    seed: int
    stages: Sequence[Stage]
    passed: bool | None
    strips: Mapping[str, bytes] = field(default_factory=dict)
    finding: str = CLASS_NAMES.words.positive  # the positive class in a sentence

    def record(self) -> dict[str, Any]:
        entry = {**vars(self), "fewest": FEWEST, "limit": MOST_ALIKE}
        del entry["strips"], entry["finding"]
        return {"explanations": json_ready(entry)}

    def section(self) -> Section:
        rows = [
            (
                row.shuffled,
                f"{row.compared}",
                f"{row.vanished}",
                two_decimals(row.median),
                "{:.2f} to {:.2f}".format(*row.quartiles) if row.quartiles else "undefined",
            )
            for row in self.stages
        ]
        text = [
            "Do the maps depend on what the network has learned? Weights are shuffled from the "
            f"heads down to the stem, and the maps of {self.films} films are compared with those "
            f"as trained. {self._verdict()}"
        ]
        if self.constant or any(row.vanished for row in self.stages):
            text.append(
                f"{self.constant} of the {self.films} films have no map as trained, because "
                f"nothing on them speaks for {self.finding}. A map that vanishes when weights are "
                "shuffled has changed, but it does not tell whether the maps that remain follow "
                "the film. Neither kind of film is counted in the correlations."
            )
        headings = ("shuffled", "films compared", "maps vanished", "median rank correlation")
        table = Table((*headings, "quartiles"), rows)
        names = (row.shuffled.removeprefix("and ") for row in self.stages)
        stages = ["As trained", *(f"After shuffling the {name}" for name in names)]
        captions = {f"explanations-{i}": f"{stage}." for i, stage in enumerate(stages)}
        return Section("Explanations", text, [table], captions, layout="wide")

    def pictures(self) -> Mapping[str, bytes]:
        return self.strips

    def _verdict(self) -> str:
        last = self.stages[-1]
        if self.passed is None:
            return (
                f"Nothing can be said: with all weights shuffled only {last.compared} of the "
                f"{self.films} films have a map on both sides, and a verdict needs at least "
                f"{FEWEST}."
            )
        answer = "They do" if self.passed else "They do NOT, so do not trust them"
        return (
            f"{answer}: the median rank correlation with all weights shuffled is "
            f"{last.median:.2f} over {last.compared} films, where more than {MOST_ALIKE:g} would "
            "fail."
        )


def audit(subject: Subject) -> Explanations | None:
    """Checks the maps of a sample of the films; None for a network without maps."""
    if subject.explain is None:
        return None
    films = subject.films.select(sample_films(subject.films.labels, FILMS))
    images = films.pixels(np.arange(len(films)))
    found, maps = randomisation_check(subject.explain, subject.trained.params, images)
    strips = {
        f"explanations-{i}": png(strip(images[:_SHOWN], of_stage[:_SHOWN]))
        for i, of_stage in enumerate(maps)
    }
    return replace(found, strips=strips, finding=subject.predictions.class_names.words.positive)


def randomisation_check(
    explain: Explain, params: dict, images: NDArray[np.uint8], *, seed: int = 0
) -> tuple[Explanations, list[NDArray[np.float32]]]:
    """Compares maps as trained with maps after more and more weights are shuffled.

    A constant map has no ranks, so its film is left out of the correlation and counted instead.
    Such a film is no evidence for a verdict: without a map as trained it shows nothing, and a map
    that vanishes does not tell whether the maps that remain follow the film.

    Returns the outcome, and the maps (n, h, w) as trained and of each stage.
    """
    trained = np.asarray(explain(params, images)[1])
    maps = [trained]
    constant = sum(_is_constant(each) for each in trained)
    stages = []
    for name, shuffled in cascade(params, seed):
        maps.append(np.asarray(explain(shuffled, images)[1]))
        pairs = zip(trained, maps[-1], strict=True)
        correlations = [c for pair in pairs if (c := alike(*pair)) is not None]
        low, median, high = np.quantile(correlations or [math.nan], [0.25, 0.5, 0.75]).tolist()
        compared, quartiles = len(correlations), (low, high) if correlations else None
        vanished = len(images) - constant - compared
        stages.append(Stage(name, compared, vanished, median, quartiles))
    last = stages[-1]
    passed = last.median <= MOST_ALIKE if last.compared >= FEWEST else None
    return Explanations(len(images), constant, seed, stages, passed), maps


def cascade(params: dict, seed: int) -> Iterator[tuple[str, dict]]:
    """Yields parameters with more and more shuffled: the heads, each module, and last the stem.

    The stem is everything but the heads and modules. Each array keeps its values in another
    order, so that activations keep their size.
    """
    rng = np.random.default_rng([seed])
    heads = [name for name in params if name.endswith("_head")]
    stem = [name for name in params if name not in (*heads, "modules")]
    params = dict(params)
    for name in heads:
        params[name] = _shuffled(params[name], rng)
    yield "heads", dict(params)
    modules = params.get("modules", {})
    for last in sorted(modules, key=int, reverse=True):
        params["modules"] = params["modules"] | {last: _shuffled(modules[last], rng)}
        yield f"and module {int(last) + 1}", dict(params)
    for name in stem:
        params[name] = _shuffled(params[name], rng)
    yield "and stem", params


def alike(first: NDArray, second: NDArray) -> float | None:
    """Spearman's correlation of two maps (h, w); None where one of them is constant."""
    if _is_constant(first) or _is_constant(second):
        return None
    return rank_correlation(_sampled(first), _sampled(second))


def _is_constant(evidence: NDArray) -> bool:
    return not np.ptp(_sampled(evidence))


def _sampled(evidence: NDArray) -> NDArray:
    return evidence[::_STEP, ::_STEP].ravel()


def _shuffled(tree: dict, rng: np.random.Generator) -> dict:
    def shuffle(leaf: jax.Array) -> jax.Array:
        values = rng.permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)
        # With another sharding the network would be compiled again.
        return jax.device_put(values, leaf.sharding)

    return jax.tree.map(shuffle, tree)
