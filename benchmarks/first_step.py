"""Times a training from the start of the process to the line of its first step.

Command:   python -m benchmarks.first_step [--rounds=5] [--write]
Each round starts `main.py --config=base` twice on the embedded films, in a new run folder. "cold"
has an empty cache, so the films are decoded and the step is compiled; "warm" has what the process
before it left. The process is killed when `metrics.jsonl` has the step. With --write the figures go
to the folder of this kind of core in records/performance/.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.hardware import hardware, kind_of_core
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]
STATES = ("cold", "warm")


def main() -> None:
    """Measures, prints and stores the seconds of each state."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        seconds = measure(Path(scratch), arguments.rounds)
    for state, found in seconds.items():
        print(f"{state}: {statistics.median(found):.2f} s, {min(found):.2f} to {max(found):.2f}")
    if arguments.write:
        record = {
            "command": f"python -m benchmarks.first_step --rounds={arguments.rounds} --write",
            "date": datetime.date.today().isoformat(),
            "hardware": hardware(),
            "seconds": seconds,
        }
        folder = ROOT / "records" / "performance" / kind_of_core()
        write_json(folder / "first_step.json", record)


def measure(scratch: Path, rounds: int) -> dict[str, list[float]]:
    """The seconds of each state in each round; runs and caches lie in `scratch`."""
    cache, run = scratch / "cache", scratch / "run"
    seconds: dict[str, list[float]] = {state: [] for state in STATES}
    for _ in range(rounds):
        shutil.rmtree(cache, ignore_errors=True)
        for state in STATES:
            shutil.rmtree(run, ignore_errors=True)
            seconds[state].append(first_step(run, cache))
    return seconds


def first_step(run: Path, cache: Path) -> float:
    """Seconds from the start of a training to its first step in metrics.jsonl."""
    variables = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    flags = ["--config=base", f"--workdir={run}", f"--cache_dir={cache}"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), *flags],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not has_step(run / "metrics.jsonl"):
            if process.poll() is not None:
                sys.exit(f"error: the training ended before its first step ({process.returncode})")
            time.sleep(0.01)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def has_step(log: Path) -> bool:
    """Whether the log has a whole line of a step."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return any(json.loads(line)["kind"] == "step" for line in lines if line.endswith("\n"))


if __name__ == "__main__":
    main()
