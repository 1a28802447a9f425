"""The audit of shortcuts: simple statistics of films that predict the label without anatomy.

The audit asks whether the network's logit follows such a statistic within one class, and whether
the network still separates the classes among films with similar sharpness and brightness.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.data.film_statistics import STATISTICS
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.audits.matched_pairs import (
    CALIPER,
    PairAudit,
    audit_pairs,
    classes_of_pairs,
    pair_films,
)
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.report.style import DASHED, card
from pneumojax.evaluation.wording import two_decimals, value_of, with_limits
from pneumojax.palette import BLUE, INK, MUTED, ORANGE, PAPER
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import LEVEL, RESAMPLES, Limited, Share, json_ready
from pneumojax.stats.metrics import (
    Floats,
    Ints,
    auroc,
    check_labels,
    check_scores,
    rank_correlation,
)

PAIRED_BY = ("sharpness", "brightness")
# With fewer pairs the chart has no AUROC in pairs, since chance alone moves it far from one half.
FEWEST_PAIRS = 20


@dataclass(frozen=True)
class StatisticAudit:
    """How well one statistic predicts the label, and whether the network follows it.

    auroc: of the statistic or of its negative, whichever is 0.5 or more. Without any relation to
        the label it is slightly above 0.5 by chance.
    rank_correlation: of the statistic and the logit, on all films and by class. On all films a good
        network's logit follows whatever differs between the classes. Within a class it should not.
    auroc_in_pairs: in the same direction as `auroc`.
    """

    name: str
    title: str
    meaning: str
    auroc: Limited
    higher_in: str | None
    rank_correlation: Mapping[str, float]
    auroc_in_pairs: float


@dataclass(frozen=True)
class Shortcuts:
    n: int
    model: Limited
    statistics: Sequence[StatisticAudit]
    pairs: PairAudit
    softest_normal: Share
    class_names: ClassNames = CLASS_NAMES

    def record(self) -> dict[str, Any]:
        shortcuts = {
            "n": self.n,
            "level": LEVEL,
            "model": {"auroc": self.model},
            "statistics": self.statistics,
            "pairs": {"paired_by": PAIRED_BY, "caliper": CALIPER, **vars(self.pairs)},
        }
        return json_ready({"shortcuts": shortcuts, "softest_normal": self.softest_normal})

    def section(self) -> Section:
        rows = [
            (
                f"{row.title} ({row.meaning})",
                with_limits(row.auroc),
                row.higher_in or "neither",
                *(two_decimals(row.rank_correlation[name]) for name in self.class_names),
                two_decimals(row.auroc_in_pairs),
            )
            for row in self.statistics
        ]
        normal, positive = self.class_names.words.negative, self.class_names.positive
        text = [
            "None of these statistics depends on anatomy. A statistic that predicts the label is a "
            "shortcut that the network may have taken. Its rank correlation with the logit within "
            "one class shows how far the network follows it although the label is the same.",
        ]
        if self.pairs.pairs:
            text.append(
                f"Among {self.pairs.pairs:,} pairs of a {normal} film and one of {positive} that "
                f"are alike in {' and '.join(PAIRED_BY)}, the network's AUROC is "
                f"{with_limits(self.pairs.auroc)}; on all films it is {value_of(self.model)}. A "
                "statistic that still predicts the label in the pairs is not balanced by them."
            )
        else:
            text.append(
                f"No {normal} film is similar to one of {positive} in sharpness and brightness, so "
                "there are no pairs to compare."
            )
        softest = self.softest_normal
        if softest.n:
            text.append(
                f"Of the least sharp third of the {normal} films ({softest.n:,}) the network "
                f"calls {with_limits(softest)} {normal}."
            )
        by_class = [f"with logit, {name}" for name in self.class_names]
        headings = ("statistic", "AUROC alone", "higher in", *by_class, "AUROC in pairs")
        captions = {
            "shortcuts": "AUROC of each statistic alone. The thick line is the network's AUROC."
        }
        table = Table(headings, rows, folded="Every statistic")
        return Section("Shortcut audit", text, [table], captions)

    def pictures(self) -> dict[str, Figure]:
        """AUROC of each statistic alone and in pairs of like films, beside the network's."""
        # A statistic that is the same on all films has no interval and is left out.
        colours = dict(zip(self.class_names, (BLUE, ORANGE), strict=True))
        rows = [row for row in self.statistics if not math.isnan(row.auroc.low)]
        figure, axes = card(1.7 + 0.36 * max(len(rows), 3))
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0.4, 1.02), xlabel="AUROC of one number")
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=DASHED)
        if not rows:
            text = "no statistic differs between films"
            axes.text(0.71, 0.5, text, ha="center", color=INK, size=12)
        for i, row in enumerate(rows):
            colour = colours.get(row.higher_in or "", MUTED)
            value = row.auroc.value
            axes.barh(i, value - 0.5, left=0.5, height=0.62, color=colour, alpha=0.3)
            axes.plot([row.auroc.low, row.auroc.high], [i, i], color=colour, linewidth=2)
            axes.plot(value, i, "o", color=colour, markersize=5)
            if self.pairs.pairs >= FEWEST_PAIRS:
                balance = row.auroc_in_pairs
                axes.plot(balance, i, "D", mec=INK, mfc=PAPER, markersize=5, zorder=4)
        if not math.isnan(self.model.value):
            axes.axvline(self.model.value, color=INK, linewidth=2)
            if not math.isnan(self.model.low):
                span = self.model.low, self.model.high
                axes.axvspan(*span, color=INK, alpha=0.15, linewidth=0)
        axes.set_yticks(range(len(rows)), [row.title for row in rows], color=INK)
        axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
        paired = "statistic, paired films"
        handles: list[Artist] = [
            Patch(color=c, alpha=0.6, label=f"higher in {n}") for n, c in colours.items()
        ]
        handles += [
            Line2D([], [], color=INK, linewidth=2, label="the network"),
            Line2D([], [], ls="", marker="D", mec=INK, mfc=PAPER, label=paired),
        ]
        figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=2,
            frameon=False,
            fontsize=10.5,
            labelcolor=INK,
        )
        return {"shortcuts": figure}


def audit(subject: Subject) -> Shortcuts:
    predictions, decision = subject.predictions, subject.decision
    calls = decision.calls(decision.probabilities(predictions.logits))
    return shortcuts(
        subject.statistics,
        predictions.labels,
        predictions.logits,
        calls,
        class_names=predictions.class_names,
    )


def shortcuts(
    statistics: Mapping[str, Floats],
    labels: ArrayLike,
    logits: ArrayLike,
    calls: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    class_names: ClassNames = CLASS_NAMES,
) -> Shortcuts:
    """Audits n films for shortcuts; `statistics` are as from `film_statistics`."""
    truth, values = check_scores(labels, logits)
    pairs = pair_films(truth, [statistics[name] for name in PAIRED_BY])
    rows = [
        _statistic(name, each, truth, values, pairs, class_names)
        for name, each in statistics.items()
    ]
    rows.sort(key=lambda row: -np.nan_to_num(row.auroc.value))
    return Shortcuts(
        n=truth.size,
        model=Limited.of_auroc(truth, values),
        statistics=rows,
        pairs=audit_pairs(values, pairs, resamples),
        softest_normal=softest_normal(statistics["sharpness"], labels, calls),
        class_names=class_names,
    )


def softest_normal(sharpness: ArrayLike, labels: ArrayLike, calls: ArrayLike) -> Share:
    """The specificity among the least sharp third of the normal films.

    A network that takes sharpness for health calls these films PNEUMONIA.
    """
    normal = np.flatnonzero(check_labels(labels) == 0)
    order = np.argsort(np.asarray(sharpness)[normal], kind="stable")
    softest = normal[order[: normal.size // 3]]
    return Share.count(int(np.sum(check_labels(calls)[softest] == 0)), softest.size)


def _statistic(
    name: str,
    statistic: ArrayLike,
    truth: Ints,
    logits: Floats,
    pairs: Ints,
    class_names: ClassNames,
) -> StatisticAudit:
    _, values = check_scores(truth, statistic)
    area = auroc(truth, values)
    sign = -1 if area < 0.5 else 1
    limits = delong_interval(truth, sign * values, LEVEL)
    by_class = {
        name: rank_correlation(values[truth == c], logits[truth == c])
        for c, name in enumerate(class_names)
    }
    return StatisticAudit(
        name=name,
        title=STATISTICS[name].title,
        meaning=STATISTICS[name].meaning,
        auroc=Limited.of(max(area, 1 - area), limits, "delong"),
        higher_in=None if area == 0.5 or np.isnan(area) else class_names[int(area > 0.5)],
        rank_correlation={"all": rank_correlation(values, logits), **by_class},
        auroc_in_pairs=auroc(classes_of_pairs(pairs), sign * values[pairs.ravel()]),
    )
