"""The package in a process of its own: what it loads, prints and leaves behind."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Modules of these names can be found, as Orbax and etils ask, but an import of them fails.
BLOCKED = """
import importlib.machinery, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        raise ImportError(spec.name + " is blocked")
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Blocked())
"""


def run(program, folder, *, as_file=False):
    """Runs a program in a folder outside the checkout; returns what it prints."""
    program = textwrap.dedent(program)
    (folder / "program.py").write_text(program)
    command = ["program.py"] if as_file else ["-c", program]
    found = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    return found.stdout


@pytest.fixture
def film(films_root):
    return str(min((films_root / "test").rglob("*.jpeg")))


def test_the_import_is_light(tmp_path):
    seconds, heavy = run(
        """
        import sys, time
        began = time.process_time()
        import pneumojax
        print(time.process_time() - began)
        print({"jax", "tensorflow", "numpy", "flax"} & set(sys.modules))
        """,
        tmp_path,
    ).splitlines()
    assert float(seconds) < 0.5 and heavy == "set()"


def test_every_public_name_can_be_imported_and_is_listed():
    import pneumojax

    for name in pneumojax.__all__:
        assert getattr(pneumojax, name) is not None and name in dir(pneumojax)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pneumojax.nothing  # noqa: B018


@pytest.mark.slow
def test_a_prediction_needs_neither_tensorflow_nor_orbax_and_prints_no_warning(film, tmp_path):
    blocked = BLOCKED.format(blocked={"tensorflow", "keras", "matplotlib", "orbax"})
    printed = run(
        blocked + f"\nimport pneumojax\nprint(pneumojax.load().predict({film!r}))", tmp_path
    )
    assert "1 film: probability of pneumonia" in printed and "Traceback" not in printed


@pytest.mark.slow
def test_a_script_without_a_guard_decodes_in_children_that_end_with_it(film, tmp_path):
    printed = run(
        f"""
        import os, time, pneumojax
        print("once")
        model = pneumojax.load()
        found = pneumojax.api.inputs.films_of([{film!r}] * 3, None)
        with model._reading(found, explain=False) as films:
            print(next(films).film is not None)  # the children wait for more
            print(open(f"/proc/self/task/{{os.getpid()}}/children").read())
            os._exit(0)  # as if it were killed
        """,
        tmp_path,
        as_file=True,
    )
    once, decoded, children = printed.splitlines()
    assert once == "once" and decoded == "True" and children.split()
    deadline = time.monotonic() + 20
    while left := [child for child in children.split() if Path(f"/proc/{child}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.parametrize("chosen", ["", "mine"])
def test_compiled_networks_are_stored_unless_the_program_chose_a_folder(tmp_path, chosen):
    printed = run(
        f"""
        import os
        os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
        import jax
        from pathlib import Path
        from pneumojax import runtime
        if {chosen!r}:
            jax.config.update("jax_compilation_cache_dir", {chosen!r})
        runtime.use_compilation_cache(Path("ours"))
        print(jax.config.jax_compilation_cache_dir)
        """,
        tmp_path,
    )
    assert printed.strip() == (chosen or "ours/xla")
