"""Stores the figures of docs/reference_model.md from the runs that they come from.

Command:   python -m tools.record_reference --reference=<run> --base=<run> \\
               --second-seed=<run> --crossvalidation=<folder> --validation=<evaluation> \\
               --released=models/reference --forecast=models/reference
Each flag replaces its own part of records/reference/card.json; other parts stay. `python -m
tools.docs` renders them, beside the search and the ablation that `tools/trials.py` stores.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.run.history import read_history
from pneumojax.run.weights_folder import WeightsFolder
from tools.protocols import protocol_figures, selection_score

STORED = Path(__file__).resolve().parents[1] / "records" / "reference" / "card.json"
POOLED = ("sensitivity", "specificity", "auroc", "accuracy", "positive_predictive_value")


def of_run(workdir: Path) -> dict[str, Any]:
    """Reads the figures of one run from its evaluation on validation."""
    result = json.loads((workdir / "evaluation" / "val" / "metrics.json").read_text())
    return {
        "config": json.loads((workdir / "config.json").read_text())["name"],
        "seed": result["config"]["seed"],
        "epoch": result["epoch"],
        **_figures_of(result),
        "history": read_history(workdir),
        "versions": result["provenance"]["versions"],
    }


def of_evaluation(folder: Path) -> dict[str, Any]:
    """Reads the figures of a published network from an evaluation of its validation films."""
    result = json.loads((folder / "metrics.json").read_text())
    found = _figures_of(result)
    return found | {"figures": found["figures"] | {name: result[name] for name in POOLED}}


def _figures_of(result: Mapping[str, Any]) -> dict[str, Any]:
    figures = protocol_figures(result)
    return {
        "films": result["n"],
        "patients": result["patients"],
        "decision": result["decision"],
        "score": selection_score(figures),
        "figures": figures,
        "calibration_error": result["calibration"]["calibrated"]["calibration_error"],
        "shortcuts": result["shortcuts"]["statistics"],
    }


def forecast(folder: Path) -> dict[str, Any]:
    """Reads the forecast that a published network comes with."""
    return WeightsFolder(folder).newest_meta()["forecast"]


def pooled(folder: Path) -> dict[str, Any]:
    """Reads the pooled figures of the films out of fold from a cross-validation."""
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
    """Reads the size of a released run, and how its weights were packed."""
    meta = WeightsFolder(folder).newest_meta()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "bytes": size,
        "decision": meta["decision"],
        "decision_of_validation": meta["decision_of_validation"],
        **meta["release"],
    }


# flag -> the function that reads its folder
READERS = {
    "reference": of_run,
    "base": of_run,
    "second_seed": of_run,
    "crossvalidation": pooled,
    "validation": of_evaluation,
    "forecast": forecast,
    "released": released,
}


def main() -> None:
    """Stores the figures of the folders that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in READERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path)
    given = parser.parse_args()
    card = json.loads(STORED.read_text()) if STORED.exists() else {}
    for name, read in READERS.items():
        if folder := getattr(given, name):
            card[name] = read(folder.resolve())
    write_json(STORED, card | {"hardware": hardware()})


if __name__ == "__main__":
    main()
