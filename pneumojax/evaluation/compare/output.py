"""The result of a comparison as JSON, as tables on the terminal, and as Markdown for a paper."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.compare.comparison import Comparison, Pair
from pneumojax.evaluation.compare.configs import ConfigDifferences
from pneumojax.evaluation.compare.pairing import PairedFilms
from pneumojax.evaluation.compare.predictions_csv import PredictionsFile
from pneumojax.evaluation.terminal import table
from pneumojax.evaluation.wording import limits_of, titles, value_of, with_limits
from pneumojax.files import printable
from pneumojax.stats.estimates import LIKELIHOOD_RATIOS, Estimate, json_ready
from pneumojax.terminal import make_console

_HEADER = ("pair", "metric", "difference", "interval", "p")
_LONGEST_VALUE = 80  # characters; comparison.json has whole values
_HEADLINE = ("sensitivity", "specificity", "auroc", "accuracy")

Rows = Iterator[tuple[str, ...]]


@dataclass(frozen=True)
class ComparisonResult:
    """Files of predictions, by the network's letter, compared on the films that they share."""

    warnings: Sequence[str]
    files: Mapping[str, PredictionsFile]
    paired: PairedFilms
    configs: ConfigDifferences
    comparison: Comparison

    @property
    def synthetic(self) -> bool:
        return any(file.synthetic for file in self.files.values())

    @property
    def titles(self) -> Mapping[str, str]:
        """The title of each compared metric by its name."""
        return titles(self.comparison.class_names, short=True) | {"brier": "Brier score"}

    def record(self) -> dict[str, Any]:
        comparison, compared = self.comparison, set(self.paired.files)
        networks = {
            name: {
                "path": str(file.path),
                "class_names": list(file.class_names),
                "not_compared": [film for film in file.films if film not in compared],
                "without_probability": file.without_probability,
                "figures": comparison.networks[name].estimates,
                "predictive_values": comparison.networks[name].predictive_values,
            }
            for name, file in self.files.items()
        }
        return json_ready(
            {
                "disclaimer": DISCLAIMER,
                "synthetic": self.synthetic,
                "warnings": self.warnings,
                "notes": self.paired.notes,
                "configs": self.configs,
                **{name: v for name, v in vars(comparison).items() if name != "class_names"},
                "networks": networks,
            }
        )


def print_comparison(result: ComparisonResult) -> None:
    """Prints a comparison, without colour into a pipe. How the configs differ comes before it."""
    console = make_console()

    def say(line: str, style: str | None = None) -> None:
        console.print(line, style=style, markup=False, soft_wrap=True)

    for line in result.warnings:
        say(f"warning: {line}", "bold yellow")
    for line in (*_heading(result), *_config_lines(result.configs)):
        say(line)
    if result.synthetic:
        say(SYNTHETIC_STAMP, "bold yellow")
    of_each = []
    for name, network in result.comparison.networks.items():
        shown = [network.estimates[metric] for metric in _HEADLINE]
        of_each.append((name, *(f"{value_of(e)}\n{limits_of(e)}" for e in shown)))
    console.print(table(("", *(result.titles[name] for name in _HEADLINE)), of_each))
    console.print(table(_HEADER, _difference_rows(result)))
    for note in result.paired.notes:  # with names of files, which are not broken into lines
        say(note)
    for note in _notes_on_methods(result):
        console.print(note, markup=False)
    console.print(DISCLAIMER, style="bold")


def markdown(result: ComparisonResult) -> str:
    """The whole comparison; text that comes from files is escaped."""
    names, unit = list(result.files), result.comparison.bootstrap.unit
    parts = [
        "# Comparison",
        *(f"**warning: {_escaped(line)}**" for line in result.warnings),
        _list(_heading(result)),
        *(["**" + SYNTHETIC_STAMP + "**"] if result.synthetic else []),
        "## Configs",
        _list(_config_lines(result.configs)),
        "## Metrics",
        "The brackets hold the interval by the method that is named, and after it that of the "
        f"{unit} bootstrap if this is another method.",
        _markdown_table(("metric", "method", *names), _metric_rows(result)),
        "## Differences",
        _markdown_table(_HEADER, _difference_rows(result)),
        "## Calls that differ",
        "Each row has the numbers of films that only one network of a pair calls right, and the p "
        "of McNemar's exact test.",
        _markdown_table(("tests", "right", "right", "p"), _mcnemar_rows(result)),
        "## Predictive values at other prevalences",
        _markdown_table(("prevalence", "metric", *names), _prevalence_rows(result)),
        "## Notes",
        _list([*result.paired.notes, *_notes_on_methods(result)]),
        f"**{DISCLAIMER}**",
    ]
    return "\n\n".join(parts) + "\n"


def _metric_rows(result: ComparisonResult) -> Rows:
    for metric in (*result.comparison.metrics, *LIKELIHOOD_RATIOS):
        of_each = [network.estimates[metric] for network in result.comparison.networks.values()]
        yield result.titles[metric], of_each[0].method, *map(_with_both_limits, of_each)


def _mcnemar_rows(result: ComparisonResult) -> Rows:
    for pair in result.comparison.pairs:
        for metric, test in pair.mcnemar.items():
            yield (
                result.titles[metric],
                f"{pair.first} alone {test.only_first_right:,}",
                f"{pair.second} alone {test.only_second_right:,}",
                _p_value(test.p),
            )


def _prevalence_rows(result: ComparisonResult) -> Rows:
    tables = [network.predictive_values for network in result.comparison.networks.values()]
    for of_each in zip(*tables, strict=True):
        for name in ("positive_predictive_value", "negative_predictive_value"):
            shown = (with_limits(getattr(at, name)) for at in of_each)
            yield f"{of_each[0].prevalence:g}", result.titles[name], *shown


def _with_both_limits(metric: Estimate) -> str:
    if metric.method.endswith("bootstrap"):
        return with_limits(metric)
    return f"{value_of(metric)} ({limits_of(metric)}; {limits_of(metric.bootstrap)})"


def _markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *lines)
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", text)


def _heading(result: ComparisonResult) -> list[str]:
    comparison = result.comparison
    people = "unknown" if comparison.patients is None else f"{comparison.patients:,}"
    films = f"{comparison.n:,} films, {comparison.prevalence:.1%} "
    films += f"{comparison.class_names.positive}, patients: {people}"
    sources = [f"{name}: {str(file.path)!r}" for name, file in result.files.items()]
    if len({file.class_names for file in result.files.values()}) == 1:
        return [films, *sources]
    by_number = "The classes have different names and are compared by number. Tables use A's names."
    named = (
        f"{source}, class 0: {file.class_names.negative!r}, class 1: {file.class_names.positive!r}"
        for source, file in zip(sources, result.files.values(), strict=True)
    )
    return [by_number, *named, films]


def _difference_rows(result: ComparisonResult) -> Iterator[tuple[str, ...]]:
    for pair in result.comparison.pairs:
        for metric, row in pair.differences.items():
            change = "undefined" if math.isnan(row.difference) else f"{row.difference:+.3f}"
            limits = "no interval" if math.isnan(row.low) else f"{row.low:+.3f} to {row.high:+.3f}"
            names = f"{pair.second} - {pair.first}", result.titles[metric]
            yield *names, change, limits, _tested(pair, metric)


def _config_lines(configs: ConfigDifferences) -> list[str]:
    lines = []
    if len(configs.known) > 1:
        names, different = " and ".join(configs.known), configs.different
        count = f"{len(different)} {'field' if len(different) == 1 else 'fields'}"
        lines = [
            f"The configs of {names} " + (f"differ in {count}:" if different else "are equal.")
        ]
        if len(different) > 1:
            lines[0] += " a difference between metrics may come from any of them."
        for row in different:
            values = "; ".join(f"{name}: {_short(v)}" for name, v in row.values.items())
            lines.append(f"  {printable(row.field)}: {values}")
    if configs.unknown:
        names = ", ".join(configs.unknown)
        lines.append(f"No config lies beside the predictions of {names}, so it is not compared.")
    return lines


def _notes_on_methods(result: ComparisonResult) -> list[str]:
    comparison = result.comparison
    level, drawn = f"{100 * comparison.level:g} %", comparison.bootstrap
    lines = [
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


def _p_value(p: float) -> str:
    if math.isnan(p):
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _tested(pair: Pair, metric: str) -> str:
    if metric == "auroc":
        return f"{_p_value(pair.delong.p)} DeLong"
    if metric in pair.mcnemar:
        return f"{_p_value(pair.mcnemar[metric].p)} McNemar"
    return ""


def _short(value: Any) -> str:
    text = repr(value)  # also escapes what is not printable
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
