"""The code that predicts and evaluates imports no training code."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pneumojax"
ROOMS = ("data", "decoding", "evaluation", "inference", "isolation", "predict", "run", "serve")
OPENED = "pneumojax.predict.predict, pneumojax.serve.serve, pneumojax.evaluation.evaluate"


def test_no_module_that_looks_at_films_imports_training():
    found = set()
    for path in (path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found |= {(str(path), n) for n in names if n.startswith("pneumojax.training")}
    assert not found


def test_predicting_serving_and_evaluating_load_no_training_code():
    program = f"import sys, {OPENED}\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = result.stdout.split()
    assert "pneumojax.inference.predictor" in loaded
    assert not [name for name in loaded if name.startswith("pneumojax.training")]
