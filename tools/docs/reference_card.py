"""The tables of docs/reference_model.md and the curves of its trainings.

`tools/record_reference.py` stores the figures of the runs, `tools/trials.py` those of the search
and of the ablation, and `tools/record_evidence.py` those of Grad-CAM.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pneumojax.terminal import duration
from tools.docs.drawing import COLORS, save, style
from tools.docs.marks import table
from tools.docs.places import REFERENCE

LONGEST_VALUE = 20  # characters
PROTOCOLS = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc": "AUROC",
    "matched_auroc": "AUROC on matched pairs",
    "softest_specificity": "specificity, softest third of normal films",
    "stress_mean_auroc": "AUROC under stress, mean",
    "stress_worst_auroc": "AUROC under stress, worst",
    "stress_mean_specificity": "specificity under stress, mean",
    "stress_worst_specificity": "specificity under stress, worst",
    "stress_mean_sensitivity": "sensitivity under stress, mean",
    "stress_worst_sensitivity": "sensitivity under stress, worst",
    "stress_mean_balanced_accuracy": "balanced accuracy under stress, mean",
    "sharpness_normal": "correlation of sharpness and logit, NORMAL",
    "sharpness_pneumonia": "correlation of sharpness and logit, PNEUMONIA",
}


def shown(figure: Mapping[str, Any] | None) -> str:
    """Writes a figure with its interval."""
    if figure is None or figure["value"] is None:
        return "undefined"
    if figure.get("low") is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def followed(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Writes the rank correlation of sharpness and logit within each class, NORMAL first."""
    both = (figures[f"sharpness_{name}"]["value"] for name in ("normal", "pneumonia"))
    return ", ".join("undefined" if value is None else f"{value:.2f}" for value in both)


def results(card: Mapping[str, Any]) -> str:
    """Renders each protocol for the base recipe, the first recipe with two seeds, and the mean."""
    parts = ("base", "reference", "second_seed", "validation_2", "validation")
    runs = [card[part] for part in parts]
    rows = [
        [title, *(shown(run["figures"][name]) for run in runs)] for name, title in PROTOCOLS.items()
    ]
    errors = [shown(run["calibration_error"]) for run in runs]
    rows.append(["calibration error, equally filled bins", *errors])
    rows.append(["selection score", *(f"{run['score']:.4f}" for run in runs)])
    second = f"reference_1's recipe, seed {card['second_seed']['seed']}"
    return table(["", "base", "`reference_1`", second, "`reference_2`", "`reference`"], rows)


def out_of_fold(card: Mapping[str, Any]) -> str:
    """Renders pooled figures, and how much the threshold varies with the patients drawn."""
    found = card["crossvalidation"]
    names = {"accuracy": "accuracy", "positive_predictive_value": "positive predictive value"}
    names = {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"} | names
    names |= {"matched_auroc": "AUROC on matched pairs", "calibration_error": "calibration error"}
    rows = [[title, shown(found[name])] for name, title in names.items()]
    folds = ", ".join(f"{area:.4f}" for area in found["auroc_by_fold"])
    rows += [
        ["AUROC by fold", folds],
        ["threshold", f"{found['decision']['threshold']:.4f}"],
        ["temperature", f"{found['decision']['temperature']:.4f}"],
    ]
    steadiness = [
        [
            f"{row['patients']:,}",
            f"{row['means']['threshold']:.3f} ± {row['threshold']:.3f}",
            f"{row['sensitivity']:.2f}",
            f"{row['specificity']:.2f}",
        ]
        for row in found["stability"]
    ]
    heads = ("patients drawn", "threshold", "sensitivity, points", "specificity, points")
    return (
        table(["out of fold", f"{found['films']:,} films"], rows) + "\n" + table(heads, steadiness)
    )


def shortcuts(card: Mapping[str, Any]) -> str:
    """Renders how well trivial statistics predict, and their correlation with each network."""
    networks = {"base": "base", "reference_1": "reference", "reference": "validation"}
    of_network = {
        network: {row["name"]: row for row in card[part]["shortcuts"]}
        for network, part in networks.items()
    }
    rows = []
    for row in card["base"]["shortcuts"]:
        cells = [row["title"], shown(row["auroc"])]
        for found in of_network.values():
            correlations = found[row["name"]]["rank_correlation"]
            cells.append(
                "; ".join(
                    "" if (value := correlations[name]) is None else f"{value:.2f}"
                    for name in ("NORMAL", "PNEUMONIA")
                ).strip("; ")
            )
        rows.append(cells)
    return table(["statistic", "AUROC alone", *networks], rows)


def evidence(found: Mapping[str, Any]) -> str:
    """Renders the share of the evidence inside the thorax, and the pointing game."""
    rows = [
        [
            evaluation["films"],
            row["name"],
            str(row["films"]),
            str(row["without_map"]),
            str(row["without_thorax"]),
            shown(row["share"]),
            f"{row['area']:.3f}",
        ]
        for evaluation in found["evaluations"]
        for row in evaluation["classes"]
    ]
    heads = ("films", "class", "count", "without a map", "thorax not found")
    shares = ("evidence inside the thorax", "the thorax's share of the area")
    inside = table((*heads, *shares), rows)
    game = found["pointing"]
    pointing = [
        ["strongest place on the opacity", shown(game["hits"])],
        ["the same for a place drawn at random", f"{game['chance']:.3f}"],
        ["the same for the film's centre", f"{game['centre']:.3f}"],
        ["called PNEUMONIA with an opacity", shown(game["called_with_an_opacity"])],
        ["called PNEUMONIA without", shown(game["called_without"])],
    ]
    return inside + "\n" + table(("pointing game", f"{game['films']} drawn films"), pointing)


def search(found: Mapping[str, Any]) -> str:
    """Renders every trial, best first."""
    rows = [
        [
            row["trial"],
            str(row["seed"]),
            ", ".join(_change(*each) for each in row["changes"].items()) or "none",
            row["why"],
            f"{row['score']:.4f}",
            shown(row["figures"]["auroc"]),
            f"{row['figures']['matched_auroc']['value']:.3f}",
            f"{row['figures']['stress_mean_balanced_accuracy']['value']:.3f}",
            followed(row["figures"]),
            duration(row["seconds"]),
        ]
        for row in sorted(found["rows"], key=lambda row: -row["score"])
    ]
    heads = ("trial", "seed", "changes", "why", "score", "AUROC", "on matched pairs")
    stressed = ("balanced accuracy under stress", "sharpness and logit: NORMAL, PNEUMONIA")
    total = f"{found['seconds'] / 3600:.1f} hours of machine time on {found['hardware']}.\n\n"
    return total + table((*heads, *stressed, "time"), rows)


def _change(field: str, value: Any) -> str:
    """A changed field; a long value, which would make the table unreadable, is left to the plan."""
    return f"`{field}={value}`" if len(str(value)) <= LONGEST_VALUE else f"`{field}`"


def shift(found: Mapping[str, Any]) -> str:
    """Renders the trials that were chosen for films from elsewhere, in the order of the plan."""
    of_validation = ("auroc", "matched_auroc", "stress_mean_auroc", "stress_mean_balanced_accuracy")
    elsewhere = ("auroc_ap", "auroc_pa", "sensitivity", "specificity")
    names = (*of_validation, "softest_specificity", *(f"elsewhere_{name}" for name in elsewhere))
    rows = [
        [
            f"{row['trial']}, seed {row['seed']}",
            row["why"],
            *(f"{row['figures'][name]['value']:.3f}" for name in names),
            duration(row["seconds"]),
        ]
        for row in found["rows"]
    ]
    heads = [PROTOCOLS[name] for name in (*of_validation, "softest_specificity")]
    heads += [f"another hospital: {name}" for name in ("AUROC, AP", "AUROC, PA", *elsewhere[2:])]
    total = f"{found['seconds'] / 3600:.1f} hours of machine time on {found['hardware']}.\n\n"
    return total + table(["trial", "why", *heads, "time"], rows)


def views(found: Mapping[str, Any]) -> str:
    """Renders what test-time views do to AUROC on the hold-out and on another hospital's films."""
    rows = [
        [
            " and ".join(f"`{view}`" for view in choice["views"]) or "none",
            shown(choice["auroc"]),
            f"{choice['elsewhere_auroc']:.3f}",
            ""
            if not choice["views"]
            else "{value:+.3f} ({low:+.3f} to {high:+.3f})".format(**choice["difference"]),
        ]
        for choice in found["choices"]
    ]
    elsewhere = "another hospital: mean AUROC within AP and PA"
    return table(("views", "AUROC, held-out patients", elsewhere, "difference from none"), rows)


def ablation(found: Mapping[str, Any]) -> str:
    """Renders the recipe and each removal: the mean of the seeds, each seed, and the difference."""
    names = ("auroc", "matched_auroc", "stress_mean_auroc", "stress_mean_balanced_accuracy")
    by_trial: dict[str, list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        by_trial.setdefault(row["trial"], []).append(row)
    whole = next(iter(by_trial.values()))

    def mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
        return sum(row["figures"][name]["value"] for row in rows) / len(rows)

    lines = []
    for trial, rows in by_trial.items():
        cells = [trial]
        for name in names:
            each = ", ".join(f"{row['figures'][name]['value']:.3f}" for row in rows)
            change = "" if rows is whole else f" ({mean(rows, name) - mean(whole, name):+.3f})"
            cells.append(f"{mean(rows, name):.3f}{change}: {each}")
        scores = [row["score"] for row in rows]
        followed_by = "; ".join(followed(row["figures"]) for row in rows)
        lines.append([*cells, followed_by, f"{sum(scores) / len(scores):.4f}"])
    titles = [PROTOCOLS[name] for name in names]
    return table(["recipe", *titles, "sharpness and logit", "score"], lines)


def packed(card: Mapping[str, Any]) -> str:
    """Renders size, type and decision of the released networks, the present one first."""
    parts = {"reference": "released", "reference_2": "reference_2", "reference_1": "reference_1"}
    found = {f"models/{network}": card[part] for network, part in parts.items()}
    rows = {
        "parameters stored as": lambda one: one["stored_as"],
        "all of the folder": lambda one: f"{one['bytes'] / 1e6:.2f} MB",
        "largest change of a logit by float16": lambda one: (
            f"{one['largest_logit_difference_of_float16']:.4f} on {one['films']} films; "
            f"{one['calls_changed_by_float16']} calls changed"
        ),
        "threshold": lambda one: f"{one['decision']['threshold']:.4f}",
        "temperature": lambda one: f"{one['decision']['temperature']:.4f}",
        "rule for threshold and temperature; scores": lambda one: (
            f"{one['decision']['rule']}, {one['decision']['films']:,} scores"
        ),
        "threshold, temperature if fitted on its validation films": lambda one: (
            f"{one['decision_of_validation']['threshold']:.4f}, "
            f"{one['decision_of_validation']['temperature']:.4f}"
        ),
    }
    lines = [[title, *map(cell, found.values())] for title, cell in rows.items()]
    return table(["released", *found], lines)


def forecast(card: Mapping[str, Any]) -> str:
    """Renders each style that was held out, and the range that is forecast for another machine."""
    found = card["forecast"]
    rows = [
        [
            f"{group['name']}, {group['films']:,} films",
            *(shown(group[name]) for name in ("sensitivity", "specificity", "auroc")),
        ]
        for group in found["groups"]
    ]
    ranges = ("{:.3f} to {:.3f}".format(*found[name]) for name in ("sensitivity", "specificity"))
    rows.append(["forecast for another machine", *ranges, ""])
    return table(("held out", "sensitivity", "specificity", "AUROC"), rows)


def draw_curves(path: Path) -> None:
    """Draws loss and AUROC by epoch, of the base recipe and of the reference."""
    card = json.loads((REFERENCE / "card.json").read_text())
    figure = Figure(figsize=(8, 3.2), layout="constrained", facecolor="white")
    loss, area = figure.subplots(1, 2)
    for name, colour in (("base", COLORS[0]), ("reference", COLORS[2])):
        history = card[name]["history"]
        epochs = [line["epoch"] for line in history]
        for key, line_style in (("train_loss", ":"), ("val_loss", "-")):
            label = f"{name}, {'training' if line_style == ':' else 'validation'}"
            losses = [line[key] for line in history]
            loss.plot(epochs, losses, line_style, color=colour, label=label)
        area.plot(epochs, [line["val_auroc"] for line in history], "-", color=colour, label=name)
    for axes, title in ((loss, "cross-entropy"), (area, "AUROC, validation")):
        style(axes, title, "epoch")
        axes.legend(fontsize=8, frameon=False)
    save(figure, path)


# mark on the page -> file of the stored figures, and the function that renders them
PARTS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "results": ("card.json", results),
    "out of fold": ("card.json", out_of_fold),
    "shortcuts": ("card.json", shortcuts),
    "evidence": ("evidence.json", evidence),
    "search": ("search.json", search),
    "shift": ("shift.json", shift),
    "views": ("views.json", views),
    "ablation": ("ablation.json", ablation),
    "released": ("card.json", packed),
    "forecast": ("card.json", forecast),
}


def rendered(mark: str) -> str:
    """Renders the stored figures of one mark."""
    stored, render = PARTS[mark]
    return render(json.loads((REFERENCE / stored).read_text()))
