"""Trains for hours and watches memory, open files, threads and the time of a step.

Command:   python -m benchmarks.soak --hours=2 --out=<folder for the run>
The ordinary command trains a small network on the embedded films. Each epoch ends with a validation
and a checkpoint. When the hours are over the process gets SIGTERM and must save and end. Every few
seconds its figures are read from `/proc`. They are stored in records/reliability/soak.json with the
medians of their quarters.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.run.history import read_history
from pneumojax.terminal import duration

ROOT = Path(__file__).resolve().parents[1]

STORED = ROOT / "records" / "reliability" / "soak.json"
SMALL = (
    "--config=configs/quick.py",
    "--config.epochs=1000000",
    "--config.data.image_size=32",
    "--config.model.norm=batch",
    "--config.average.decay=0.9",
    "--config.augment.flip=0.5",
    "--config.augment.contrast=0.3",
)
SECONDS_BETWEEN = 5.0
POINTS = 400  # stored points of each curve, at most
PANELS = {
    "megabytes": "memory, MB",
    "files": "open files",
    "threads": "threads",
    "milliseconds_per_step": "milliseconds a step, by epoch",
}


def look(process: int) -> dict[str, float]:
    """Reads the resident memory, open files and threads of a process.

    Raises:
        FileNotFoundError: the process has ended.
    """
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status if ":" in line)
    return {
        "megabytes": int(fields["VmRSS"].split()[0]) * 1024 / 1e6,
        "files": len(os.listdir(f"/proc/{process}/fd")),
        "threads": int(fields["Threads"]),
    }


def quarters(values: Sequence[float]) -> list[float]:
    """Returns the median of each quarter of a curve."""
    quarter = len(values) // 4
    return [round(statistics.median(values[i * quarter : (i + 1) * quarter]), 3) for i in range(4)]


def thinned(values: Sequence[float]) -> list[float]:
    """Shortens a curve to at most `POINTS` values, each the median of a stretch."""
    size = -(-len(values) // POINTS)
    return [round(statistics.median(values[i : i + size]), 3) for i in range(0, len(values), size)]


def soak(hours: float, out: Path) -> dict[str, Any]:
    """Trains and watches for some hours.

    Raises:
        SystemExit: the training ended by itself, or with another status than that of SIGTERM.
    """
    command = [sys.executable, "main.py", *SMALL]
    command += [f"--cache_dir={out / 'cache'}", f"--workdir={out / 'run'}"]
    curves: dict[str, list[float]] = {"seconds": [], "megabytes": [], "files": [], "threads": []}
    with open(out / "printed.txt", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        # The clock starts with the second epoch. Before it, files are opened and steps compiled.
        while process.poll() is None and len(read_history(out / "run")) < 2:
            time.sleep(0.2)
        began = said = time.monotonic()
        while process.poll() is None and (passed := time.monotonic() - began) < hours * 3600:
            curves["seconds"].append(round(passed, 1))
            for name, value in look(process.pid).items():
                curves[name].append(round(value, 1))
            if time.monotonic() - said > 60:
                said = time.monotonic()
                print(f"{duration(passed)} of {duration(hours * 3600)}", flush=True)
            time.sleep(SECONDS_BETWEEN)
        process.send_signal(signal.SIGTERM)
        if process.wait() != 128 + signal.SIGTERM:
            raise SystemExit(f"the training ended with {process.returncode}, see {log.name}")
    history = read_history(out / "run")
    curves["milliseconds_per_step"] = [1e3 * line["seconds_per_step"] for line in history[2:]]
    return {
        "command": f"python -m benchmarks.soak --hours={hours:g}",
        "hardware": hardware(),
        "hours": round(curves["seconds"][-1] / 3600, 2),
        "epochs": len(history),
        "checkpoints": len(history),
        "steps": history[-1]["step"],
        "quarters": {name: quarters(curves[name]) for name in PANELS},
        "curves": {name: thinned(values) for name, values in curves.items()},
    }


def main() -> None:
    """Trains, stores the figures and prints their medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--out", type=Path, required=True, help="folder for the run")
    options = parser.parse_args()
    out = options.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    result = soak(options.hours, out)
    write_json(STORED, result)
    for name, title in PANELS.items():
        values = ", ".join(f"{value:g}" for value in result["quarters"][name])
        print(f"{title}: medians of the quarters {values}")


if __name__ == "__main__":
    main()
