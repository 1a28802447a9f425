"""The rows of a comparison's tables as text, for the terminal and for Markdown."""

import math
from collections.abc import Iterator
from typing import Any

from pneumojax.evaluation.compare.comparison import Pair
from pneumojax.evaluation.compare.configs import ConfigDifferences
from pneumojax.evaluation.compare.result import ComparisonResult
from pneumojax.evaluation.wording import SHORT_TITLES
from pneumojax.files import printable

HEADER = ("pair", "metric", "difference", "interval", "p")
_TITLES = SHORT_TITLES | {"brier": "Brier score"}
_LONGEST_VALUE = 80  # characters; comparison.json has whole values


def heading(result: ComparisonResult) -> list[str]:
    comparison = result.comparison
    people = "unknown" if comparison.patients is None else f"{comparison.patients:,}"
    films = f"{comparison.n:,} films, {comparison.prevalence:.1%} PNEUMONIA, patients: {people}"
    return [films, *(f"{name}: {str(file.path)!r}" for name, file in result.files.items())]


def difference_rows(result: ComparisonResult) -> Iterator[tuple[str, ...]]:
    """Rows under `HEADER`: each difference of each pair."""
    for pair in result.comparison.pairs:
        for metric, row in pair.differences.items():
            change = "undefined" if math.isnan(row.difference) else f"{row.difference:+.3f}"
            limits = "no interval" if math.isnan(row.low) else f"{row.low:+.3f} to {row.high:+.3f}"
            names = f"{pair.second} - {pair.first}", title(metric)
            yield *names, change, limits, _tested(pair, metric)


def config_lines(configs: ConfigDifferences) -> list[str]:
    """Lines that say in which fields the runs' configs differ, and whose config is unknown."""
    lines = []
    if len(configs.known) > 1:
        names, different = " and ".join(configs.known), configs.different
        count = f"{len(different)} {'field' if len(different) == 1 else 'fields'}"
        lines = [f"the configs of {names} " + (f"differ in {count}:" if different else "are equal")]
        if len(different) > 1:
            lines[0] += " a difference between metrics cannot be attributed to one of them alone"
        for row in different:
            values = "; ".join(f"{name}: {_short(v)}" for name, v in row.values.items())
            lines.append(f"  {printable(row.field)}: {values}")
    if configs.unknown:
        names = ", ".join(configs.unknown)
        lines.append(f"there is no config beside the predictions of {names}, so it is not compared")
    return lines


def notes(result: ComparisonResult) -> list[str]:
    comparison = result.comparison
    level, drawn = f"{100 * comparison.level:g} %", comparison.bootstrap
    lines = [
        *result.paired.notes,
        f"Intervals are at {level}. Those of differences come from {drawn.resamples:,} bootstrap "
        f"resamples of {drawn.unit}s, the same for all networks. Those of one network are Wilson's "
        "for shares of films, DeLong's for AUROC, Koopman's for likelihood ratios, and the "
        "bootstrap's for the rest.",
        "Closed-form intervals and both tests treat films as independent. Where patients have "
        "several films, rely on the bootstrap.",
        "Intervals and tests are about these films. They do not say what another training seed "
        "would give.",
    ]
    if len(comparison.pairs) > 1:
        lines.append(f"p-values are not adjusted for the number of pairs, {len(comparison.pairs)}.")
    return lines


def title(metric: str) -> str:
    return _TITLES[metric]


def p_value(p: float) -> str:
    if math.isnan(p):
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _tested(pair: Pair, metric: str) -> str:
    """The p-value and the name of the test of a difference; "" where there is none."""
    if metric == "auroc":
        return f"{p_value(pair.delong.p)} DeLong"
    if metric in pair.mcnemar:
        return f"{p_value(pair.mcnemar[metric].p)} McNemar"
    return ""


def _short(value: Any) -> str:
    text = repr(value)  # also escapes what is not printable
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
