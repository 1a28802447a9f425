"""The README's tables of results, rendered from the files in records/results, one measured run each.

Command:   python -m tools.docs --write
A file holds one object: config, films, command, hardware, versions, history (the epoch lines of
metrics.jsonl), validation (metrics.json of evaluation/val) and wall_seconds of the whole command.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "records" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- results -->\n", "<!-- /results -->\n"
KEYS: dict[str, type | tuple[type, ...]] = {
    "config": str,
    "films": str,
    "command": str,
    "hardware": str,
    "versions": dict,
    "history": list,
    "validation": dict,
    "wall_seconds": (int, float),
}
FIGURES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc": "AUROC",
    "accuracy": "accuracy",
}


def load(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """{file name: row}, sorted by name.

    Raises:
        ValueError: a file is not JSON, lacks a key, or has one that is not known.
    """
    rows = {}
    for path in sorted(folder.glob("*.json")):
        row = json.loads(path.read_text())
        if row.keys() != KEYS.keys():
            raise ValueError(f"{path}: the keys differ in {sorted(row.keys() ^ KEYS.keys())}")
        wrong = [key for key, kind in KEYS.items() if not isinstance(row[key], kind)]
        if wrong or not row["history"]:
            raise ValueError(f"{path}: {wrong or 'history'} is of the wrong type or empty")
        if row["validation"]["split"] != "val":
            raise ValueError(f"{path}: only validation is shown, not {row['validation']['split']}")
        rows[path.name] = row
    return rows


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: what validation said, and what training took; a line where there is no result."""
    if not rows:
        return "No result is stored in `records/results/` yet.\n"
    names = {name: f"[{row['config']}](records/results/{name})" for name, row in rows.items()}
    scored = [
        [
            names[name],
            row["films"],
            _side(row["validation"]),
            *(_figure(row["validation"][key]) for key in FIGURES),
        ]
        for name, row in rows.items()
    ]
    trained = [
        [
            names[name],
            row["films"],
            ", ".join(f"{line['train_accuracy']:.3f}" for line in row["history"]),
            f"{statistics.median(line['seconds_per_step'] for line in row['history']):.2f}",
            f"{int(row['wall_seconds']) // 60}:{int(row['wall_seconds']) % 60:02d}",
            row["hardware"],
        ]
        for name, row in rows.items()
    ]
    return "\n".join(
        [
            *_table(["config", "films", "scored on", *FIGURES.values()], scored),
            "",
            "In brackets: 95 % intervals, Wilson's for shares of films and DeLong's for AUROC. "
            "Both take films as independent; each linked file has the bootstrap over patients "
            "beside them.",
            "",
            *_table(
                [
                    "config",
                    "films",
                    "training accuracy by epoch",
                    "seconds per step",
                    "whole run, m:ss",
                    "hardware",
                ],
                trained,
            ),
            "",
        ]
    )


def placed(readme: str, table: str) -> str:
    """The README with the text between its two markers replaced.

    Raises:
        ValueError: the markers are not there, once each.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"README.md needs {BEGIN.strip()} and {END.strip()}, once each")
    before, rest = readme.split(BEGIN)
    return before + BEGIN + "\n" + table + "\n" + END + rest.split(END)[1]


def _side(validation: Mapping[str, Any]) -> str:
    patients = f" of {validation['patients']:,} patients" if validation["patients_known"] else ""
    return f"validation, {validation['n']:,} films{patients}"


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "undefined"
    if figure["low"] is None:
        return f"{figure['value']:.3f} (no interval)"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def main() -> None:
    """Prints the tables, or puts them into the README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put them into README.md")
    table = render(load())
    if parser.parse_args().write:
        README.write_text(placed(README.read_text(), table))
    else:
        print(table, end="")


if __name__ == "__main__":
    main()
