"""Benchmarks measure, tools render: imports go from tools and tests to benchmarks, never back."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported(path):
    """The first parts of the names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("benchmarks", {"tools", "tests"}),
        ("tests/support", {"tools"}),
        ("pneumojax", {"benchmarks", "tools", "tests"}),
        ("configs", {"benchmarks", "tools", "tests"}),
    ],
)
def test_a_folder_imports_nothing_that_is_built_on_it(folder, forbidden):
    sources = [p for p in (ROOT / folder).rglob("*.py") if not p.name.startswith("test_")]
    assert sources
    for path in sources:
        assert not imported(path) & forbidden, path


def test_the_workers_of_peers_import_nothing_of_the_project():
    for path in (ROOT / "benchmarks" / "peers").glob("*_worker.py"):
        if path.name != "jax_worker.py":
            assert not imported(path) & {"pneumojax", "configs"}, path
