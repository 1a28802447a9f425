"""Stores what `--mode=profile` measured, and renders all that is stored as the page's table.

Command:   python -m tools.docs --add=<folder>/profile.json --name=<name> --write
Stored files keep no paths of the machine and no times of single steps.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from pneumojax.profiling.page import seconds
from tools.docs.marks import PAGE, placed

ROOT = Path(__file__).resolve().parents[2]

STORED = ROOT / "records" / "profiles"
KEPT = ("config", "device", "versions", "compile", "step", "data", "work", "speed", "memory_bytes",
        "seconds_by_direction", "operations")  # fmt: skip
HEADER = ("config", "step, median (p90)", "films/s", "TFLOP/s", "share of peak", "wait for data",
          "input alone, films/s", "planned memory", "peak memory", "compile")  # fmt: skip


def kept(result: Mapping[str, Any], command: str) -> dict[str, Any]:
    """What of a profile.json is stored."""
    row = {key: result[key] for key in KEPT}
    row["config"]["data"]["root"] = Path(row["config"]["data"]["root"]).name
    row["step"] = row["step"] | {"seconds": len(row["step"]["seconds"])}
    row["operations"] = row["operations"][:10]
    device = row["device"]
    machine = hardware() if device["kind"] == "cpu" else f"{device['count']} x {device['kind']}"
    return {"command": command, "hardware": machine} | row


def load(folder: Path = STORED) -> dict[str, dict[str, Any]]:
    """{name: what is stored}, sorted by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row for each stored profile."""
    lines = [f"| {' | '.join(cells)} |" for cells in (HEADER, ["---"] * len(HEADER))]
    for name, row in rows.items():
        step, speed, memory = row["step"], row["speed"], row["memory_bytes"]
        cells = [
            f"[{name}](../records/profiles/{name}.json)",
            f"{seconds(step['median_seconds'])} ({seconds(step['p90_seconds'])})",
            f"{step['films_per_second']:,.1f}",
            f"{speed['flops_per_second'] / 1e12:.3f}",
            f"{speed['share_of_peak']:.1%}".replace("%", " %"),
            f"{row['data']['wait_share']:.2%}".replace("%", " %"),
            f"{row['data']['input_alone_films_per_second']:,.0f}",
            f"{memory['planned_temp'] / 1e9:.2f} GB",
            f"{memory['process_peak'] / 1e9:.2f} GB",
            f"{row['compile']['seconds']:.1f} s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Adds a profile to the stored ones, prints the table or puts it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", type=Path, help="a profile.json")
    parser.add_argument("--name", help="of the stored file")
    parser.add_argument("--command", help="that measured it", default="")
    parser.add_argument("--write", action="store_true", help="the page")
    arguments = parser.parse_args()
    if arguments.add:
        result = json.loads(arguments.add.read_text())
        write_json(STORED / f"{arguments.name}.json", kept(result, arguments.command))
    if arguments.write:
        PAGE.write_text(placed(PAGE.read_text(), {"profiles": render(load())}))
    else:
        print(render(load()), end="")


if __name__ == "__main__":
    main()
