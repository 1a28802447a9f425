"""A comparison as a page of Markdown, for example for a paper's supplement."""

import re
from collections.abc import Iterable, Iterator, Sequence

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.compare import rows
from pneumojax.evaluation.compare.comparison import COMPARED
from pneumojax.evaluation.compare.result import ComparisonResult
from pneumojax.evaluation.wording import limits_of, value_of, with_limits
from pneumojax.stats.estimates import LIKELIHOOD_RATIOS, Estimate

Rows = Iterator[tuple[str, ...]]


def markdown(result: ComparisonResult) -> str:
    """The whole comparison; text that comes from files is escaped."""
    names, unit = list(result.files), result.comparison.bootstrap.unit
    parts = [
        "# Comparison",
        *(f"**warning: {_escaped(line)}**" for line in result.warnings),
        _list(rows.heading(result)),
        *(["**" + SYNTHETIC_STAMP + "**"] if result.synthetic else []),
        "## Metrics",
        f"The interval of the method named is in brackets. Where that is not the {unit} bootstrap, "
        "the bootstrap's interval follows it.",
        _table(("metric", "method", *names), _metric_rows(result)),
        "## Differences",
        _table(rows.HEADER, rows.difference_rows(result)),
        "## Calls that differ",
        "The numbers of films that only one network of a pair calls right, and McNemar's exact "
        "test of them.",
        _table(("tests", "right", "right", "p"), _mcnemar_rows(result)),
        "## Predictive values at other prevalences",
        _table(("prevalence", "metric", *names), _prevalence_rows(result)),
        "## Configs",
        _list(rows.config_lines(result.configs)),
        "## Notes",
        _list(rows.notes(result)),
        f"**{DISCLAIMER}**",
    ]
    return "\n\n".join(parts) + "\n"


def _metric_rows(result: ComparisonResult) -> Rows:
    for metric in (*COMPARED, *LIKELIHOOD_RATIOS):
        of_each = [network.estimates[metric] for network in result.comparison.networks.values()]
        yield rows.title(metric), of_each[0].method, *map(_with_both_limits, of_each)


def _mcnemar_rows(result: ComparisonResult) -> Rows:
    for pair in result.comparison.pairs:
        for metric, test in pair.mcnemar.items():
            yield (
                rows.title(metric),
                f"{pair.first} alone {test.only_first_right:,}",
                f"{pair.second} alone {test.only_second_right:,}",
                rows.p_value(test.p),
            )


def _prevalence_rows(result: ComparisonResult) -> Rows:
    tables = [network.predictive_values for network in result.comparison.networks.values()]
    for of_each in zip(*tables, strict=True):
        for name in ("positive_predictive_value", "negative_predictive_value"):
            shown = (with_limits(getattr(at, name)) for at in of_each)
            yield f"{of_each[0].prevalence:g}", rows.title(name), *shown


def _with_both_limits(metric: Estimate) -> str:
    if metric.method.endswith("bootstrap"):
        return with_limits(metric)
    return f"{value_of(metric)} ({limits_of(metric)}; {limits_of(metric.bootstrap)})"


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *lines)
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", text)
