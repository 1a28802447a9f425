"""Stores the figures of a finished run as a row of the README's tables.

Command:   python -m tools.record_run <run folder> --films="<which films>" \\
               --command="<the command that trained it>" --wall-seconds=<of that command> \\
               --output=records/results/<name>.json
Paths of the machine are reduced to names of folders.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.run.history import read_history

# Parts of metrics.json that no table shows, that the row has elsewhere, or that name files.
LEFT_OUT = {"config", "provenance", "history", "flow", "failures", "explanations", "robustness"}
LEFT_OUT |= {"shortcuts", "subgroups", "calibration", "audit"}


def row(workdir: Path, films: str, command: str, wall_seconds: float) -> dict[str, Any]:
    """Returns the row of one run; `tools/docs/results.py` describes it."""
    provenance = json.loads((workdir / "provenance.json").read_text())
    validation = json.loads((workdir / "evaluation" / "val" / "metrics.json").read_text())
    validation = {key: value for key, value in validation.items() if key not in LEFT_OUT}
    validation["root"] = Path(validation["root"]).name
    return {
        "config": json.loads((workdir / "config.json").read_text())["name"],
        "films": films,
        "command": command,
        "hardware": hardware(),
        "versions": provenance["versions"],
        "history": read_history(workdir),
        "validation": validation,
        "wall_seconds": wall_seconds,
    }


def main() -> None:
    """Stores the row of the run that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--films", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--wall-seconds", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    write_json(
        arguments.output.resolve(),
        row(arguments.workdir, arguments.films, arguments.command, arguments.wall_seconds),
    )


if __name__ == "__main__":
    main()
