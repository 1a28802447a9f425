"""Times one film from the start of a process to its answer, with and without stored programs.

Command:   python -m benchmarks.first_answer [--rounds=5] [--write]
Each round starts a process for each of the ways below, in turn. "cold" has an empty cache of
compiled and traced programs, "warm" has what a process before it left. A process that only imports
JAX shows how much of the time no program of this project can avoid. With --write the figures go to
the folder of this kind of core in records/performance/.
"""

import argparse
import datetime
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.hardware import hardware, kind_of_core
from pneumojax.data import phantom_films
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]
API = "import sys, pneumojax; print(pneumojax.load().predict(sys.argv[1]))"
WAYS = {  # name -> the arguments of Python, and whether the cache is emptied before
    "import jax": (["-c", "import jax; jax.devices()"], False),
    "Python, cold": (["-c", API], True),
    "Python, warm": (["-c", API], False),
    "command line, warm": ([str(ROOT / "main.py"), "predict", "--output=answer.csv"], False),
}


def main() -> None:
    """Measures, prints and stores the seconds of each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        seconds = measure(Path(scratch), arguments.rounds)
    for name, found in seconds.items():
        print(f"{name}: {statistics.median(found):.2f} s, {min(found):.2f} to {max(found):.2f}")
    if arguments.write:
        record = {
            "command": f"python -m benchmarks.first_answer --rounds={arguments.rounds} --write",
            "date": datetime.date.today().isoformat(),
            "hardware": hardware(),
            "seconds": seconds,
        }
        folder = ROOT / "records" / "performance" / kind_of_core()
        write_json(folder / "first_answer.json", record)


def measure(scratch: Path, rounds: int) -> dict[str, list[float]]:
    """The seconds of each way in each round; the films and caches lie in `scratch`."""
    phantom_films.write_films(scratch / "films", train={"none": 1}, test={})
    (film,) = (scratch / "films").rglob("*.jpeg")
    cache = scratch / "cache"
    variables = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    variables |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, (program, empty) in WAYS.items():
            if empty:
                shutil.rmtree(cache, ignore_errors=True)
            (scratch / "answer.csv").unlink(missing_ok=True)
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, *program, str(film)],
                cwd=scratch,
                env=variables,
                check=True,
                capture_output=True,
            )
            seconds[name].append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
