"""Kills a training again and again, and compares its result with that of an undisturbed one.

Command:   python -m tests.support.kills --kills=200 --out=<folder for the runs>
A round is the ordinary command on small synthetic films, from nothing to evaluated, with its own
cache of decoded films. It gets SIGKILL once in each of its phases, at a moment drawn by (seed,
number of the kill), and starts again. At last it runs to its end, and every array of its
checkpoints, every line of its metrics and its whole evaluation are compared with the undisturbed
run, bit for bit.
The same command continues an earlier campaign; the record is `<out>/kills.json`.
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

CLOCK = ("seconds_per_step", "data_wait")  # the only fields of metrics.jsonl that may differ
OF_PLACE = ("run", "provenance", "history")  # fields of metrics.json with paths or the clock
# phase -> the file or the printed words that mark its beginning, and the seconds within which the
# process is killed after that
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
    """Writes 70 synthetic films in Kaggle's layout, unless the folder exists."""
    from pneumojax.data import phantom_films

    if not folder.is_dir():
        phantom_films.write_films(folder, train={"none": 28, "bacteria": 22, "virus": 20}, test={})
    return folder


def command(films: Path, folder: Path) -> list[str]:
    """Returns the command of a training whose cache and run lie in `folder`."""
    return [
        *(sys.executable, "main.py", *SMALL, f"--config.data.root={films}"),
        *(f"--cache_dir={folder / 'cache'}", f"--workdir={folder / 'run'}"),
    ]


def environment(out: Path) -> dict[str, str]:
    """Returns the environment with a compilation cache, since all starts compile the same steps."""
    ours = {"JAX_COMPILATION_CACHE_DIR": str(out / "xla")}
    # Every start takes its steps from the cache, so that no run depends on its own compilation.
    return {**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", **ours}


def kill_once(
    line: list[str], folder: Path, env: dict[str, str], phase: str, rng: random.Random
) -> dict[str, Any] | None:
    """Starts the command and kills it in a phase; returns None if it ended before."""
    sign, within = PHASES[phase]
    wait = rng.uniform(0, within)
    folder.mkdir(exist_ok=True)
    printed = folder / "printed.txt"
    began, now = time.monotonic(), time.time()
    with open(printed, "w") as stream:
        process = subprocess.Popen(line, cwd=ROOT, env=env, stdout=stream, stderr=stream)

    def begun() -> bool:
        # Files of an earlier start are older.
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
    """Returns the modification time of a file, or 0 if the file is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def outcome(run: Path) -> dict[str, Any]:
    """Reads the parts of a run that are compared."""
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
    """Names the parts in which two outcomes differ."""
    return [part for part in one if one[part] != other[part]]


def finish(line: list[str], env: dict[str, str]) -> None:
    """Runs the command to its end.

    Raises:
        SystemExit: it failed or wrote to standard error.
    """
    result = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True)
    if result.returncode or result.stderr:
        raise SystemExit(f"{' '.join(line)}\nended with {result.returncode}:\n{result.stderr}")


def campaign(kills: int, out: Path, seed: int, log: Callable[[str], None] = print) -> dict:
    """Continues until `kills` kills in all, round by round, and returns the record."""
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
    """Runs a campaign and prints the kills of each phase."""
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
