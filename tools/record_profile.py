"""Stores a result of `--mode=profile` among the records.

Command:   python -m tools.record_profile <folder>/profile.json --name=<name> \\
               --command="<the command that measured it>"
The stored file has no paths of the machine and no times of single steps. `python -m tools.docs`
renders it into docs/performance.md.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware
from pneumojax.files import write_json

PROFILES = Path(__file__).resolve().parents[1] / "records" / "profiles"
KEPT = ("config", "device", "versions", "compile", "step", "data", "work", "speed", "memory_bytes",
        "seconds_by_direction", "operations")  # fmt: skip


def kept(result: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Selects the parts of a profile.json that are stored."""
    row = {key: result[key] for key in KEPT}
    row["config"]["data"]["root"] = Path(row["config"]["data"]["root"]).name
    row["step"] = row["step"] | {"seconds": len(row["step"]["seconds"])}
    row["operations"] = row["operations"][:10]
    device = row["device"]
    machine = hardware() if device["kind"] == "cpu" else f"{device['count']} x {device['kind']}"
    return {"command": command, "hardware": machine} | row


def main() -> None:
    """Stores the profile that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path, help="a profile.json")
    parser.add_argument("--name", required=True, help="name of the stored file, without .json")
    parser.add_argument("--command", required=True, help="the command that measured it")
    arguments = parser.parse_args()
    result = json.loads(arguments.profile.read_text())
    write_json(PROFILES / f"{arguments.name}.json", kept(result, arguments.command))


if __name__ == "__main__":
    main()
