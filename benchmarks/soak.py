"""Trains for hours and watches what the process holds: memory, files, threads, time for a step.

Command:   python -m benchmarks.soak --hours=2 --out=<folder for the run>
           python -m benchmarks.soak draw
The ordinary command trains a small network on the embedded films, epoch after epoch, each with a
validation and a checkpoint, until the hours are over; then it gets SIGTERM and must end saved.
Every few seconds the process is looked at from outside, by `/proc`. What was seen is written to
records/reliability/soak.json, with the medians of its quarters, and drawn by `draw`.
"""

import argparse
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.run.history import read_history
from pneumojax.terminal import duration
from tools.docs.scaling import COLORS, INK, MUTED, RULE

ROOT = Path(__file__).resolve().parents[1]

STORED = ROOT / "records" / "reliability" / "soak.json"
DRAWN = ROOT / "docs" / "images" / "soak.png"
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
POINTS = 400  # of each curve that is stored
PANELS = {
    "megabytes": "memory, MB",
    "files": "open files",
    "threads": "threads",
    "milliseconds_per_step": "milliseconds a step, by epoch",
}


def look(process: int) -> dict[str, float]:
    """What a process holds now: resident memory, open files, threads.

    Raises:
        FileNotFoundError: it is there no more.
    """
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status if ":" in line)
    return {
        "megabytes": int(fields["VmRSS"].split()[0]) * 1024 / 1e6,
        "files": len(os.listdir(f"/proc/{process}/fd")),
        "threads": int(fields["Threads"]),
    }


def quarters(values: Sequence[float]) -> list[float]:
    """The median of each quarter of a curve."""
    quarter = len(values) // 4
    return [round(statistics.median(values[i * quarter : (i + 1) * quarter]), 3) for i in range(4)]


def thinned(values: Sequence[float]) -> list[float]:
    """At most `POINTS` values: medians of as many stretches of a curve."""
    size = -(-len(values) // POINTS)
    return [round(statistics.median(values[i : i + size]), 3) for i in range(0, len(values), size)]


def soak(hours: float, out: Path) -> dict[str, Any]:
    """Trains, looks, ends; raises SystemExit where the training ended by itself or badly."""
    command = [sys.executable, "main.py", *SMALL]
    command += [f"--cache_dir={out / 'cache'}", f"--workdir={out / 'run'}"]
    curves: dict[str, list[float]] = {"seconds": [], "megabytes": [], "files": [], "threads": []}
    with open(out / "printed.txt", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        # The clock starts with the second epoch: until then things are opened and compiled.
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


def draw(result: dict[str, Any], path: Path) -> None:
    """One panel for each thing watched, against hours."""
    figure = Figure(figsize=(10, 2.6), layout="constrained", facecolor="white")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        values = result["curves"][name]
        hours = [result["hours"] * (i + 0.5) / len(values) for i in range(len(values))]
        axes.plot(hours, values, color=COLORS[2], linewidth=1)
        axes.set_ylim(0, 1.25 * max(values))
        axes.set_title(title, fontsize=9, color=INK, loc="left")
        axes.set_xlabel("hours", fontsize=9, color=INK)
        axes.grid(axis="y", color=RULE, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED, labelsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=128)
    Image.open(drawn).convert("RGB").quantize(32).save(path, optimize=True)  # a third of the bytes


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("run", "draw"), default="run")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.what == "draw":
        draw(json.loads(STORED.read_text()), DRAWN)
        return
    if options.out is None:
        parser.error("--out: a folder for the run is needed")
    out = options.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    result = soak(options.hours, out)
    write_json(STORED, result)
    for name, title in PANELS.items():
        values = ", ".join(f"{value:g}" for value in result["quarters"][name])
        print(f"{title}: medians of the quarters {values}")


if __name__ == "__main__":
    main()
