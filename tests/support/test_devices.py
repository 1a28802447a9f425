"""The record of training on several devices and processes agrees with training on one."""

import json

import numpy as np
import pytest

from tests.support import devices

STORED = json.loads(devices.STORED.read_text())


def test_the_page_names_the_command_and_the_batches_of_the_record():
    page = (devices.ROOT / "docs" / "reliability.md").read_text()
    assert STORED["command"] in page
    films, batch = STORED["films"], STORED["batch"]
    assert f"{films} films in batches of {batch}" in page and films % batch


@pytest.mark.parametrize("over, counts", [("devices", {2, 4, 8}), ("processes", {2, 4})])
def test_every_count_agrees_with_one_in_the_record(over, counts):
    rows = [row for row in STORED["rows"] if row["over"] == over]
    assert {row["count"] for row in rows if row["case"] == "augmented"} >= counts
    assert all(devices.agrees(row) for row in rows)
    assert STORED["steps"] == {"float64": 20, "float32": 1}


def test_a_difference_is_as_it_is_or_a_share_of_its_tensors_largest_value():
    one = {"losses": np.array([4.0, 2.0]), "['x'].mu": np.array([1e-3, 0.0])}
    other = {"losses": np.array([4.0, 2.1]), "['x'].mu": np.array([1e-3, 1e-4])}
    assert devices.difference(one, other, "float64") == pytest.approx(0.1)
    assert devices.difference(one, other, "float32") == pytest.approx(0.1)
    other["losses"] = one["losses"]
    assert devices.difference(one, other, "float64") == pytest.approx(1e-4)
    row = {"float64": 1e-10, "float32": 1e-4}
    assert not devices.agrees(row) and devices.agrees(row | {"float32": 1e-6})
