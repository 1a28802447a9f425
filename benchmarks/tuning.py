"""Searches on the hard drawn films, by TPE and at random, with kills in the middle of one search.

Command:   python -m benchmarks.tuning --out=<folder for the studies>
Each study is the ordinary command `tune` with short trials. The first of them gets SIGKILL as often
as --kills says, each time while a trial drawn at random is trained, and starts again. The same
command continues an interrupted measurement. The record, `records/tuning/hard_films.json`, has the
objective of every trial, and says whether every trial was finished once.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.run.history import read_history

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "records" / "tuning"
SAMPLERS = ("tpe", "random")
# A trial takes some seconds: small films, a narrow network and few epochs.
TRIAL = (
    *("--config=quick", "--space=quick", "--objective=val_auroc"),
    *("--config.data.root=synthetic_hard", "--config.data.val=folder"),
    *("--config.data.image_size=48", "--config.epochs=6", "--config.checkpoint.every_steps=0"),
    *("--config.checkpoint.best_metric=auroc", "--config.log.tensorboard=False"),
    *("--config.model.stem=(8,8,16)", "--config.model.modules=((16,12,16,4,8,8),)"),
)
EPOCHS = 6


def command(folder: Path, cache_dir: Path, sampler: str, seed: int, trials: int) -> list[str]:
    """Returns the command of one study."""
    return [
        *(sys.executable, "main.py", "tune", *TRIAL, f"--config.seed={seed}"),
        *(f"--sampler={sampler}", f"--trials={trials}"),
        *(f"--workdir={folder}", f"--cache_dir={cache_dir}"),
    ]


def search(line: list[str], folder: Path, trials: int, kills: int) -> int:
    """Runs a study to its end and kills it on the way; returns how often it was killed."""
    rng, killed = random.Random(0), 0
    for trial in sorted(rng.sample(range(trials), kills)):
        wait = rng.uniform(0, 5)
        process = subprocess.Popen(line, cwd=ROOT)
        while process.poll() is None and not (folder / f"trial-{trial:04d}").exists():
            time.sleep(0.05)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    subprocess.run(line, cwd=ROOT, check=True)
    return killed


def stored_trials(folder: Path) -> list[dict[str, Any]]:
    """Reads the trials of a study with Optuna itself."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    study = optuna.load_study(study_name="tune", storage=storage)
    found = [
        {"number": trial.number, "state": trial.state.name, "value": trial.value}
        for trial in study.trials
    ]
    storage.engine.dispose()
    return found


def faults(folder: Path, trials: list[dict[str, Any]], wanted: int) -> list[str]:
    """Names the trials that were lost, were not finished, or were trained twice."""
    numbers = [trial["number"] for trial in trials]
    found = [f"trial {number} is lost" for number in range(wanted) if number not in numbers]
    found += [
        f"trial {trial['number']} is {trial['state']}"
        for trial in trials
        if trial["state"] != "COMPLETE"
    ]
    runs = sorted(path.name for path in folder.glob("trial-????"))
    if runs != [f"trial-{number:04d}" for number in range(wanted)]:
        found.append(f"there are {len(runs)} run folders")
    for run in runs:
        epochs = [line["epoch"] for line in read_history(folder / run)]
        if epochs != list(range(1, EPOCHS + 1)):
            found.append(f"{run} has the epochs {epochs}")
    return found


def main() -> None:
    """Runs all studies, checks their trials, and stores the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    out = options.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    studies: dict[str, dict[str, Any]] = {sampler: {} for sampler in SAMPLERS}
    wrong: list[str] = []
    killed_file = out / "killed.json"
    for seed in range(options.seeds):
        for sampler in SAMPLERS:
            folder = out / f"{sampler}-{seed}"
            line = command(folder, out / "cache", sampler, seed, options.trials)
            is_first = (seed, sampler) == (0, SAMPLERS[0])
            if not (folder / "tune.html").exists():
                killed = search(line, folder, options.trials, options.kills if is_first else 0)
                if is_first:
                    write_json(killed_file, killed)
            trials = stored_trials(folder)
            wrong += [f"{folder.name}: {fault}" for fault in faults(folder, trials, options.trials)]
            studies[sampler][str(seed)] = trials
    record = {
        "hardware": hardware(),
        "trial": list(TRIAL),
        "kills": json.loads(killed_file.read_text()),
        "wrong": wrong,
        "studies": studies,
    }
    STORED.mkdir(exist_ok=True)
    write_json(STORED / "hard_films.json", record)
    print(f"killed {record['kills']} times; wrong: {wrong or 'nothing'}")


if __name__ == "__main__":
    main()
