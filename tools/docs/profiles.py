"""The table of the stored results of `--mode=profile`, which `tools/record_profile.py` stores."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pneumojax.profiling.page import seconds
from tools.docs.marks import percent, table
from tools.docs.places import PROFILES

HEADER = ("config", "step, median (p90)", "films/s", "TFLOP/s", "share of peak", "wait for data",
          "input alone, films/s", "planned memory", "peak memory", "compile")  # fmt: skip


def load(folder: Path = PROFILES) -> dict[str, dict[str, Any]]:
    """Reads {name: profile}, sorted by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def rendered() -> str:
    """Renders a row for each stored profile."""
    rows = load()
    return table(HEADER, [_cells(name, row) for name, row in rows.items()])


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    step, speed, memory = row["step"], row["speed"], row["memory_bytes"]
    return [
        f"[{name}](../records/profiles/{name}.json)",
        f"{seconds(step['median_seconds'])} ({seconds(step['p90_seconds'])})",
        f"{step['films_per_second']:,.1f}",
        f"{speed['flops_per_second'] / 1e12:.3f}",
        percent(speed["share_of_peak"], 1),
        percent(row["data"]["wait_share"], 2),
        f"{row['data']['input_alone_films_per_second']:,.0f}",
        f"{memory['planned_temp'] / 1e9:.2f} GB",
        f"{memory['process_peak'] / 1e9:.2f} GB",
        f"{row['compile']['seconds']:.1f} s",
    ]
