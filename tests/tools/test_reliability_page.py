"""The counts on the page of reliability: no fault goes uncounted, and failures stand out."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.soak import PANELS
from tests.support import faults
from tools.docs import reliability

TESTS = Path(__file__).resolve().parents[1]


def test_every_module_that_injects_faults_is_counted_and_is_in_the_record():
    marked = {
        path.stem.removeprefix("test_")
        for path in TESTS.rglob("test_*.py")
        if re.search(r"^(@|pytestmark = .*)pytest\.mark\.fault", path.read_text(), re.MULTILINE)
    }
    counted = {module for modules in reliability.FAULTS.values() for module in modules}
    stored = json.loads(faults.STORED.read_text())["tests"]
    assert counted == marked == {row["module"] for row in stored}


def test_a_failed_test_is_counted_and_a_skipped_one_is_not():
    ends = ["passed", "skipped", "failed", "passed"]
    found = {"tests": [{"module": "storage", "outcome": end} for end in ends]}
    found["tests"].append({"module": "loop", "outcome": "failed"})
    _, count, lost = reliability.faults(found, ("storage",), "disks")
    assert count == "3 tests" and lost.startswith("**1** ")


def test_a_round_that_ended_differently_stands_out():
    found = {"kills": [{"phase": "training"}] * 3, "rounds": 3, "different": []}
    assert reliability.kills(found)[1:] == (
        "3 kills in 3 rounds",
        "none ended differently from an undisturbed run",
    )
    assert "**1** ended" in reliability.kills(found | {"different": [2]})[2]


def test_a_known_defect_that_the_fuzzer_missed_stands_out():
    rows = [{"input": 7}, {"input": 3400}]
    what, count, lost = reliability.found_again({"commit": "abc", "found": rows})
    assert "abc" in what and "2 known" in what and "3,400" in count and lost.startswith("none")
    found = {"commit": "abc", "found": [*rows, {"input": None}]}
    assert reliability.found_again(found)[2] == "**1** missed"


def test_what_grows_through_a_soak_stands_out():
    flat = {name: [1, 2, 2, 2.1] for name in PANELS}
    found = {"hours": 2, "steps": 9, "epochs": 3, "quarters": flat}
    assert reliability.soaked(found)[2].startswith("none of memory")
    found["quarters"] = flat | {"threads": [1, 2, 2, 3]}
    assert reliability.soaked(found)[2] == "**grew: threads, by 50%**"


@pytest.mark.parametrize(
    ("inside", "outcome"),
    [("", "passed"), ("<failure/>", "failed"), ("<error/>", "failed"), ("<skipped/>", "skipped")],
)
def test_what_came_of_a_test_is_read_from_pytests_report(tmp_path, inside, outcome):
    case = f'<testcase classname="tests.a.test_storage" name="test_x" time="1.26">{inside}'
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{case}</testcase></testsuite></testsuites>")
    row = {"module": "storage", "test": "test_x", "outcome": outcome, "seconds": 1.3}
    assert faults.outcomes(report) == [row]
