"""Times the reference recipe from an empty cache to the evaluated report, by number of epochs.

Command:   python -m benchmarks.time_to_result --films=<folder with train/> \\
               [--epochs 16 32] [--write]
Each training is the ordinary command in a new folder. With --write its figures are added to
`time_to_result.json` in the folder of this kind of core in records/performance/.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware, kind_of_core
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "records" / "performance" / kind_of_core() / "time_to_result.json"


def measure(films: Path, epochs: int, scratch: Path) -> dict[str, Any]:
    """Trains and evaluates once; returns the seconds and the figures of the validation films."""
    run = scratch / "run"
    arguments = [
        *("--config=reference", f"--config.epochs={epochs}", f"--config.data.root={films}"),
        *(f"--workdir={run}", f"--cache_dir={scratch / 'cache'}"),
    ]
    began = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "main.py", "train", *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - began
    found = json.loads((run / "evaluation" / "val" / "metrics.json").read_text())
    compiled = re.search(r"compiled in ([\d.]+) s", process.stdout)
    assert compiled  # every training prints it
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": hardware(),
        "seconds": seconds,
        "compilation": float(compiled[1]),
        "seconds_per_step": sum(row["seconds_per_step"] for row in found["history"]) / epochs,
        "films": found["n"],
        "figures": {
            name: [found[name][part] for part in ("value", "low", "high")]
            for name in ("auroc", "sensitivity", "specificity")
        },
        "auroc_under_stress": found["robustness"]["stress"]["mean"]["auroc"]["value"],
    }


def main() -> None:
    """Measures each number of epochs in turn, prints the figures, and stores them if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--epochs", type=int, nargs="*", default=[16, 32])
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    for epochs in given.epochs:
        with tempfile.TemporaryDirectory() as scratch:
            stored[str(epochs)] = measure(given.films.resolve(), epochs, Path(scratch))
        print(epochs, stored[str(epochs)])
        if given.write:
            write_json(STORED, stored)


if __name__ == "__main__":
    main()
