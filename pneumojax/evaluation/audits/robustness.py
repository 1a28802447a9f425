"""The metrics of a network on films that are made darker, blurred, rotated, cropped and so on."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.classes import CLASS_NAMES
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.audits.perturbations import PERTURBATIONS, Images, Perturbation
from pneumojax.evaluation.audits.stress import STRESSES, Stress, stress_summary
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.report.style import DASHED, empty_card, tidy
from pneumojax.evaluation.wording import with_limits
from pneumojax.inference.decision import Decision
from pneumojax.palette import BLUE, INK, MUTED, ORANGE
from pneumojax.stats.delong import delong_test
from pneumojax.stats.estimates import LEVEL, Limited, json_ready
from pneumojax.stats.metrics import Floats, Ints, check_labels, check_scores, confusion
from pneumojax.stats.threshold_metrics import closed_forms
from pneumojax.terminal import Progress

# 23 passes over 512 films take 80 s at 150 films a second, the speed of two CPU cores.
MOST_FILMS = 512
_SECONDS_BETWEEN_LINES = 5
_LINES = {
    "auroc": ("AUROC", INK),
    "sensitivity": ("sensitivity", BLUE),
    "specificity": ("specificity", ORANGE),
}

Score = Callable[[Images], NDArray[np.floating]]


@dataclass(frozen=True)
class Metrics:
    auroc: Limited
    sensitivity: Limited
    specificity: Limited


@dataclass(frozen=True)
class Level(Metrics):
    """The metrics at one level; `change` is that of the AUROC, with DeLong's paired interval."""

    level: float
    change: Limited


@dataclass(frozen=True)
class Kind:
    title: str
    unchanged: float
    levels: Sequence[Level]


@dataclass(frozen=True)
class Robustness:
    """The metrics of n films of `side` pixels, unchanged and after each perturbation."""

    n: int
    normal: int
    pneumonia: int
    side: int
    threshold: float
    unchanged: Metrics
    kinds: Mapping[str, Kind]
    stress: Stress | None
    negative: str = CLASS_NAMES.words.negative  # the negative class in a sentence

    def record(self) -> dict[str, Any]:
        entry = {**vars(self), "level": LEVEL}
        del entry["negative"]
        return {"robustness": json_ready(entry)}

    def section(self) -> Section:
        rows = [
            (
                kind.title,
                f"{row.level:g}",
                *map(with_limits, (row.auroc, row.sensitivity, row.specificity, row.change)),
            )
            for kind in self.kinds.values()
            for row in kind.levels
        ]
        text = [
            f"The same {self.n:,} films ({self.normal:,} {self.negative}) are scored at each "
            f"level of each change. They are changed at the network's resolution of {self.side} "
            "pixels, and called at the operating point."
        ]
        headings = ("change", "level", "AUROC", "sensitivity", "specificity", "change of AUROC")
        tables = [Table(headings, rows, folded="Every level, with intervals")]
        if self.stress:
            tables.insert(0, self.stress.table())
            text.append(
                f"The summary covers {self.stress.settings} settings of blur, noise, contrast, "
                "JPEG and crop. Its intervals resample patients. The interval of the worst "
                "setting ignores that this setting was chosen because it is the worst."
            )
        captions = {
            "robustness": "Each metric by level, with 95 % intervals. The dashed lines mark the "
            "films as they are."
        }
        return Section("Robustness", text, tables, captions)

    def pictures(self) -> dict[str, Figure]:
        """The three metrics over the level, with one panel for each perturbation."""
        lines = -(-len(self.kinds) // 2)
        figure = empty_card(1.35 * lines + 0.7)
        panels = figure.subplots(lines, 2, sharey=True, squeeze=False).ravel()
        for axes, kind in zip(panels, self.kinds.values(), strict=False):
            tidy(axes)
            axes.set_title(kind.title, size=11, color=INK)
            axes.axvline(kind.unchanged, color=MUTED, linewidth=1, linestyle=DASHED)
            points = [(kind.unchanged, self.unchanged), *((row.level, row) for row in kind.levels)]
            points.sort(key=lambda point: point[0])
            # Ticks stand at the levels tried: between them there is only a straight line.
            levels = [level for level, _ in points]
            axes.set_xticks(levels, [f"{level:g}" for level in levels], size=10)
            for name, (_, colour) in _LINES.items():
                _with_bars(axes, [(x, getattr(each, name)) for x, each in points], colour)
        for axes in panels[len(self.kinds) :]:
            axes.remove()
        panels[0].set_ylim(-0.02, 1.04)
        handles = [Line2D([], [], color=c, marker="o", label=label) for label, c in _LINES.values()]
        handles.append(Line2D([], [], color=MUTED, ls=DASHED, label="films as they are"))
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=2,
            frameon=False,
            fontsize=11,
            labelcolor=INK,
        )
        return {"robustness": figure}


def audit(subject: Subject) -> Robustness:
    chosen = sample_films(subject.films.labels)
    films = subject.films.select(chosen)
    keys = subject.predictions.patients

    def score(images: Images) -> NDArray:
        return subject.score(replace(films, images=images, places=np.arange(len(images))))

    found = robustness(
        score,
        films.pixels(np.arange(len(films))),
        films.labels,
        subject.decision,
        patients=None if keys is None else np.asarray(keys)[chosen],
    )
    return replace(found, negative=subject.predictions.class_names.words.negative)


def sample_films(labels: ArrayLike, most: int = MOST_FILMS, seed: int = 0) -> Ints:
    """Indices of at most `most` of n films, in rising order, with each class in its proportion.

    At least one film of each class that occurs is chosen. The choice depends on the labels and the
    seed alone.
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
    patients: Sequence[str] | NDArray | None = None,
) -> Robustness:
    """Computes the metrics of films without a change and after each perturbation.

    Shows progress on standard error. `score` returns logits (n,) for films like `images`.
    """
    truth = check_labels(labels)
    if not truth.size or truth.size != len(images):
        raise ValueError(f"{truth.size} labels, {len(images)} films")
    settings = [(name, level) for name, p in perturbations.items() for level in sorted(p.levels)]
    began, progress = time.monotonic(), Progress(sys.stderr, _SECONDS_BETWEEN_LINES)
    plain = check_scores(truth, score(images))[1]
    unchanged = _metrics(truth, plain, decision)
    rows: dict[str, list[Level]] = {name: [] for name in perturbations}
    stressed: dict[tuple[str, float], Floats] = {}
    for done, (name, level) in enumerate(settings, start=1):
        if progress.is_due():
            left = (time.monotonic() - began) / done * (len(settings) + 1 - done)
            progress.show(f"robustness: {done}/{len(settings) + 1} settings, {left:.0f} s left")
        logits = check_scores(truth, score(perturbations[name].apply(images, level)))[1]
        if name in STRESSES:
            stressed[name, level] = logits
        change = delong_test(truth, plain, logits, LEVEL)
        limited = Limited(change.difference, change.low, change.high, "paired delong")
        found = _metrics(truth, logits, decision)
        rows[name].append(Level(**vars(found), level=level, change=limited))
    progress.close()
    units = np.arange(truth.size) if patients is None else np.asarray(patients)
    return Robustness(
        n=truth.size,
        normal=int((truth == 0).sum()),
        pneumonia=int(truth.sum()),
        side=images.shape[1],
        threshold=decision.threshold,
        unchanged=unchanged,
        kinds={n: Kind(p.title, p.unchanged, rows[n]) for n, p in perturbations.items()},
        stress=stress_summary(truth, stressed, decision, units) if stressed else None,
    )


def _metrics(truth: Ints, logits: Floats, decision: Decision) -> Metrics:
    counted = confusion(truth, decision.calls(decision.probabilities(logits)))
    formulas = closed_forms(counted, LEVEL)
    return Metrics(
        auroc=Limited.of_auroc(truth, logits),
        sensitivity=Limited.of(counted.sensitivity, *formulas["sensitivity"]),
        specificity=Limited.of(counted.specificity, *formulas["specificity"]),
    )


def _with_bars(axes: Axes, points: Sequence[tuple[float, Limited]], colour: str) -> None:
    known = [(level, each) for level, each in points if not math.isnan(each.value)]
    levels, values = [level for level, _ in known], [each.value for _, each in known]
    axes.plot(levels, values, "o-", color=colour, markersize=3.5, linewidth=1.6)
    for level, each in known:
        if not math.isnan(each.low):
            limits = [each.low, each.high]
            axes.plot([level] * 2, limits, color=colour, linewidth=1.4, alpha=0.45)
