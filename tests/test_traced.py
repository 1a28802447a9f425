"""Traced programs are stored and read again, and anything that could change them traces anew."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax import traced
from pneumojax.configs import base
from pneumojax.inference.network import make_network, program_key
from pneumojax.sharding import make_mesh
from pneumojax.traced import TracedStore, store_for
from tests.support.untrained import make_run

ROOT = Path(__file__).resolve().parents[1]
X = np.linspace(0, 1, 7, dtype=np.float32)


class Maker:
    """Returns a function to trace, and counts how often it was asked to."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return lambda x: {"sin": jnp.sin(x), "parts": [x * 3, x + 1]}


def run(store, maker, key=("a",), x=X):
    return jax.jit(store.program(key, maker, x))(x)


def test_a_program_is_traced_once_and_answers_as_the_traced_one(tmp_path):
    maker, plain = Maker(), jax.jit(Maker()())(X)
    for _ in range(3):  # a new store each time, as in a new process
        answer = run(TracedStore(tmp_path), maker)
        assert jax.tree.structure(answer) == jax.tree.structure(plain)
        assert all(map(np.array_equal, jax.tree.leaves(answer), jax.tree.leaves(plain)))
    assert maker.calls == 1


@pytest.mark.parametrize("change", ["key", "shape", "type", "source", "versions", "precision"])
def test_what_could_change_a_program_traces_it_anew(tmp_path, monkeypatch, change):
    maker, store = Maker(), TracedStore(tmp_path)
    run(store, maker)
    if change in ("source", "versions"):
        monkeypatch.setattr(traced, f"_{change}", lambda: "others")
    with jax.default_matmul_precision("highest" if change == "precision" else None):
        x = {"shape": X[1:], "type": X.astype(np.float16)}.get(change, X)
        run(store, maker, ("b",) if change == "key" else ("a",), x)
    assert maker.calls == 2


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, None])
def test_a_damaged_file_is_traced_anew(tmp_path, damage):
    maker, store = Maker(), TracedStore(tmp_path)
    run(store, maker)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    flipped = whole[:99] + bytes([whole[99] ^ 1]) + whole[100:]
    file.write_bytes(flipped if damage is None else damage)
    for _ in range(2):
        assert np.array_equal(run(store, maker)["sin"], run(store, Maker(), ("b",))["sin"])
    assert maker.calls == 2


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    maker, store = Maker(), TracedStore(tmp_path / "file")
    run(store, maker)
    run(store, maker)
    assert maker.calls == 2


def test_the_oldest_files_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(traced, "MOST", 2)
    store, asked = TracedStore(tmp_path), []
    for number in (1, 2, 3, 1):
        store.facts([number], lambda number=number: asked.append(number) or number)
        os.utime(max(tmp_path.iterdir(), key=os.path.getmtime), (number, number))
    assert asked == [1, 2, 3, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_is_stored_without_a_compilation_cache_or_for_several_devices():
    mesh = make_mesh()
    assert store_for(mesh) is not None
    several = SimpleNamespace(size=2, devices=mesh.devices)
    assert store_for(several) is None
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        assert store_for(mesh) is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_stored_facts_of_a_network_are_those_of_the_network(config, tmp_path, monkeypatch, norm):
    with config.unlocked():
        config.model.norm = norm
    monkeypatch.setattr("pneumojax.inference.network.store_for", lambda mesh: None)
    built = make_network(config)
    monkeypatch.setattr("pneumojax.inference.network.store_for", lambda mesh: TracedStore(tmp_path))
    for network in (make_network(config), make_network(config)):
        assert network.abstract_params == built.abstract_params
        assert network.statistics == built.statistics
        assert (network.explains, network.views) == (built.explains, built.views)


def test_a_network_of_the_users_own_is_not_stored(config):
    assert program_key(config, "logits") is not None
    with config.unlocked():
        config.model.network = "elsewhere.networks:Own"
    assert program_key(config, "logits") is None


def test_the_key_of_a_program_holds_each_field_that_decides_an_answer():
    keys = []
    for field, value in [
        ("seed", 0),
        ("model.dropout", 0.25),
        ("data.normalise", "film"),
        ("test_time.views", ("flip",)),
        ("precision", "highest"),
    ]:
        config = base.get_config()
        config.update_from_flattened_dict({field: value})
        keys.append(json.dumps(program_key(config, "logits")))
    assert len(set(keys)) == len(keys)


PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from pneumojax import runtime
runtime.use_compilation_cache(Path({cache!r}))
from pneumojax.inference.predictor import Predictor
import numpy as np
predictor = Predictor.open([Path({run!r})])
films = np.random.default_rng(0).integers(0, 256, (5, 32, 32), np.uint8)
predictor.logits(films).tofile({out!r})
print("pneumojax.nn.inception" in sys.modules)
"""


@pytest.mark.slow
def test_a_second_process_answers_with_the_same_bits_and_without_the_network(
    config, tmp_path, cache_dir
):
    make_mesh()
    folder = make_run(tmp_path / "run", config, cache_dir)
    answers, with_network = [], []
    for cache in ("", "cache", "cache"):  # without a cache, with an empty one, with a filled one
        out = tmp_path / "logits"
        program = PROGRAM.format(cache=str(tmp_path / cache), run=str(folder), out=str(out))
        folders = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / cache) if cache else ""}
        result = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | folders,
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(out.read_bytes())
        with_network.append(result.stdout.split()[-1])
    assert with_network == ["True", "True", "False"]
    assert answers[0] == answers[1] == answers[2]
