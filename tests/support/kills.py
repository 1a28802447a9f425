"""Kills a training again and again and compares what it ends with to one that nobody disturbed.

Command:   python -m tests.support.kills --kills=200 --out=<folder for the runs>
Each round is the ordinary command on small drawn films, from nothing to evaluated, with a cache of
decoded films of its own. It gets SIGKILL once in each of its phases, at a moment drawn by
(seed, number of the kill), and is started again; then it is left to end, and every array of its
checkpoints, every line of its metrics and all of its evaluation are compared with the undisturbed
run's, bit for bit. Run the command again to go on.
What was done is in `<out>/kills.json`.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[2]

CLOCK = ("seconds_per_step", "data_wait")  # in metrics.jsonl; all that may differ
OF_PLACE = ("run", "provenance", "history")  # in metrics.json: paths, command lines, the clock
# Phase: file that appears, or words that are printed, when it begins; and seconds from then on
# within which the kill comes.
PHASES: dict[str, tuple[str, float]] = {
    "starting": ("", 2.0),
    "decoding films into the cache": ("cache/films/*.building-*", 0.1),
    "first lines of the run folder": ("run/config.json", 0.1),
    "training": ("run/metrics.jsonl", 0.3),
    "writing the best checkpoint": ("run/checkpoints/best/*tmp*", 0.3),
    "writing the latest checkpoint": ("run/checkpoints/latest/*tmp*", 0.3),
    "evaluating": ("evaluating step", 4.0),
    "writing the report": ("run/evaluation/val/*", 0.1),
}
SMALL = (
    "--config=configs/quick.py",
    "--config.epochs=4",
    "--config.batch_size=16",
    "--config.data.image_size=32",
    "--config.data.val_fraction=0.2",
    "--config.model.stem=(4,4,8)",
    "--config.model.modules=((4,4,8,2,4,4),)",
    "--config.model.norm=batch",
    "--config.augment.flip=0.5",
    "--config.average.decay=0.9",
    "--config.checkpoint.every_steps=3",
)


def draw_films(folder: Path) -> Path:
    """A folder of 70 drawn films, by Kaggle's layout."""
    from pneumojax.data import phantom_films

    if not folder.is_dir():
        phantom_films.write_films(folder, train={"none": 28, "bacteria": 22, "virus": 20}, test={})
    return folder


def command(films: Path, folder: Path) -> list[str]:
    """A training from nothing to evaluated, whose cache and run lie in `folder`."""
    return [
        *(sys.executable, "main.py", *SMALL, f"--config.data.root={films}"),
        *(f"--cache_dir={folder / 'cache'}", f"--workdir={folder / 'run'}"),
    ]


def environment(out: Path) -> dict[str, str]:
    """Compiled steps are kept beside the runs: a round would compile the same ten times over."""
    ours = {"JAX_COMPILATION_CACHE_DIR": str(out / "xla")}
    # What a run computes must not depend on which of its starts compiled a step.
    return {**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", **ours}


def kill_once(
    line: list[str], folder: Path, env: dict[str, str], phase: str, rng: random.Random
) -> dict[str, Any] | None:
    """Starts the command and kills it in a phase; None where it came to its end before."""
    sign, within = PHASES[phase]
    wait = rng.uniform(0, within)
    folder.mkdir(exist_ok=True)
    printed = folder / "printed.txt"
    began, now = time.monotonic(), time.time()
    with open(printed, "w") as stream:
        process = subprocess.Popen(line, cwd=ROOT, env=env, stdout=stream, stderr=stream)

    def begun() -> bool:
        # Files that a start before this one left are older.
        return sign in printed.read_text() or any(written(p) >= now for p in folder.glob(sign))

    while sign and process.poll() is None and not begun():
        time.sleep(0.0005)
    deadline = time.monotonic() + wait
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        return None
    return {"phase": phase, "seconds": round(time.monotonic() - began, 3)}


def written(path: Path) -> float:
    """When a file was; 0 if it is there no more."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def outcome(run: Path) -> dict[str, Any]:
    """All that a run is compared by."""
    lines = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    checkpoints = {
        str(meta.relative_to(run)): json.loads(meta.read_text())["digests"]
        for meta in sorted(run.glob("checkpoints/*/[0-9]*/meta/metadata"))
    }
    evaluation = json.loads((run / "evaluation" / "val" / "metrics.json").read_text())
    return {
        "lines": [{k: v for k, v in line.items() if k not in CLOCK} for line in lines],
        "checkpoints": checkpoints,
        "evaluation": {k: v for k, v in evaluation.items() if k not in OF_PLACE},
        "predictions": (run / "evaluation" / "val" / "predictions.csv").read_text(),
        "films": (run / "films.csv").read_text(),
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Parts of two outcomes that are not the same."""
    return [part for part in one if one[part] != other[part]]


def finish(line: list[str], env: dict[str, str]) -> None:
    """Runs the command to its end, which it must reach without a complaint."""
    result = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True)
    if result.returncode or result.stderr:
        raise SystemExit(f"{' '.join(line)}\nended with {result.returncode}:\n{result.stderr}")


def campaign(kills: int, out: Path, seed: int, log: Callable[[str], None] = print) -> dict:
    """Kills so often in all, round by round; what has been done is left as it is."""
    path = out / "kills.json"
    record: dict[str, Any] = {"seed": seed, "kills": [], "rounds": 0, "different": []}
    if path.exists():
        record = json.loads(path.read_text())
    env, films = environment(out), draw_films(out / "films")
    if not (out / "undisturbed" / "run" / "evaluation" / "val" / "predictions.csv").exists():
        finish(command(films, out / "undisturbed"), env)
    expected = outcome(out / "undisturbed" / "run")
    while len(record["kills"]) < kills:
        folder = out / "round"
        shutil.rmtree(folder, ignore_errors=True)
        line, survived = command(films, folder), []
        first = len(record["kills"])
        for number, phase in enumerate(list(PHASES)[: kills - first], start=first):
            rng = random.Random(f"{seed} {number}")
            if killed := kill_once(line, folder, env, phase, rng):
                survived.append(killed)
        finish(line, env)
        if wrong := differences(expected, outcome(folder / "run")):
            record["different"].append({"round": record["rounds"], "parts": wrong})
            folder.rename(out / f"different-{record['rounds']}")
        record["kills"] += survived
        record["rounds"] += 1
        write_json(path, record)
        log(
            f"{len(record['kills'])} of {kills} kills, {record['rounds']} rounds, "
            f"{len(record['different'])} ended otherwise than undisturbed"
        )
    return record


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    out = options.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    record = campaign(options.kills, out, options.seed)
    for phase, count in sorted(Counter(kill["phase"] for kill in record["kills"]).items()):
        print(f"{count:5}  {phase}")
    if record["different"]:
        raise SystemExit("some rounds ended otherwise; their folders are kept")


if __name__ == "__main__":
    main()
