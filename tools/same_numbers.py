"""Shows that a change of the code changed no number: compares the working tree with a commit.

Command:   python -m tools.same_numbers <commit> --out=<folder> [--films=<folder>] [--only=quick]

The commit is exported beside the working tree, and both run the same commands in turn on the
same machine, since bits differ between kinds of processors. These are compared bit by bit:

    quick      the checkpoint after `configs/quick.py` and every line of its metrics
    base       the same after two epochs of `configs/base.py` on the embedded films
    reference  the same after three epochs (54 steps) of `configs/reference.py` on them
    evaluate   the figures of the evaluation that ends the run of `quick`
    resume     the checkpoint of a run that the commit begins and the working tree finishes
    predict    the probability of each film in --films by `models/reference`

and, as a ratio of medians from interleaved runs, the seconds that a training step of
`configs/base.py` takes (`speed`). The exit status is 1 if any number differs. The same command
continues an interrupted comparison, because finished runs are kept in --out. Name a new folder
after a change of the code.
"""

import argparse
import csv
import io
import json
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

ROOT = Path(__file__).resolve().parents[1]
SIDES = ("before", "after")
RUNS = {
    "quick": ["--config=configs/quick.py"],
    "base": ["--config=configs/base.py", "--config.epochs=2"],
    "reference": ["--config=configs/reference.py", "--config.epochs=3"],
}
SPEED_ROUNDS = 3
MOST_SHOWN = 5
# Fields of metrics and of evaluations that describe the run or the machine.
_OF_THE_MACHINE = {"seconds", "seconds_per_step", "data_wait", "time", "run", "root", "provenance"}


@dataclass(frozen=True)
class Checked:
    """The outcome of one comparison: `compared` values, and a line for each difference."""

    subject: str
    compared: int
    differences: list[str]


@dataclass(frozen=True)
class Trees:
    """The exported commit, the working tree, and the folder that takes what both write."""

    before: Path
    after: Path
    out: Path

    def run(self, side: str, name: str, arguments: list[str]) -> None:
        """Runs `main.py` of one side, unless the command of this name has succeeded before.

        Raises:
            SystemExit: the command failed; its output is in `<out>/<side>/<name>.log`.
        """
        log = self.out / side / f"{name}.log"
        done = log.with_suffix(".done")
        if done.exists():
            return
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "main.py", f"--cache_dir={self.out / 'cache' / side}"]
        with open(log, "a") as stream:
            status = subprocess.run(
                [*command, *arguments],
                cwd=getattr(self, side),
                stdout=stream,
                stderr=subprocess.STDOUT,
            ).returncode
        if status:
            raise SystemExit(f"{side}: {' '.join(arguments)} failed; see {log}")
        done.touch()

    def folder(self, side: str, name: str) -> Path:
        """The run folder of one side."""
        return self.out / side / name


def export(commit: str, folder: Path) -> Path:
    """Unpacks a commit of this repository into `folder`, unless it was done before.

    Raises:
        SystemExit: git knows no such commit.
    """
    if not folder.exists():
        done = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True
        )
        if done.returncode:
            raise SystemExit(done.stderr.decode().strip())
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
    return folder


def compare_arrays(before: Any, after: Any) -> tuple[int, list[str]]:
    """Counts the values of two trees of arrays and names the leaves whose bits differ."""
    leaves = [dict(_named_leaves(tree)) for tree in (before, after)]
    wrong = [f"{name} exists on one side only" for name in leaves[0].keys() ^ leaves[1].keys()]
    common = leaves[0].keys() & leaves[1].keys()
    for name in sorted(common):
        one, other = (side[name] for side in leaves)
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            wrong.append(f"{name}: {one.dtype}{one.shape} -> {other.dtype}{other.shape}")
        elif one.tobytes() != other.tobytes():
            apart = np.abs(one.astype(np.float64) - other.astype(np.float64)).max()
            wrong.append(f"{name}: differs by up to {apart:.3g}")
    return sum(leaves[0][name].size for name in common), wrong


def compare_values(before: Any, after: Any) -> tuple[int, list[str]]:
    """Compares the numbers and texts that two JSON values have under the same names.

    Names on only one side are no difference: a report may gain or rename fields.
    """
    one, other = dict(_flat(before)), dict(_flat(after))
    common = one.keys() & other.keys()
    wrong = [f"{k}: {one[k]!r} -> {other[k]!r}" for k in sorted(common) if one[k] != other[k]]
    return len(common), wrong


def _named_leaves(tree: Any) -> Iterator[tuple[str, np.ndarray]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path), np.asarray(leaf)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _OF_THE_MACHINE:
                yield from _flat(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _flat(inner, f"{name}[{at}]")
    else:
        yield name, value


def checkpoint(run: Path) -> dict[str, Any]:
    """The arrays of a run's newest checkpoint, read by Orbax without this project's code."""
    newest = max((run / "checkpoints" / "latest").iterdir(), key=lambda path: int(path.name))
    with ocp.StandardCheckpointer() as reader:
        return {name: reader.restore(newest / name) for name in ("params", "training")}


def metrics(run: Path) -> list[Any]:
    """The lines of a run's metrics."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def probabilities(path: Path) -> dict[str, list[str]]:
    """The probability and call of each film in a CSV of predictions."""
    with open(path, newline="") as stream:
        return {row["file"]: [row["probability"], row["call"]] for row in csv.DictReader(stream)}


def check_run(trees: Trees, name: str) -> Checked:
    """Trains one of `RUNS` on both sides and compares checkpoints and metrics."""
    for side in SIDES:
        trees.run(side, name, [*RUNS[name], f"--workdir={trees.folder(side, name)}"])
    before, after = (trees.folder(side, name) for side in SIDES)
    arrays, wrong = compare_arrays(checkpoint(before), checkpoint(after))
    values, more = compare_values(metrics(before), metrics(after))
    return Checked(name, arrays + values, wrong + more)


def check_evaluation(trees: Trees) -> Checked:
    """Compares the figures and predictions of the evaluation of `quick`."""
    check_run(trees, "quick")
    folders = [trees.folder(side, "quick") / "evaluation" / "val" for side in SIDES]
    figures = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    values, wrong = compare_values(*figures)
    rows, more = compare_values(*(probabilities(f / "predictions.csv") for f in folders))
    return Checked("evaluate", values + rows, wrong + more)


def check_resume(trees: Trees) -> Checked:
    """Lets the working tree finish a run of the commit, and compares it with an unbroken run.

    The number of epochs is part of a run's config, so the first half is made by taking the
    later checkpoints and metrics away from a finished copy.
    """
    check_run(trees, "quick")
    whole, halved = trees.folder("before", "quick"), trees.folder("after", "resumed")
    if not halved.exists():
        subprocess.run(["cp", "-r", whole, halved], check=True)
        subprocess.run(["rm", "-rf", halved / "evaluation"], check=True)
        steps = sorted((halved / "checkpoints/latest").iterdir(), key=lambda path: int(path.name))
        for folder in [*steps[1:], *(halved / "checkpoints/best").iterdir()]:
            if int(folder.name) > int(steps[0].name):
                subprocess.run(["rm", "-rf", folder], check=True)
    trees.run("after", "resumed", [*RUNS["quick"], f"--workdir={halved}"])
    compared, wrong = compare_arrays(checkpoint(whole), checkpoint(halved))
    return Checked("resume", compared, wrong)


def check_predictions(trees: Trees, films: Path) -> Checked:
    """Compares the answers of `models/reference` on a folder of films."""
    paths = []
    for side in SIDES:
        path = trees.out / side / "predictions.csv"
        trees.run(side, "predict", ["--mode=predict", str(films), f"--output={path}"])
        paths.append(path)
    compared, wrong = compare_values(*map(probabilities, paths))
    return Checked("predict", compared, wrong)


def measure_speed(trees: Trees) -> dict[str, float]:
    """Median seconds of a training step of `configs/base.py` on each side, taken in turn."""
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for round_ in range(SPEED_ROUNDS):
        for side in SIDES:
            folder = trees.folder(side, f"profile-{round_}")
            arguments = ["--mode=profile", "--config=configs/base.py", f"--workdir={folder}"]
            trees.run(side, folder.name, arguments)
            step = json.loads((folder / "profile.json").read_text())["step"]
            seconds[side].append(step["median_seconds"])
    return {side: statistics.median(each) for side, each in seconds.items()}


def report(checked: Checked) -> None:
    """Prints one comparison."""
    state = "the same" if not checked.differences else f"{len(checked.differences)} differ"
    print(f"{checked.subject}: {checked.compared:,} values compared, {state}", flush=True)
    for line in checked.differences[:MOST_SHOWN]:
        print(f"    {line}", flush=True)


def main() -> None:
    """Runs the comparisons that --only names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--films", type=Path, help="a folder of films to predict")
    parser.add_argument("--only", help="subjects with commas between")
    given = parser.parse_args()
    out = given.out.expanduser().resolve()
    trees = Trees(export(given.commit, out / "commit"), ROOT, out)
    subjects: dict[str, Callable[[], Checked]] = {
        **{name: partial(check_run, trees, name) for name in RUNS},
        "evaluate": lambda: check_evaluation(trees),
        "resume": lambda: check_resume(trees),
    }
    if given.films:
        films = given.films.expanduser().resolve()
        subjects["predict"] = lambda: check_predictions(trees, films)
    wanted = given.only.split(",") if given.only else [*subjects, "speed"]
    if unknown := set(wanted) - {*subjects, "speed"}:
        raise SystemExit(f"--only: {', '.join(sorted(unknown))} is no subject, or needs --films")
    results = []
    for name in subjects:
        if name in wanted:
            results.append(subjects[name]())
            report(results[-1])
    if "speed" in wanted:
        speed = measure_speed(trees)
        ratio = speed["after"] / speed["before"]
        print(f"speed: {speed['before']:.3f} s -> {speed['after']:.3f} s a step ({ratio:.2f})")
    if any(checked.differences for checked in results):
        raise SystemExit("some numbers differ")


if __name__ == "__main__":
    main()
