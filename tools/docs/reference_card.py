"""The figures of docs/reference_model.md: stored from runs, and rendered from what is stored.

Command:   python -m tools.docs record --reference=<run> --base=<run> \\
               --second-seed=<run> --crossvalidation=<folder> --released=models/reference
           python -m tools.docs render
`record` writes what it is given into records/reference/card.json and leaves the rest of it. `render`
puts the tables of it, of the search and of the ablation (`tools/trials.py` wrote those)
between the marks that the page has, and draws the curves.
"""

import argparse
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.run.history import read_history
from pneumojax.terminal import duration
from tools.docs.scaling import COLORS, INK, MUTED, RULE
from tools.protocols import protocol_figures, selection_score

ROOT = Path(__file__).resolve().parents[2]

STORED = ROOT / "records" / "reference"
PAGE = ROOT / "docs" / "reference_model.md"
CURVES = ROOT / "docs" / "images" / "reference_training.png"
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
POOLED = ("sensitivity", "specificity", "auroc", "accuracy", "positive_predictive_value")


def of_run(workdir: Path) -> dict[str, Any]:
    """What the card tells of one run, from its evaluation on validation."""
    result = json.loads((workdir / "evaluation" / "val" / "metrics.json").read_text())
    figures = protocol_figures(result)
    return {
        "config": json.loads((workdir / "config.json").read_text())["name"],
        "seed": result["config"]["seed"],
        "epoch": result["epoch"],
        "films": result["n"],
        "patients": result["patients"],
        "decision": result["decision"],
        "score": selection_score(figures),
        "figures": figures,
        "calibration_error": result["calibration"]["calibrated"]["calibration_error"],
        "shortcuts": result["shortcuts"]["statistics"],
        "history": read_history(workdir),
        "versions": result["provenance"]["versions"],
    }


def pooled(folder: Path) -> dict[str, Any]:
    """What the card tells of the films out of fold."""
    result = json.loads((folder / "out_of_fold" / "metrics.json").read_text())
    return {
        "films": result["n"],
        "patients": result["patients"],
        "decision": result["decision"],
        **{name: result[name] for name in POOLED},
        "calibration_error": result["calibration"]["calibrated"]["calibration_error"],
        "matched_auroc": result["shortcuts"]["pairs"]["auroc"],
        **result["out_of_fold"],
    }


def released(folder: Path) -> dict[str, Any]:
    """Bytes, and what its checkpoint says of how it was packed."""
    (checkpoint,) = (folder / "checkpoints" / "best").iterdir()
    meta = json.loads((checkpoint / "meta" / "metadata").read_text())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "bytes": size,
        "decision": meta["decision"],
        "decision_of_validation": meta["decision_of_validation"],
        **meta["release"],
    }


def shown(figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval."""
    if figure is None or figure["value"] is None:
        return "undefined"
    if figure.get("low") is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def followed(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """How far the logit follows sharpness within each class, NORMAL first."""
    both = (figures[f"sharpness_{name}"]["value"] for name in ("normal", "pneumonia"))
    return ", ".join("undefined" if value is None else f"{value:.2f}" for value in both)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def results(card: Mapping[str, Any]) -> str:
    """Each protocol for the base recipe, the reference, and its recipe with another seed."""
    runs = [card["base"], card["reference"], card["second_seed"]]
    rows = [
        [title, *(shown(run["figures"][name]) for run in runs)] for name, title in PROTOCOLS.items()
    ]
    errors = [shown(run["calibration_error"]) for run in runs]
    rows.append(["calibration error, equally filled bins", *errors])
    rows.append(["selection score", *(f"{run['score']:.4f}" for run in runs)])
    return table(["", "base", "reference", f"reference, seed {card['second_seed']['seed']}"], rows)


def out_of_fold(card: Mapping[str, Any]) -> str:
    """Pooled figures, and how steady the threshold is."""
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
    """Trivial statistics: what they predict, and how far either network follows them."""
    of_reference = {row["name"]: row for row in card["reference"]["shortcuts"]}
    rows = []
    for row in card["base"]["shortcuts"]:
        cells = [row["title"], shown(row["auroc"])]
        for found in (row, of_reference[row["name"]]):
            cells += [
                "" if (value := found["rank_correlation"][name]) is None else f"{value:.2f}"
                for name in ("NORMAL", "PNEUMONIA")
            ]
        rows.append(cells)
    heads = ["statistic", "AUROC alone", "base, NORMAL", "base, PNEUMONIA"]
    return table([*heads, "reference, NORMAL", "reference, PNEUMONIA"], rows)


def search(found: Mapping[str, Any]) -> str:
    """Every trial, best first."""
    rows = [
        [
            row["trial"],
            str(row["seed"]),
            ", ".join(f"`{k}={v}`" for k, v in row["changes"].items()) or "none",
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
    heads += ("stressed balanced accuracy", "sharpness and logit")
    total = f"{found['seconds'] / 3600:.1f} hours of machine time on {found['hardware']}.\n\n"
    return total + table((*heads, "time"), rows)


def ablation(found: Mapping[str, Any]) -> str:
    """The recipe and each removal: mean of the seeds, each seed, and the difference."""
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
    """What was released: size, type, decision."""
    found, run = card["released"], card["reference"]
    decision, own = found["decision"], found["decision_of_validation"]
    rows = [
        ["trained", f"{run['epoch']} epochs, seed {run['seed']}"],
        ["parameters stored as", found["stored_as"]],
        ["all of the folder", f"{found['bytes'] / 1e6:.2f} MB"],
        [
            "largest change of a logit by float16",
            f"{found['largest_logit_difference_of_float16']:.4f} on {found['films']} films; "
            f"{found['calls_changed_by_float16']} calls changed",
        ],
        [
            "threshold",
            f"{decision['threshold']:.4f}: {decision['rule']}, {decision['films']:,} films",
        ],
        ["temperature", f"{decision['temperature']:.4f}"],
    ]
    if decision != own:
        rows.append(
            ["fitted on its own validation", f"{own['threshold']:.4f}, {own['temperature']:.4f}"]
        )
    return table(["released", "models/reference"], rows)


def draw_curves(card: Mapping[str, Any], path: Path) -> None:
    """Loss and AUROC by epoch, of the base recipe and the reference."""
    figure = Figure(figsize=(8, 3.2), layout="constrained", facecolor="white")
    loss, area = figure.subplots(1, 2)
    for name, colour in (("base", COLORS[0]), ("reference", COLORS[2])):
        history = card[name]["history"]
        epochs = [line["epoch"] for line in history]
        for key, style in (("train_loss", ":"), ("val_loss", "-")):
            label = f"{name}, {'training' if style == ':' else 'validation'}"
            loss.plot(epochs, [line[key] for line in history], style, color=colour, label=label)
        area.plot(epochs, [line["val_auroc"] for line in history], "-", color=colour, label=name)
    for axes, title in ((loss, "cross-entropy"), (area, "AUROC, validation")):
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=9, color=INK)
        axes.grid(axis="y", color=RULE, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED, labelsize=8)
        axes.legend(fontsize=8, frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=128)
    Image.open(drawn).convert("RGB").quantize(32).save(path, optimize=True)  # a third of the bytes


def rendered(page: str) -> str:
    """The page with what is stored between its marks."""
    for name in re.findall(r"^<!-- ([a-z ]+) -->$", page, re.MULTILINE):
        stored, table_of = PARTS[name]
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"the page needs {begin.strip()} and {end.strip()}, once each")
        text = table_of(json.loads((STORED / stored).read_text()))
        page = page.split(begin)[0] + begin + "\n" + text + "\n" + end + page.split(end)[1]
    return page


# By the mark of the page: where it is stored, and the function that makes tables of it.
PARTS = {
    "results": ("card.json", results),
    "out of fold": ("card.json", out_of_fold),
    "shortcuts": ("card.json", shortcuts),
    "search": ("search.json", search),
    "ablation": ("ablation.json", ablation),
    "released": ("card.json", packed),
}


# By the flag of `record`: what reads that folder.
RECORDED = {
    "reference": of_run,
    "base": of_run,
    "second_seed": of_run,
    "crossvalidation": pooled,
    "released": released,
}


def main() -> None:
    """Stores, or renders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("record", "render"))
    for name in ("--reference", "--base", "--second-seed", "--crossvalidation", "--released"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    if given.what == "record":
        stored = STORED / "card.json"
        card = json.loads(stored.read_text()) if stored.exists() else {}
        for name, read in RECORDED.items():
            if folder := getattr(given, name):
                card[name] = read(folder.resolve())
        write_json(stored, card | {"hardware": hardware()})
        return
    PAGE.write_text(rendered(PAGE.read_text()))
    draw_curves(json.loads((STORED / "card.json").read_text()), CURVES)


if __name__ == "__main__":
    main()
