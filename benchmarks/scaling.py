"""Times training steps by batch and film size, and starts of training by number of films.

Command:   python -m benchmarks.scaling [batch] [image_size] [films]
Each point is stored in records/performance/scaling.json as soon as it is measured, and the same
command continues after an interruption. Remove the file to measure again.
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
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.hardware import hardware
from pneumojax.data import phantom_films
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]

POINTS = {
    "batch": (8, 16, 32, 64, 128, 256),
    "image_size": (75, 100, 150, 200, 250, 300),
    "films": (100, 1_000, 5_000),
}
# The contents of the cache folder at the start. Each start leaves the next content behind.
STATES = ("nothing", "compiled steps", "compiled steps and decoded films")
Points = dict[str, dict[str, dict[str, Any]]]


def measure(curves: list[str], path: Path, rounds: int) -> Points:
    """Measures all points of some curves. Points that `path` holds are not measured again."""
    points: Points = json.loads(path.read_text())["points"] if path.exists() else {}
    kept = {
        c: [x for x, point in curve.items() if "error" not in point] for c, curve in points.items()
    }
    missing = [(c, x) for c in curves for x in POINTS[c] if str(x) not in kept.get(c, [])]
    began = time.perf_counter()
    for done, (curve, x) in enumerate(missing):
        left = (time.perf_counter() - began) / done * (len(missing) - done) if done else None
        estimate = "" if left is None else f", about {left:.0f} s left"
        print(f"{done + 1}/{len(missing)}: {curve} {x}{estimate}", file=sys.stderr, flush=True)
        point = start_up(x) if curve == "films" else step_time({curve: x}, rounds)
        points.setdefault(curve, {})[str(x)] = point | {"date": datetime.date.today().isoformat()}
        command = "python -m benchmarks.scaling"
        write_json(path, {"command": command, "hardware": hardware(), "points": points})
    return points


def step_time(change: dict[str, int], rounds: int) -> dict[str, Any]:
    """Times the training step of `configs/base.py` with another batch or film size."""
    shape = {"batch": 64, "image_size": 150} | change
    worker = Contestant("PneumoJAX", "jax")
    try:
        options = {"batch": shape["batch"], "size": shape["image_size"]}
        facts = worker.ask({"prepare": "train_step"} | options)
        answers = [worker.ask({"round": True}) for _ in range(rounds)] if "flops" in facts else []
    finally:
        worker.close()
    if errors := [a["error"] for a in (facts, *answers) if "error" in a]:
        return {"error": errors[0]}
    return {
        "seconds": [answer["seconds"][0] for answer in answers],
        "median_seconds": statistics.median(answer["seconds"][0] for answer in answers),
        "flops": facts["flops"],
        "compile_seconds": facts["compile_seconds"],
        "peak_bytes": answers[-1]["peak_bytes"],
        "versions": facts["versions"],
    }


def start_up(films: int) -> dict[str, Any]:
    """Times `main.py` from its start to its first finished step, once for each of `STATES`."""
    shares = {"none": films * 7 // 20, "bacteria": films * 8 // 20, "virus": films * 5 // 20}
    with tempfile.TemporaryDirectory() as scratch:
        root, cache = Path(scratch) / "films", Path(scratch) / "cache"
        phantom_films.write_films(root, train=shares, test={})
        found: dict[str, float] = {}
        for state in STATES:
            if state == "compiled steps":
                shutil.rmtree(cache / "films")
            seconds = _first_step(root, Path(scratch) / state, cache)
            if isinstance(seconds, str):
                return {"error": seconds}
            found[state] = seconds
        return {"films": films, "seconds": found}


def _first_step(root: Path, workdir: Path, cache: Path) -> float | str:
    """Returns the seconds to the first line of metrics, or the last line of a run that failed."""
    command = [sys.executable, str(ROOT / "main.py"), f"--config={ROOT / 'configs' / 'base.py'}"]
    command += [f"--config.data.root={root}", f"--workdir={workdir}", f"--cache_dir={cache}"]
    # A compilation cache that the environment names would speed up the starts without one.
    variables = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    metrics = workdir / "metrics.jsonl"
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        run = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        try:
            while not (metrics.exists() and metrics.stat().st_size):
                if run.poll() is not None:
                    log.seek(0)
                    return ([line for line in log.read().splitlines() if line] or ["no word"])[-1]
                time.sleep(0.02)
            return time.perf_counter() - began
        finally:
            run.kill()
            run.wait()


def main() -> None:
    """Measures the points that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("curves", nargs="*", choices=[[], *POINTS], help="default: all")
    parser.add_argument("--rounds", type=int, default=7, help="steps timed for each point")
    parser.add_argument("--output", type=Path, default=ROOT / "records" / "performance")
    arguments = parser.parse_args()
    path = arguments.output / "scaling.json"
    measure(arguments.curves or list(POINTS), path, arguments.rounds)


if __name__ == "__main__":
    main()
