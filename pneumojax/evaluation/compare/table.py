"""A comparison as tables: on the terminal, and as Markdown for a paper's supplement."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.evaluation.compare.comparison import COMPARED
from pneumojax.files import printable
from pneumojax.stats.estimates import LIKELIHOOD_RATIOS

HEADLINE = ("sensitivity", "specificity", "auroc", "accuracy")
TITLES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "positive_predictive_value": "PPV",
    "negative_predictive_value": "NPV",
    "f1_PNEUMONIA": "F1 of PNEUMONIA",
    "mcc": "MCC",
    "brier": "Brier score",
}
_LONGEST_VALUE = 80  # characters; comparison.json has all
HEADER = ("pair", "figure", "difference", "interval", "p")


def print_comparison(result: Mapping[str, Any]) -> None:
    """Print what `compare.compare` wrote; in 80 columns, and plain when piped."""
    console = Console(highlight=False, emoji=False)

    def say(line: str, style: str | None = None) -> None:
        console.print(line, style=style, markup=False, soft_wrap=True)

    for line in result["warnings"]:
        say(f"warning: {line}", "bold yellow")
    for line in _heading(result):
        say(line)
    if result["synthetic"]:
        say(SYNTHETIC_STAMP, "bold yellow")
    of_each = {name: network["figures"] for name, network in result["networks"].items()}
    console.print(
        _rich(
            ("", *map(_title, HEADLINE)),
            [
                (name, *(f"{_value(f)}\n{_limits(f)}" for f in map(figures.get, HEADLINE)))
                for name, figures in of_each.items()
            ],
        )
    )
    console.print(_rich(HEADER, _differences(result)))
    for line in config_lines(result["configs"]):
        say(line)
    for note in _notes(result):
        console.print(note, markup=False)
    console.print(result["disclaimer"], style="bold")


def markdown(result: Mapping[str, Any]) -> str:
    """The whole comparison as Markdown; names from files are escaped."""
    names = list(result["networks"])
    networks = result["networks"].values()
    unit = result["bootstrap"]["unit"]
    figures = []
    for figure in (*COMPARED, *LIKELIHOOD_RATIOS):
        of_each = [network["figures"][figure] for network in networks]
        figures.append((_title(figure), of_each[0]["method"], *map(_both_limits, of_each)))
    shifted = [
        (f"{row['prevalence']:g}", _title(value), *(_with_limits(n, i, value) for n in networks))
        for i, row in enumerate(next(iter(networks))["predictive_values"])
        for value in ("positive_predictive_value", "negative_predictive_value")
    ]
    counts = [
        (
            _title(figure),
            f"{pair['first']} alone {test['only_first_right']:,}",
            f"{pair['second']} alone {test['only_second_right']:,}",
            _p(test["p"]),
        )
        for pair in result["pairs"]
        for figure, test in pair["mcnemar"].items()
    ]
    parts = [
        "# Comparison",
        *(f"**warning: {_escaped(line)}**" for line in result["warnings"]),
        "\n".join(f"- {_escaped(line)}" for line in _heading(result)),
        *(["**" + SYNTHETIC_STAMP + "**"] if result["synthetic"] else []),
        "## Figures",
        f"In brackets: the interval of the method named; where that is not the {unit} bootstrap, "
        "then the bootstrap's.",
        _pipes(("figure", "method", *names), figures),
        "## Differences",
        _pipes(HEADER, _differences(result)),
        "## Calls that differ",
        "Films that one network of a pair alone called right, and McNemar's exact test.",
        _pipes(("tests", "right", "right", "p"), counts),
        "## Predictive values at other prevalences",
        _pipes(("prevalence", "figure", *names), shifted),
        "## Configs",
        "\n".join(f"- {_escaped(line)}" for line in config_lines(result["configs"])),
        "## Notes",
        "\n".join(f"- {_escaped(note)}" for note in _notes(result)),
        f"**{result['disclaimer']}**",
    ]
    return "\n\n".join(parts) + "\n"


def config_lines(configs: Mapping[str, Any]) -> list[str]:
    """In what the networks' configs differ, a line for each field."""
    lines = []
    if len(configs["known"]) > 1:
        names, different = " and ".join(configs["known"]), configs["different"]
        count = f"{len(different)} {'field' if len(different) == 1 else 'fields'}"
        lines = [f"the configs of {names} " + (f"differ in {count}:" if different else "are equal")]
        if len(different) > 1:
            lines[0] += " a difference of figures cannot be put down to one of them alone"
        for row in different:
            values = "; ".join(f"{name}: {_short(v)}" for name, v in row["values"].items())
            lines.append(f"  {printable(row['field'])}: {values}")
    if configs["unknown"]:
        names = ", ".join(configs["unknown"])
        lines.append(f"no config lies beside the predictions of {names}: what differs is unknown")
    return lines


def _short(value: Any) -> str:
    text = repr(value)  # escapes whatever is not printable
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _heading(result: Mapping[str, Any]) -> list[str]:
    people = "unknown" if result["patients"] is None else f"{result['patients']:,}"
    films = f"{result['n']:,} films, {result['prevalence']:.1%} PNEUMONIA, patients: {people}"
    return [films, *(f"{name}: {row['path']!r}" for name, row in result["networks"].items())]


def _differences(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for pair in result["pairs"]:
        tests = {"auroc": ("DeLong", pair["delong"]["p"])}
        tests |= {name: ("McNemar", test["p"]) for name, test in pair["mcnemar"].items()}
        for figure, row in pair["differences"].items():
            test, p = tests.get(figure, ("", None))
            change = "undefined" if row["difference"] is None else f"{row['difference']:+.3f}"
            tested = f"{_p(p)} {test}" if test else ""
            between = _limits(row, "+")
            rows.append(
                (f"{pair['second']} - {pair['first']}", _title(figure), change, between, tested)
            )
    return rows


def _notes(result: Mapping[str, Any]) -> list[str]:
    level, drawn = f"{100 * result['level']:g} %", result["bootstrap"]
    notes = [
        *result["notes"],
        f"{level} intervals. Of differences: {drawn['resamples']:,} bootstrap resamples of "
        f"{drawn['unit']}s, the same for all networks. Of one network: Wilson's for shares of "
        f"films, DeLong's for AUROC, Koopman's for likelihood ratios, the bootstrap for the rest.",
        "Closed-form intervals and both tests take films as independent; where patients have "
        "several films, go by the bootstrap.",
        "Intervals and tests are about these films. They do not say what another training seed "
        "would give.",
    ]
    if len(result["pairs"]) > 1:
        notes.append(f"p-values are not adjusted for there being {len(result['pairs'])} pairs.")
    return notes


def _with_limits(network: Mapping[str, Any], row: int, value: str) -> str:
    figure = network["predictive_values"][row][value]
    return f"{_value(figure)} ({_limits(figure)})"


def _both_limits(figure: Mapping[str, Any]) -> str:
    limits = [_limits(figure)]
    if not figure["method"].endswith("bootstrap"):
        limits.append(_limits(figure["bootstrap"]))
    return f"{_value(figure)} ({'; '.join(limits)})"


def _title(figure: str) -> str:
    return TITLES.get(figure, figure.replace("_", " "))


def _value(figure: Mapping[str, Any]) -> str:
    return "undefined" if figure["value"] is None else f"{figure['value']:.3f}"


def _limits(figure: Mapping[str, Any], sign: str = "") -> str:
    low, high = figure["low"], figure["high"]
    if low is None:
        return "no interval"
    return f"{low:{sign}.3f} to {high:{sign}.3f}" if high is not None else f"above {low:{sign}.3f}"


def _p(p: float | None) -> str:
    if p is None:
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _rich(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if i == 0 or column == "figure" else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _pipes(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", text)
