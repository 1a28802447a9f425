"""Trains the recipes of a plan one after another and stores the figures of each.

Command:   python -m tools.trials records/reference/ablation_plan.json \\
               --films=<folder with train/> --out=<folder for the runs>
The plan is written and committed before the first run. It holds a config, the hours of machine time
that may be spent, and trials, each with a name, a reason, the fields it changes, its seeds and, if
it is not the plan's, its config. In a field, {weights} stands for --weights and {out} for the
folder of the runs. With --elsewhere a trial is scored on films of another hospital too. Each
trial is an ordinary run, trained by the ordinary command and scored on its validation patients. The
same command continues, also on another machine. A trial starts only if the remaining hours suffice,
estimated from the slowest epoch so far. Figures are stored beside the plan, those of
`ablation_plan.json` in `ablation.json`; a stored trial is not trained again. `python -m tools.docs`
renders them. The config of `search_plan.json` was deleted after commit 5a34f11.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.run.history import read_history
from pneumojax.terminal import duration
from tools.elsewhere import elsewhere_figures
from tools.protocols import protocol_figures, selection_score

ROOT = Path(__file__).resolve().parents[1]


def train(name: str, command: list[str], out: Path) -> bool:
    """Runs one command to its end, and adds its seconds to `<out>/<name>.seconds`."""
    clock = out / f"{name}.seconds"
    before = spent(clock)
    began = time.monotonic()
    with open(out / f"{name}.log", "a") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(1)
            clock.write_text(f"{before + time.monotonic() - began:.1f}\n")
    return process.returncode == 0


def spent(clock: Path) -> float:
    """Reads the seconds of machine time so far."""
    return float(clock.read_text()) if clock.exists() else 0.0


def seconds_by_run(out: Path) -> dict[str, float]:
    """Reads the seconds of machine time of each run, including interrupted runs."""
    return {path.stem: spent(path) for path in sorted(out.glob("*.seconds"))}


def carry_on(seconds: dict[str, float], out: Path) -> None:
    """Restores the seconds of runs whose folders may be gone."""
    for name, value in seconds.items():
        clock = out / f"{name}.seconds"
        if not clock.exists():
            clock.write_text(f"{value:.1f}\n")


def stored_row(stored: dict[str, Any], trial: dict[str, Any], seed: int) -> dict[str, Any] | None:
    """Returns the stored row of a trial with the same changes, if there is one."""
    wanted = (trial["name"], trial["changes"], seed)
    for found in stored.get("rows", []):
        if (found["trial"], found["changes"], found["seed"]) == wanted:
            return found
    return None


def expected(fields: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    """Estimates the seconds of a run from the slowest epoch so far; 0 before the first run."""
    slowest = max((row["seconds"] / len(row["history"]) for row in rows), default=0.0)
    return slowest * fields.get("epochs", 1)


def flags(changes: dict[str, Any], weights: str, out: Path) -> list[str]:
    """Writes config fields as flags, with paths of this machine in place of their names."""
    return [
        f"--config.{field}={str(value).replace('{weights}', weights).replace('{out}', str(out))}"
        for field, value in changes.items()
    ]


def row(trial: dict[str, Any], seed: int, workdir: Path, seconds: float) -> dict[str, Any]:
    """Reads the figures of one finished run."""
    result = json.loads((workdir / "evaluation" / "val" / "metrics.json").read_text())
    figures = protocol_figures(result)
    return {
        "trial": trial["name"],
        "config": trial.get("config", ""),
        "why": trial["why"],
        "changes": trial["changes"],
        "seed": seed,
        "seconds": round(seconds),
        "score": selection_score(figures),
        "figures": figures,
        "threshold": result["decision"]["threshold"],
        "temperature": result["decision"]["temperature"],
        "films": result["n"],
        "patients": result["patients"],
        "history": read_history(workdir),
    }


def main() -> None:
    """Runs the remaining trials of a plan and stores the figures of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--films", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache-dir")
    parser.add_argument("--weights", default="imagenet", help="a file of published weights")
    parser.add_argument("--elsewhere", type=Path, help="a table of another hospital's films")
    arguments = parser.parse_args()
    plan = json.loads(arguments.plan.read_text())
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found = arguments.plan.with_name(arguments.plan.name.replace("_plan", "")).resolve()
    stored = json.loads(found.read_text()) if found.exists() else {}
    carry_on(stored.get("seconds_by_run", {}), out)
    planned = [(trial, seed) for trial in plan["trials"] for seed in trial["seeds"]]
    names = [f"{trial['name']}-{seed}" for trial, seed in planned]
    rows: dict[str, dict[str, Any]] = {
        name: before
        for name, each in zip(names, planned, strict=True)
        if (before := stored_row(stored, *each))
    }
    for name, (trial, seed) in zip(names, planned, strict=True):
        if name in rows:
            continue
        workdir = out / name
        total = sum(seconds_by_run(out).values())
        fields = plan.get("common", {}) | trial["changes"] | {"seed": seed}
        # The total already counts the seconds of an interrupted run.
        left = plan["hours"] * 3600 - total + spent(out / f"{name}.seconds")
        done = (workdir / "evaluation" / "val" / "metrics.json").exists()
        if not done and expected(fields, list(rows.values())) > left:
            print(f"{name}: not started, too little is left of {plan['hours']} hours")
            continue
        if not done:
            print(f"{name}: {duration(total)} spent so far; log in {out / name}.log", flush=True)
            recipe = trial.get("config", plan["config"])
            command = [sys.executable, "main.py", f"--config={recipe}"]
            command += [f"--config.data.root={arguments.films}", f"--workdir={workdir}"]
            command += flags(fields, arguments.weights, out)
            if arguments.cache_dir:
                command.append(f"--cache_dir={arguments.cache_dir}")
            if not train(name, command, out):
                print(f"{name}: failed, see its log")
                continue
        rows[name] = row(trial, seed, workdir, spent(out / f"{name}.seconds"))
        if arguments.elsewhere:
            rows[name]["figures"] |= elsewhere_figures(workdir, arguments.elsewhere)
        print(f"{name}: score {rows[name]['score']:.4f} in {duration(rows[name]['seconds'])}")
        by_run = seconds_by_run(out)
        summary = {"hardware": hardware(), "seconds": round(sum(by_run.values()))}
        found_rows = [rows[name] for name in names if name in rows]
        write_json(found, {"plan": plan, **summary, "seconds_by_run": by_run, "rows": found_rows})


if __name__ == "__main__":
    main()
