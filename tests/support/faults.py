"""Runs every test that injects a fault, and stores the outcomes.

Command:   python -m tests.support.faults
Signals, full and read-only disks, damaged files, lost processes: each test marked `fault` injects
one or several faults, slow tests included. The outcomes are stored in
records/reliability/faults.json, and `tools/docs/reliability.py` counts them.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.hardware import hardware
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[2]

STORED = ROOT / "records" / "reliability" / "faults.json"


def outcomes(report: Path) -> list[dict[str, Any]]:
    """Reads module, name, outcome and seconds of each test from a JUnit report."""
    rows = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        rows.append(
            {
                "module": case.get("classname", "").rsplit(".", 1)[-1].removeprefix("test_"),
                "test": case.get("name"),
                "outcome": "failed" if failed else "skipped" if skipped else "passed",
                "seconds": round(float(case.get("time", 0)), 1),
            }
        )
    return sorted(rows, key=lambda row: (row["module"], row["test"]))


def main() -> None:
    """Runs the tests and stores their outcomes."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        pytest = [sys.executable, "-m", "pytest", "-m", "fault"]
        status = subprocess.run([*pytest, f"--junitxml={report}"], cwd=ROOT).returncode
        rows = outcomes(report)
    write_json(STORED, {"hardware": hardware(), "tests": rows})
    sys.exit(status)


if __name__ == "__main__":
    main()
