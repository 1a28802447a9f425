"""The result of a contest, row by row: medians, ratios to the fastest peer, shares of the peak."""

import statistics
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

OURS, PEAK = "PneumoJAX", "float32 matrix product"
BESIDE = ("ONNX Runtime", "JAX, stock")
TITLES = {
    "train_step": "Training step, batch 64",
    "inception_v3": "Training step of Inception-v3, batch 16 at 299 pixels",
    "inference": "Inference, batches of 64",
    "latency": "Inference, one film",
    "input": "Films from disk to batches of 150 pixels",
    "startup": "Process start to the end of the first step",
}
FILMS = {"train_step": 64, "inception_v3": 16, "inference": 128, "latency": 1}
UNITS = {"train_step": "s a step", "inception_v3": "s a step", "latency": "ms"}


def summary(contest: str, rounds: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Makes a row for each contestant.

    `ratio` says how many times as fast as the fastest peer a contestant was: the median over rounds
    of the peer's seconds divided by its own. Peers are Keras and PyTorch; ONNX Runtime, which
    cannot train, and stock JAX are shown but do not count. Start-ups are compared with peers in the
    same state of the caches. `share_of_peak` divides the arithmetic by that of the matrix product
    in the same round.
    """
    medians = {name: statistics.median(r["seconds"]) for name, r in rounds.items() if r["seconds"]}
    peers = [name for name in medians if not name.startswith((OURS, PEAK, *BESIDE))]
    flops = rounds.get(OURS, {}).get("flops")
    rows = []
    for name, result in rounds.items():
        row: dict[str, Any] = {"contestant": name, "versions": result.get("versions", "")}
        seconds = result["seconds"]
        if not seconds:
            rows.append(row | {"error": result.get("error", "no round")})
            continue
        quartiles = np.quantile(seconds, [0.25, 0.75]).tolist()
        row |= {"median_seconds": medians[name], "quartiles": quartiles}
        row["peak_bytes"] = result.get("peak_bytes")
        if name == PEAK:
            row["gflops"] = result["flops"] / medians[name] / 1e9
        else:
            state = name.rsplit(", ")[-1] if contest == "startup" else ""
            rivals = [peer for peer in peers if peer.endswith(state)]
            if best := min(rivals, key=medians.__getitem__, default=None):
                row["ratio"] = median_ratio(rounds[best]["seconds"], seconds)
                row |= _after_pause(result, [rounds[rival] for rival in rivals])
            if flops and rounds.get(PEAK, {}).get("seconds"):
                products = rounds[PEAK]["seconds"]
                ideal = [flops / rounds[PEAK]["flops"] * product for product in products]
                row["share_of_peak"] = median_ratio(ideal, seconds)
        rows.append(row)
    return rows


def _after_pause(result: dict[str, Any], rivals: list[dict[str, Any]]) -> dict[str, float]:
    """The median of the first plays after a pause, and their ratio to the fastest peer's."""
    if "after_pause" not in result:
        return {}
    best = min((rival["after_pause"] for rival in rivals), key=statistics.median)
    firsts = result["after_pause"]
    return {
        "after_pause_seconds": statistics.median(firsts),
        "after_pause_ratio": median_ratio(best, firsts),
    }


def median_ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def cells(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Makes headings and cells of a result as `against_peers.py` writes it."""
    contest = result["contest"]
    headings = ["", f"median {UNITS.get(contest, 's')} (quartiles)", "times the fastest peer"]
    if contest != "startup":
        headings[2:] = ["films/s", headings[2], "after a pause (times the fastest peer)"]
        headings += ["share of peak", "peak memory, GB"]
    lines = []
    for row in result["summary"]:
        if "error" in row:
            lines.append([row["contestant"], row["error"], *[""] * (len(headings) - 2)])
        else:
            lines.append(_cells_of(row, contest, FILMS.get(contest) or result.get("films")))
    used = [i for i in range(len(headings)) if i < 2 or any(line[i] for line in lines)]
    return [headings[i] for i in used], [[line[i] for i in used] for line in lines]


def _cells_of(row: dict[str, Any], contest: str, films: int | None) -> list[str]:
    median, (low, high) = row["median_seconds"], row["quartiles"]
    scale = 1e3 if contest == "latency" else 1
    line = [row["contestant"], f"{median * scale:.3g} ({low * scale:.3g} to {high * scale:.3g})"]
    ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
    if contest == "startup":
        return [*line, ratio]
    peak = f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else ""
    if "gflops" in row:
        peak = f"{row['gflops']:.0f} GFLOP/s"
    rate = films / median if films else 0
    speed = f"{rate:,.{0 if rate >= 10 else 1}f}" if rate and "gflops" not in row else ""
    memory = f"{row['peak_bytes'] / 1e9:.2f}" if row["peak_bytes"] else ""
    pause = ""
    if "after_pause_ratio" in row:
        pause = f"{row['after_pause_seconds'] * scale:.3g} ({row['after_pause_ratio']:.2f})"
    return [*line, speed, ratio, pause, peak, memory]


def versions(result: dict[str, Any]) -> str:
    """Lists the versions of all contestants, each once."""
    return ", ".join(dict.fromkeys(r["versions"] for r in result["summary"] if r["versions"]))


def print_table(result: dict[str, Any]) -> None:
    """Prints a result in the terminal."""
    headings, lines = cells(result)
    drawn = Table(*headings, title=TITLES[result["contest"]], caption=versions(result))
    for line in lines:
        drawn.add_row(*map(escape, line))
    Console().print(drawn)
