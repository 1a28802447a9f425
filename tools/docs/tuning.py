"""The table and the picture of `benchmarks/tuning.py`: searches by TPE and at random."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tools.docs.drawing import COLORS, save, style
from tools.docs.marks import table
from tools.docs.places import RECORDS

STORED = RECORDS / "tuning" / "hard_films.json"
NAMES = {"tpe": "TPE", "random": "random"}
COLOR = {"tpe": COLORS[2], "random": COLORS[1]}


def best_so_far(trials: list[dict[str, Any]]) -> np.ndarray:
    """The best objective of a study after each of its trials, float64 (trials,)."""
    return np.fmax.accumulate(np.array([trial["value"] for trial in trials], np.float64))


def rendered() -> str:
    """Renders the best objective of every study, and what the kills did."""
    found = json.loads(STORED.read_text())
    rows = []
    for sampler, studies in found["studies"].items():
        best = [best_so_far(trials)[-1] for trials in studies.values()]
        each = ", ".join(f"{value:.3f}" for value in best)
        rows.append((NAMES[sampler], each, f"{np.mean(best):.3f}"))
    trials = len(found["studies"]["tpe"]["0"])
    heading = f"best AUROC of {trials} trials, by seed"
    fate = "; ".join(found["wrong"]) or "None of its trials was lost, and none was trained twice"
    return (
        f"{table(('search', heading, 'mean'), rows)}\n"
        f"The first study by TPE got SIGKILL {found['kills']} times. {fate}. "
        f"`python -m benchmarks.tuning --out=<folder>`, {found['hardware']}; "
        "[JSON](../records/tuning/hard_films.json)."
    )


def draw_stored(path: Path) -> None:
    """Draws the best trial so far of each study, thinly, and the mean of the seeds."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for sampler, studies in json.loads(STORED.read_text())["studies"].items():
        curves = np.stack([best_so_far(trials) for trials in studies.values()])
        numbers = range(1, curves.shape[1] + 1)
        for curve in curves:
            axes.step(numbers, curve, where="post", color=COLOR[sampler], linewidth=0.6, alpha=0.5)
        mean = curves.mean(axis=0)
        label = f"{NAMES[sampler]}, mean of {len(curves)} seeds"
        axes.step(numbers, mean, where="post", color=COLOR[sampler], linewidth=2, label=label)
    style(axes, "best validation AUROC so far, hard drawn films", "trials")
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    save(figure, path)
