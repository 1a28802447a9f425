"""Compares the speed of PneumoJAX, Keras, PyTorch and ONNX Runtime on this machine.

Command:   pip install -r requirements.txt -r requirements-bench.txt
           python -m benchmarks.against_peers --peer-python=<python with torch> [contest ...]
Contests:  train_step, inception_v3, inference, latency, input, startup; all by default.
Each contestant is a process of its own, new for each contest. A round asks each of them for the
same work in turn, so that other work of the machine slows all alike. A contestant that cannot run
is listed with the reason, and the others continue.
Steps and inference are measured in two states. Before its turn a contestant is idle for five
seconds, in which a matrix product uses all cores; its first play shows what the pause costs, and
the median of the plays that follow at once is its steady speed. The system's counters of both are
stored too. Results go to a folder for the kind of core, such as records/performance/avx2/.
Use a separate environment for PyTorch, to get its CPU build instead of the CUDA build:
           python3.11 -m venv torch-env
           torch-env/bin/pip install torch==2.13.0 numpy pillow
The contest inception_v3 also needs torchvision; torch 2.14.1 and torchvision 0.29.1 fit together.
"""

import argparse
import datetime
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.contest_summary import print_table, summary
from benchmarks.contestants import CONTESTS, STATES, Contestant, contestants_of, other_work
from benchmarks.hardware import hardware, kind_of_core
from pneumojax.data import phantom_films
from pneumojax.data.films import SUFFIXES
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]

PARAMETERS = 1_176_297  # of configs/base.py
INCEPTION_V3 = 21_804_833  # of Inception-v3 with one logit, and its running statistics
SETTLE = 0.25  # seconds; threads of the last contestant may spin for this long
PAUSE = 5.0  # seconds of other work before a contestant's turn, in contests with states
# Starting the processes that decode takes as long as decoding about 100 films, once for each pass.
DRAWN = {"none": 500, "bacteria": 250, "virus": 250}
ENLARGED = 5  # synthetic films have about 200 x 250 pixels, published ones 860 x 1,270 (median)


def main() -> None:
    """Runs the contests, stores the results and prints their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contests", nargs="*", choices=[[], *CONTESTS], help="default: all")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument(
        "--films", type=Path, help="full-size films for `input`; synthetic by default"
    )
    folder = ROOT / "records" / "performance" / kind_of_core()
    parser.add_argument("--output", type=Path, default=folder)
    arguments = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"  # the peers' builds use the CPU too
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        options = {"batch": 64, "size": 150, "scratch": scratch}
        options["weights"] = f"{scratch}/weights.npz"
        for contest in arguments.contests or CONTESTS:
            if contest == "input":
                options["folder"] = str(_folder_of_films(arguments.films, Path(scratch)))
            contestants = contestants_of(contest, arguments.peer_python)
            if contest == "startup":
                number = min(arguments.rounds, 3)
                rounds = _start_up(contestants, Path(scratch), number)
            else:
                number = arguments.rounds
                rounds = _compete(contest, contestants, options, number)
            result = {
                "contest": contest,
                "command": f"python -m benchmarks.against_peers {contest} --rounds={number}",
                "date": datetime.date.today().isoformat(),
                "hardware": hardware(),
                "python": platform.python_version(),
                "contestants": rounds,
            }
            if contest == "input":
                found = Path(str(options["folder"])).rglob("*")
                result["films"] = sum(path.suffix.lower() in SUFFIXES for path in found)
            result["summary"] = summary(contest, rounds)
            write_json(arguments.output / f"{contest}.json", result)
            print_table(result)


def _compete(
    contest: str, contestants: list[Contestant], options: dict[str, Any], rounds: int
) -> dict[str, dict[str, Any]]:
    """Returns {contestant: its facts, its seconds in each round, its peak memory}."""
    results: dict[str, dict[str, Any]] = {}
    other = other_work() if contest in STATES else None
    try:
        if other:
            other.ask({"prepare": other.contest} | options)
        for contestant in contestants:
            print(f"{contest}: preparing {contestant.name} ...", file=sys.stderr, flush=True)
            facts = contestant.ask({"prepare": contestant.contest or contest} | options)
            results[contestant.name] = {"seconds": [], **facts}
        _check_alike(results, INCEPTION_V3 if contest == "inception_v3" else PARAMETERS)
        began = time.perf_counter()
        for number in range(rounds):
            able = [c for c in contestants if "error" not in results[c.name]]
            turn = number % max(len(able), 1)  # rotates the order of the contestants
            for contestant in able[turn:] + able[:turn]:
                if other:
                    other.ask({"busy": PAUSE})
                time.sleep(SETTLE)
                _note(results[contestant.name], contestant.ask({"round": True}))
            left = (time.perf_counter() - began) / (number + 1) * (rounds - number - 1)
            print(f"{contest}: round {number + 1}/{rounds}, {left:.0f} s left", file=sys.stderr)
    finally:
        for contestant in [*contestants, *([other] if other else [])]:
            contestant.close()
    return results


def _note(result: dict[str, Any], answer: dict[str, Any]) -> None:
    """Adds a round to a result. A contestant that fails in one round loses all of its rounds.

    Ratios are taken within each round, so all contestants need the same rounds.
    """
    if "error" in answer:
        result |= {"seconds": [], "error": answer["error"]}
    else:
        first, *later = answer["seconds"]
        result["seconds"].append(statistics.median(later or [first]))
        if later:
            result.setdefault("after_pause", []).append(first)
            result.setdefault("counted", []).append({"first": answer["first"]} | _per_play(answer))
            result["huge_pages"] = answer["huge_pages"]
        if "versions" in answer:
            result["versions"] = answer["versions"]
        result["peak_bytes"] = max(answer["peak_bytes"], result.get("peak_bytes", 0))


def _per_play(answer: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What the system counted for each of the later plays, on average."""
    plays = len(answer["seconds"]) - 1
    return {"later": {name: round(n / plays, 3) for name, n in answer["later"].items()}}


def _check_alike(results: dict[str, dict[str, Any]], parameters: int) -> None:
    """Ends the contest if a network has another size, or other logits from the same weights."""
    ours = results.get("PneumoJAX", {}).get("logits")
    for name, facts in results.items():
        if facts.get("parameters", parameters) != parameters:
            sys.exit(f"error: {name} has {facts['parameters']:,} parameters, not {parameters:,}")
        theirs = facts.pop("logits", None)
        if ours and theirs:
            difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
            facts["largest_logit_difference"] = difference
            if difference > 1e-3:
                sys.exit(f"error: {name} has the same weights, but its logits differ: {difference}")


def _start_up(
    contestants: list[Contestant], scratch: Path, rounds: int
) -> dict[str, dict[str, Any]]:
    """Times process start to the end of the first step, with empty and with filled caches."""
    results: dict[str, dict[str, Any]] = {
        f"{contestant.name}, {state}": {"seconds": []}
        for contestant in contestants
        for state in ("cold", "warm")
    }
    for number in range(rounds):
        for contestant in contestants:
            caches = scratch / f"{contestant.name}-{number}".replace(" ", "-")
            # The first is JAX's, as main.py sets it; the second is PyTorch's.
            names = ("JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
            for state in ("cold", "warm"):
                result = results[f"{contestant.name}, {state}"]
                if "error" in result:
                    continue
                print(
                    f"startup: round {number + 1}/{rounds}, {contestant.name}, {state} ...",
                    file=sys.stderr,
                    flush=True,
                )
                _note(result, contestant.start_up(dict.fromkeys(names, str(caches))))
    return results


def _folder_of_films(films: Path | None, scratch: Path) -> Path:
    """Returns the folder of classes given, or writes synthetic films of the published size."""
    if films is not None:
        if not films.is_dir():
            sys.exit(f"error: --films: {str(films)!r} is not a folder")
        films = films.resolve()
        return films / "train" if (films / "train").is_dir() else films
    print(f"input: no --films, so {sum(DRAWN.values()):,} films are drawn", file=sys.stderr)
    phantom_films.write_films(scratch, train=DRAWN, test={})
    rng = np.random.default_rng(0)
    for path in sorted((scratch / "train").rglob("*.jpeg")):
        with Image.open(path) as film:
            large = film.resize([ENLARGED * side for side in film.size], Image.Resampling.BICUBIC)
        pixels = np.asarray(large) + rng.standard_normal(large.size[::-1], dtype=np.float32)
        Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8)).save(path, quality=90)
    return scratch / "train"


if __name__ == "__main__":
    main()
