import doctest
import json
import subprocess
import sys

import numpy as np

import pneumojax.stats
from pneumojax.stats.estimates import Estimate, json_ready
from pneumojax.stats.intervals import UNDEFINED, Interval

LISTS_MODULES = """
import importlib, json, pkgutil, sys
import pneumojax.stats
for module in pkgutil.iter_modules(pneumojax.stats.__path__, "pneumojax.stats."):
    importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


def test_the_packages_example_prints_what_it_says():
    result = doctest.testmod(pneumojax.stats)
    assert result.attempted > 0 and result.failed == 0


def test_importing_the_package_loads_neither_a_framework_nor_another_part_of_the_project():
    run = subprocess.run(
        [sys.executable, "-c", LISTS_MODULES], capture_output=True, text=True, check=True
    )
    modules = json.loads(run.stdout)
    assert "pneumojax.stats.delong" in modules
    assert not {"jax", "flax", "tensorflow", "matplotlib"} & set(modules)
    parts = {name for name in modules if name.startswith("pneumojax.")}
    assert {name.split(".")[1] for name in parts} == {"stats"}


def test_json_holds_named_fields_and_none_for_what_is_undefined():
    stored = json_ready(Estimate(0.5, 0.25, float("inf"), "koopman", UNDEFINED))
    assert stored == {
        "value": 0.5,
        "low": 0.25,
        "high": None,
        "method": "koopman",
        "bootstrap": {"low": None, "high": None},
    }
    nested = json_ready({1: (np.float32(0.5), np.array([1, 2])), "limits": [Interval(0.0, 1.0)]})
    assert nested == {"1": [0.5, [1, 2]], "limits": [{"low": 0.0, "high": 1.0}]}
    json.dumps(nested, allow_nan=False)
