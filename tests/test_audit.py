"""The search for known vulnerabilities: some are found, none are, or it could not be made."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[1] / ".ci/audit.py")
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

FINE = {"name": "jax", "version": "0.12.0", "vulns": []}
UNASKED = {"name": "zipp", "skip_reason": "Dependency not found on PyPI"}
VULNERABLE = {
    "name": "pillow",
    "version": "12.0.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["12.1"]}, {"id": "GHSA-2", "fix_versions": []}],
}


@pytest.mark.parametrize(
    "status, packages, expected, said",
    [
        (0, [FINE, UNASKED], 0, "nothing known of 1 packages, 1 unasked"),
        (1, [FINE, VULNERABLE], 1, "pillow 12.0.0: PYSEC-1, mended in 12.1"),
        (1, [VULNERABLE], 1, "GHSA-2, mended in no version"),
        # A mirror without PyPI's JSON: pip-audit itself would call this a success.
        (0, [UNASKED, UNASKED], 0, "audit skipped: .*none of 2 packages"),
        (0, [], 0, "audit skipped"),
    ],
)
def test_the_list_decides_and_not_the_status(status, packages, expected, said):
    code, line = audit.verdict(status, json.dumps({"dependencies": packages, "fixes": []}), "")
    assert code == expected
    assert re.search(said, line)


@pytest.mark.parametrize("out", ["", "not JSON", "[]", "{}"])
def test_without_an_answer_one_line_says_why_it_was_skipped(out):
    code, line = audit.verdict(1, out, "Traceback ...\nConnectionError: api.example\n")
    assert code == 0 and line.startswith("audit skipped") and "ConnectionError" in line
    assert len(line.splitlines()) == 1
