"""Metrics of groups of films, divided by the columns of a table or of DICOM headers.

A column such as age, sex, view or site tells for whom a network works. It may also predict the
label. Patients who are very ill are filmed in bed, for example, so a network that recognises the
view separates the classes without seeing the disease. The AUROC within the groups of a column
compares only films of the same group, where the column does not help the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pneumojax.data.column_groups import Groups, group_films
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.audits.parts import (
    FilmPart,
    Part,
    all_films,
    cells,
    forest_chart,
    measure,
    shortened,
)
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.wording import with_limits
from pneumojax.files import printable
from pneumojax.inference.decision import Decision
from pneumojax.stats.bootstrap import weighted_auroc
from pneumojax.stats.estimates import FEW, LEVEL, RESAMPLES, Bootstrap, Estimate, json_ready, sample
from pneumojax.stats.metrics import Floats, Ints, check_scores, ratio

_LONGEST_NAME = 60  # characters of a column or value in the report


@dataclass(frozen=True)
class Column:
    """One column: its groups, and the AUROC within them.

    within: the share of pairs of films, one of each class and both of one group, that are ranked
        correctly: the mean of the groups' AUROCs, weighted by their numbers of such pairs.
    difference: the AUROC of all films minus `within`.
    """

    name: str
    parts: Sequence[Part]
    within: Estimate
    difference: Estimate

    @property
    def confounded(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class Metadata:
    """The metrics of all films and of every column's groups.

    `left_out` has the reason for each column that makes no groups.
    """

    everything: Part
    columns: Sequence[Column]
    left_out: Mapping[str, str]
    bootstrap: Bootstrap

    @property
    def names(self) -> list[str]:
        """The names of all columns that came with the films."""
        return [*(column.name for column in self.columns), *self.left_out]

    def record(self) -> dict[str, Any]:
        record = json_ready({**vars(self), "level": LEVEL, "few": FEW})
        parts = [part for column in record["columns"] for part in column["parts"]]
        for part in (record["everything"], *parts):
            del part["low"], part["high"]  # no statistic divides these films
            part["prevalence"] = part["pneumonia"] / part["n"]
        return {"metadata": record}

    def section(self) -> Section:
        text = [
            "The groups are those of the columns that came with the films. A value marked with * "
            f"rests on fewer than {FEW} films of a class and supports no conclusion.",
        ]
        for name, reason in self.left_out.items():
            text.append(f"The films are not divided by {name}: {reason}.")
        if not self.columns:
            return Section("Subgroups by metadata", text)
        text.append(
            "If the prevalence differs between the groups of a column, a network can separate the "
            "classes by recognising the group. The AUROC within groups compares only films of the "
            "same group, where this does not help. If it is lower than the AUROC of all films, a "
            "part of the latter comes from differences between the groups. If it is higher, these "
            "differences hide a part of what the network can do."
        )
        confounded = [column.name for column in self.columns if column.confounded]
        if confounded:
            text.append(
                "The two AUROCs differ by more than chance (the interval of the difference "
                f"excludes 0) for {', '.join(confounded)}."
            )
        captions = {"metadata": "95 % intervals by Wilson and DeLong."}
        tables = [self._groups(), self._within()]
        return Section("Subgroups by metadata", text, tables, captions)

    def _groups(self) -> Table:
        rows = []
        for part in (self.everything, *(part for column in self.columns for part in column.parts)):
            name = part.name if part is self.everything else f"{part.title}: {part.name}"
            share = f"{part.pneumonia / part.n:.1%}"
            rows.append((name, f"{part.n:,}", share, *cells(part)))
        headings = ("group", "films", "prevalence", "sensitivity", "specificity", "AUROC")
        return Table(headings, rows, folded="The metrics of each group")

    def _within(self) -> Table:
        rows = [
            (
                column.name,
                *map(with_limits, (self.everything.auroc, column.within, column.difference)),
            )
            for column in self.columns
        ]
        headings = ("column", "AUROC of all films", "AUROC within groups", "difference")
        return Table(headings, rows)

    def pictures(self) -> dict[str, Figure]:
        if not self.columns:
            return {}
        parts = [part for column in self.columns for part in column.parts]
        return {"metadata": forest_chart([self.everything, *parts])}


def audit(subject: Subject) -> Metadata | None:
    """None if no column came with the films."""
    columns = subject.films.columns
    return divide(subject.predictions, subject.decision, columns) if columns else None


def divide(
    predictions: Predictions,
    decision: Decision,
    columns: Mapping[str, Sequence[str] | np.ndarray],
    *,
    resamples: int = RESAMPLES,
) -> Metadata:
    """Computes the metrics of n films by the groups of each column, whose values are (n,)."""
    grouped: dict[str, Groups] = {}
    left_out: dict[str, str] = {}
    for column, values in columns.items():
        groups = group_films(column, values, predictions.patients)
        if groups.names:
            grouped[column] = groups
        else:
            left_out[_shown(column)] = groups.reason
    bootstrap = Bootstrap(predictions.unit, resamples)
    parts = [all_films(len(predictions.labels))]
    for column, groups in grouped.items():
        for value, films in zip(groups.names, groups.films, strict=True):
            parts.append(FilmPart(column, _shown(column), _shown(value), films, films))
    everything, *measured = measure(predictions, decision, parts, bootstrap)
    within = _within_groups(predictions, grouped, bootstrap)
    return Metadata(
        everything=everything,
        columns=[
            Column(_shown(name), [part for part in measured if part.by == name], *within[name])
            for name in grouped
        ],
        left_out=left_out,
        bootstrap=bootstrap,
    )


def _within_groups(
    predictions: Predictions, grouped: Mapping[str, Groups], bootstrap: Bootstrap
) -> dict[str, tuple[Estimate, Estimate]]:
    """The AUROC within the groups of each column, and that of all films minus it."""
    truth, values = check_scores(predictions.labels, predictions.logits)

    def metrics(weights: Floats) -> dict[str, Floats]:
        found, pooled = {}, weighted_auroc(truth, values, weights)
        for name, groups in grouped.items():
            within = _auroc_within(truth, values, groups.films, weights)
            found[f"within {name}"], found[f"less {name}"] = within, pooled - within
        return found

    sampled = sample(metrics, predictions.units, bootstrap)
    return {
        name: (sampled.estimate(f"within {name}"), sampled.estimate(f"less {name}"))
        for name in grouped
    }


def _auroc_within(truth: Ints, values: Floats, groups: Sequence[Ints], weights: Floats) -> Floats:
    """(b,): the mean of the groups' AUROCs, weighted by pairs of one film of each class."""
    correct, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for films in groups:
        own = weights[:, films]
        ill = own @ truth[films]
        of_group = ill * (own.sum(axis=1) - ill)
        correct += np.nan_to_num(weighted_auroc(truth[films], values[films], own)) * of_group
        pairs += of_group
    return ratio(correct, pairs)


def _shown(name: str) -> str:
    """A name from a table on one line and not too long."""
    return shortened(printable(name), _LONGEST_NAME)
