"""PneumoJAX beside Keras, PyTorch and ONNX Runtime on this machine, round by round.

Command:   pip install -r requirements-bench.txt
           python benchmarks/against_peers.py --peer-python=<python with torch> [contest ...]
Contests:  train_step, inference, latency, input, startup; all if none is named.
Each contestant is one process of its own. A round asks each for the same work, one after the
other, so that whatever else the machine does falls on all. Results go to docs/benchmarks/.
PyTorch's CPU build needs an environment of its own where the project's would bring CUDA:
           python3.11 -m venv torch-env
           torch-env/bin/pip install torch==2.13.0 numpy pillow
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from benchmarks.contestants import CONTESTS, Contestant, contestants_of  # noqa: E402
from benchmarks.performance_tables import summary, terminal_table  # noqa: E402
from pneumojax.files import write_json  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contests", nargs="*", choices=[[], *CONTESTS], help="default: all")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--films", type=Path, help="folder with class folders, for `input`")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        options = {"batch": 64, "size": 150, "weights": f"{scratch}/weights.npz"}
        for contest in arguments.contests or CONTESTS:
            if contest == "input":
                options["folder"] = str(_folder_of_films(arguments.films, Path(scratch)))
            contestants = contestants_of(contest, arguments.peer_python)
            if contest == "startup":
                rounds = _start_up(contestants, Path(scratch), arguments.rounds)
            else:
                rounds = _compete(contest, contestants, options, arguments.rounds)
            result = {
                "contest": contest,
                "command": f"python benchmarks/against_peers.py {contest}",
                "date": datetime.date.today().isoformat(),
                "hardware": _hardware(),
                "contestants": rounds,
            }
            if contest == "input":
                found = Path(options["folder"]).rglob("*")
                result["films"] = sum(p.suffix in (".jpeg", ".png") for p in found)
            result["summary"] = summary(contest, rounds)
            write_json(arguments.output / f"{contest}.json", result)
            terminal_table(result)


def _compete(
    contest: str, contestants: list[Contestant], options: dict[str, Any], rounds: int
) -> dict[str, dict[str, Any]]:
    """{contestant: what it said of itself, its seconds in each round, its peak memory}."""
    results: dict[str, dict[str, Any]] = {}
    for contestant in contestants:
        print(f"{contest}: preparing {contestant.name} ...", file=sys.stderr, flush=True)
        facts = contestant.ask({"prepare": contestant.contest or contest} | options)
        results[contestant.name] = {"seconds": [], **facts}
    able = [c for c in contestants if "error" not in results[c.name]]
    _check_alike(results)
    began = time.perf_counter()
    for number in range(1, rounds + 1):
        for contestant in able:
            answer = contestant.ask({"round": True})
            results[contestant.name]["seconds"].append(answer["seconds"])
            results[contestant.name]["peak_bytes"] = answer["peak_bytes"]
        left = (time.perf_counter() - began) / number * (rounds - number)
        print(f"{contest}: round {number}/{rounds}, {left:.0f} s left", file=sys.stderr, flush=True)
    for contestant in contestants:
        contestant.close()
    return results


def _check_alike(results: dict[str, dict[str, Any]]) -> None:
    """All have the same number of parameters, and the same logits where weights were shared."""
    counts = {facts["parameters"] for facts in results.values() if "parameters" in facts}
    assert len(counts) <= 1, f"the contestants' networks differ: {counts} parameters"
    ours = results.get("PneumoJAX", {}).get("logits")
    for facts in results.values():
        theirs = facts.pop("logits", None)
        if ours and theirs:
            difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
            facts["largest_logit_difference"] = difference
            assert difference < 1e-3, f"logits differ by {difference}"


def _start_up(
    contestants: list[Contestant], scratch: Path, rounds: int
) -> dict[str, dict[str, Any]]:
    """Seconds from process start to the end of the first step, caches empty and filled."""
    results: dict[str, dict[str, Any]] = {}
    for number in range(min(rounds, 3)):
        for contestant in contestants:
            caches = scratch / f"{contestant.name}-{number}".replace(" ", "-")
            variables = {
                "JAX_COMPILATION_CACHE_DIR": str(caches),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
                "TORCHINDUCTOR_CACHE_DIR": str(caches),
            }
            for state in ("cold", "warm"):
                print(f"startup: {contestant.name}, {state} ...", file=sys.stderr, flush=True)
                row = results.setdefault(f"{contestant.name}, {state}", {"seconds": []})
                began = time.perf_counter()
                ended = subprocess.run(
                    [*contestant.command, "startup"],
                    env=os.environ | variables,
                    capture_output=True,
                    text=True,
                )
                if ended.returncode:
                    row["error"] = (ended.stderr.strip().splitlines() or ["no message"])[-1][:300]
                else:
                    row["seconds"].append(time.perf_counter() - began)
    return results


def _folder_of_films(films: Path | None, scratch: Path) -> Path:
    """The folder given, or a hundred drawn films at the size of published ones."""
    if films is not None:
        if not films.is_dir():
            sys.exit(f"error: --films: {str(films)!r} is not a folder")
        return films.resolve()
    from pneumojax.data import phantom

    print("input: no --films, drawing some", file=sys.stderr)
    root = scratch / "films"
    if not root.exists():
        phantom.write_films(root, train={"none": 50, "bacteria": 25, "virus": 25}, test={})
    return root / "train"


def _hardware() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return f"{os.cpu_count()} cores of {model}"


if __name__ == "__main__":
    main()
