"""Runs a notebook's cells in order, in one new process, and stores their outputs in the file.

Command:   python -m tools.notebook notebooks/quickstart.ipynb

The cells run in a temporary folder, so the notebook holds no path of the machine. Jupyter is not
needed: a cell is plain Python, and the value of its last line is shown as Jupyter shows it, by
`_repr_html_` or `_repr_png_` if it has them. The exit status is 1 if a cell raises.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Outputs as nbformat 4.5 describes them: https://nbformat.readthedocs.io/en/stable/
Output = dict[str, Any]


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of its cells, up to the first cell that raises."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells, count, is_running = [], 0, True
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            outputs: list[Output] = []
            count += 1
            if is_running:
                outputs = list(_outputs("".join(cell["source"]), namespace, count))
                is_running = not any(output["output_type"] == "error" for output in outputs)
            cell = cell | {"execution_count": count, "outputs": outputs}
        cells.append(cell)
    return notebook | {"cells": cells}


def errors(notebook: dict[str, Any]) -> list[str]:
    """The errors among the stored outputs."""
    outputs = (output for cell in notebook["cells"] for output in cell.get("outputs", ()))
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]


def _outputs(source: str, namespace: dict[str, Any], count: int) -> Iterator[Output]:
    """Runs one cell: its printed text, the value of its last line, and its error."""
    value, failure = None, None
    printed, warned = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(warned):
        try:
            value = _value_of(source, namespace)
        except Exception as error:  # a cell may raise anything
            failure = error
    for name, stream in (("stdout", printed), ("stderr", warned)):
        if text := stream.getvalue():
            yield {"output_type": "stream", "name": name, "text": _lines(text)}
    if failure is not None:
        yield {
            "output_type": "error",
            "ename": type(failure).__name__,
            "evalue": str(failure),
            "traceback": traceback.format_exception(failure),
        }
    elif value is not None:
        data = _shown(value)
        yield {
            "output_type": "execute_result",
            "execution_count": count,
            "data": data,
            "metadata": {},
        }


def _value_of(source: str, namespace: dict[str, Any]) -> Any:
    """Executes a cell and returns the value of its last line if that is an expression."""
    tree, name = ast.parse(source), "<cell>"
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, name, "exec"), namespace)
        return None
    tree.body.pop()
    exec(compile(tree, name, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace)


def _shown(value: Any) -> dict[str, Any]:
    """A value by MIME type, each as nbformat stores it."""
    data: dict[str, Any] = {"text/plain": _lines(repr(value))}
    if html := getattr(value, "_repr_html_", None):
        data["text/html"] = _lines(html())
    if png := getattr(value, "_repr_png_", None):
        data["image/png"] = base64.b64encode(png()).decode()
    return data


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> int:
    """Runs the notebook that the argument names, and replaces it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    path = parser.parse_args().notebook.absolute()
    notebook = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        notebook = executed(notebook)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    for error in errors(notebook):
        print(error, file=sys.stderr)
    return bool(errors(notebook))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the stored numbers are those of a CPU
    sys.exit(main())
