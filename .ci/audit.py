"""Looks for known vulnerabilities in the installed packages.

pip-audit asks PyPI's JSON interface. On a mirror without one it reports every package as "not
found" and still succeeds, so this program counts the packages that were looked up. The exit status
is 1 if vulnerabilities are known, and 0 if none is known or no package could be looked up; one line
says which.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300


def verdict(status: int, out: str, err: str) -> tuple[int, str]:
    """Returns exit status and message from pip-audit's exit status, its JSON and its errors."""
    try:
        found: list[Mapping[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = err.strip().splitlines() or [f"pip-audit ended with {status}"]
        return 0, f"audit skipped: no source of advisories can be reached ({lines[-1][:200]})"
    audited = [package for package in found if "skip_reason" not in package]
    if not audited:
        return 0, (
            f"audit skipped: no source of advisories can be reached (none of {len(found)} packages "
            "was found there)"
        )
    bad = [
        f"{package['name']} {package['version']}: {vuln['id']}, "
        f"mended in {', '.join(vuln['fix_versions']) or 'no version'}"
        for package in audited
        for vuln in package["vulns"]
    ]
    if bad:
        return 1, "\n".join(["audit: known vulnerabilities", *bad])
    return (
        0,
        f"audit: nothing known of {len(audited)} packages, {len(found) - len(audited)} unasked",
    )


def main() -> int:
    """Audits the environment of this process, which was made from the requirements."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--format=json", "--timeout=10"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
        status, said = verdict(done.returncode, done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        status, said = verdict(1, "", f"no answer in {SECONDS} s")
    print(said)
    return status


if __name__ == "__main__":
    sys.exit(main())
