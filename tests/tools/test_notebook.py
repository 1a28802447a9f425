"""The notebook runs from its first to its last cell, and its stored outputs are those of a run."""

import json
import re
from pathlib import Path

import pytest

from pneumojax.disclaimer import DISCLAIMER
from tools.notebook import errors, executed

STORED = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


def notebook(*sources):
    cells = [{"cell_type": "code", "source": [source], "outputs": []} for source in sources]
    return {"cells": cells}


def outputs_of(notebook):
    return [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(notebook):
    """For each cell, the kinds of its outputs: the stream's name, or the types of a value."""
    return [
        [output.get("name") or sorted(output["data"]) for output in outputs]
        for outputs in outputs_of(notebook)
    ]


def test_a_cell_shows_what_it_prints_and_the_value_of_its_last_line():
    first, second = outputs_of(executed(notebook("x = 2\nprint('two')\nx + 1", "x = 5")))
    assert [output["output_type"] for output in first] == ["stream", "execute_result"]
    assert first[0]["text"] == ["two\n"] and first[1]["data"] == {"text/plain": ["3"]}
    assert second == []


def test_a_value_is_shown_in_every_form_that_it_offers():
    source = "class A:\n def _repr_html_(self): return '<p>a'\n def _repr_png_(self): return b'a'\n"
    ((output,),) = outputs_of(executed(notebook(source + "A()")))
    assert output["data"]["text/html"] == ["<p>a"] and output["data"]["image/png"] == "YQ=="


def test_an_error_is_stored_and_ends_the_run():
    done = executed(notebook("print('before')\n1 / 0", "print('never')"))
    assert errors(done) == ["ZeroDivisionError: division by zero"]
    (printed, _), after = outputs_of(done)
    assert printed["text"] == ["before\n"] and after == []


def test_the_stored_notebook_has_outputs_without_errors_warnings_and_paths(stored):
    assert (stored["nbformat"], stored["nbformat_minor"]) == (4, 5)
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    assert all(cell["outputs"] for cell in code)
    assert not errors(stored) and not any("stderr" in kind for kind in kinds(stored))
    shown = json.dumps(
        [output.get("text") or output["data"] for o in outputs_of(stored) for output in o]
    )
    assert DISCLAIMER in shown
    assert not re.search(r"(?<![\w.<])/(home|root|tmp|usr|work)/", shown)
    assert STORED.stat().st_size < 400_000


@pytest.mark.slow
def test_a_run_of_the_notebook_gives_outputs_of_the_stored_kinds(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = executed(stored)
    assert errors(done) == []
    assert kinds(done) == kinds(stored)
