"""The weight-randomisation check: do Grad-CAM maps depend on what the network has learned?

A map that stays the same after the weights are shuffled shows edges and shades of the film, and not
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
from pneumojax.evaluation.audits.audit import Explain, Subject
from pneumojax.evaluation.audits.robustness import sample_films
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.wording import two_decimals
from pneumojax.inference.overlay import Tile, strip
from pneumojax.stats.estimates import json_ready
from pneumojax.stats.metrics import rank_correlation

FILMS = 16
FEWEST = 8  # no verdict is given if fewer films have a map both before and after
# The check fails if the median rank correlation with the maps as trained is higher.
MOST_ALIKE = 0.5
_STEP = 4  # every fourth pixel: feature maps are four times coarser than films
_SHOWN = 6  # films in each picture


@dataclass(frozen=True)
class Stage:
    """The rank correlation of the maps as trained with those after one more part was shuffled.

    compared: the number of films whose map is constant neither before nor after the shuffling. A
        constant map has no ranks.
    vanished: the number of films whose map became constant.
    median, quartiles: of the rank correlations of the compared films.
    """

    shuffled: str
    compared: int
    vanished: int
    median: float
    quartiles: tuple[float, float] | None


@dataclass(frozen=True)
class Explanations:
    """The outcome of the check on some films.

    constant: the number of films whose map as trained is constant.
    passed: None, which is no verdict, if fewer than `FEWEST` films were compared after all weights
        had been shuffled.
    strips: pictures of the maps at each stage. The first one shows the maps as trained.
    finding: the positive class in a sentence.
    """

    films: int
    constant: int
    seed: int
    stages: Sequence[Stage]
    passed: bool | None
    strips: Mapping[str, Tile] = field(default_factory=dict)
    finding: str = CLASS_NAMES.words.positive

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
            "The check shuffles the weights from the heads down to the stem, and compares the maps "
            f"of {self.films} films with those as trained. {self._verdict()}"
        ]
        if self.constant or any(row.vanished for row in self.stages):
            text.append(
                f"{self.constant} of the {self.films} films have no map as trained, because "
                f"nothing on them speaks for {self.finding}. A map that vanishes when weights are "
                "shuffled has changed, but that does not tell whether the other maps follow the "
                "weights. The correlations count neither kind of film."
            )
        headings = ("shuffled", "films compared", "maps vanished", "median rank correlation")
        table = Table((*headings, "quartiles"), rows, folded="Every stage of the check")
        return Section(
            "Do explanations depend on the weights?",
            text,
            [table],
            layout="wide",
            more={name: f"{tile.lines[0]}." for name, tile in self.strips.items()},
            more_title="The maps at each stage",
        )

    def pictures(self) -> Mapping[str, Tile]:
        return self.strips

    def _verdict(self) -> str:
        last = self.stages[-1]
        if self.passed is None:
            return (
                f"It cannot say whether the maps depend on the weights: only {last.compared} of "
                f"the {self.films} films have a map both before and after all weights are "
                f"shuffled, and a verdict needs at least {FEWEST}."
            )
        answer = (
            "They depend on the weights"
            if self.passed
            else ("They do NOT depend on the weights, so do not trust them")
        )
        return (
            f"{answer}: with all weights shuffled, the median rank correlation over "
            f"{last.compared} films is {last.median:.2f}. More than {MOST_ALIKE:g} would fail."
        )


def audit(subject: Subject) -> Explanations | None:
    """Checks the maps of a sample of the films. Returns None for a network without maps."""
    if subject.explain is None:
        return None
    films = subject.films.select(sample_films(subject.films.labels, FILMS))
    images = films.pixels(np.arange(len(films)))
    found, maps = randomisation_check(subject.explain, subject.trained.params, images)
    shuffled = (stage.shuffled.removeprefix("and ") for stage in found.stages)
    titles = ["As trained", *(f"After shuffling the {name}" for name in shuffled)]
    strips = {
        f"explanations-{i}": Tile(strip(images[:_SHOWN], of_stage[:_SHOWN]), (title,))
        for i, (title, of_stage) in enumerate(zip(titles, maps, strict=True))
    }
    return replace(found, strips=strips, finding=subject.predictions.class_names.words.positive)


def randomisation_check(
    explain: Explain, params: dict, images: NDArray[np.uint8], *, seed: int = 0
) -> tuple[Explanations, list[NDArray[np.float32]]]:
    """Compares maps as trained with maps after more and more weights are shuffled.

    A constant map has no ranks, so its film is left out of the correlation and counted instead.
    Such a film is no evidence for a verdict: a map that is constant as trained shows nothing, and a
    map that vanishes does not tell whether the other maps follow the weights.

    Returns the outcome, and the maps (n, h, w) as trained and at each stage.
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
    """Yields parameters of which more and more are shuffled: the heads, each module, the stem.

    The stem is everything but the heads and the modules. Each array keeps its values in another
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
