"""The packed run names no film and no path, gives the same answers, and serves a fresh clone."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.errors import UserError
from pneumojax.inference.decision import Decision
from pneumojax.inference.trained_run import open_run
from pneumojax.run.film_list import read_films
from tests.support.untrained import OWN, make_run
from tools.release import release

ROOT = Path(__file__).parents[2]
OUT_OF_FOLD = Decision("youden", 1.5, 0.6, 70, "")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folders in which the first test makes a run and packs it."""
    folder = tmp_path_factory.mktemp("release")
    return folder / "run", folder / "packed"


@pytest.fixture
def packed(folders, config, cache_dir):
    """A run, the folder that it was packed into, and the figures that packing returned."""
    workdir, target = folders
    if not workdir.exists():
        make_run(workdir, config, cache_dir)
        said = release(workdir, target, cache_dir, OUT_OF_FOLD._asdict() | {"more": 1})
        (workdir / "said.json").write_text(json.dumps(said))
    return workdir, target, json.loads((workdir / "said.json").read_text())


def test_a_packed_network_is_the_run_rounded_to_float16(packed):
    workdir, target, said = packed
    before, after = open_run(workdir), open_run(target)
    assert said["stored_as"] == "float16" and said["calls_changed_by_float16"] == 0
    assert said["values"] == sum(leaf.size for leaf in jax.tree.leaves(before.params))
    for one, other in zip(
        jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True
    ):
        assert other.dtype == jnp.float32
        np.testing.assert_array_equal(np.asarray(one, np.float16), np.asarray(other))


def test_a_decision_that_is_given_is_used_and_the_runs_own_is_kept(packed):
    _, target, _ = packed
    trained = open_run(target)
    assert trained.decision == OUT_OF_FOLD
    assert trained.meta["decision_of_validation"] == OWN._asdict()
    assert trained.meta["films_source"]["licence"] == "CC BY 4.0"


def test_nothing_packed_names_a_film_a_patient_or_a_folder(packed, films_root):
    workdir, target, _ = packed
    patients = {row["patient"] for row in read_films(workdir)}
    rows = read_films(target)
    assert len(rows) == len(read_films(workdir))
    assert not patients & {row["patient"] for row in rows}
    assert {row["file"] for row in rows} == {""}
    for name in ("config.json", "provenance.json", "films.csv", "meta.json"):
        assert str(films_root.parent) not in (target / name).read_text(), name


@pytest.mark.slow
def test_what_float16_cannot_hold_is_kept_as_it_is(tmp_path, config, cache_dir):
    workdir = make_run(tmp_path / "run", config, cache_dir, scale=1e-7)
    said = release(workdir, tmp_path / "packed", cache_dir)
    assert said["stored_as"] == "float16"  # all weights round to 0, which changes no call
    with pytest.raises(UserError, match="exists already"):
        release(workdir, tmp_path / "packed", cache_dir)
    shutil.rmtree(workdir)
    workdir = make_run(workdir, config, cache_dir, scale=30.0)
    said = release(workdir, tmp_path / "kept", cache_dir)
    assert said["stored_as"] == "float32"
    assert said["largest_logit_difference_of_float16"] > said["largest_logit_difference_allowed"]
    for one, other in zip(
        jax.tree.leaves(open_run(workdir).params),
        jax.tree.leaves(open_run(tmp_path / "kept").params),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def clone(packed, tmp_path):
    """A checkout with the packed run in the place of the reference network."""
    folder = tmp_path / "clone"
    folder.mkdir()
    shutil.copy(ROOT / "main.py", folder)
    for name in ("pneumojax", "configs"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    shutil.copytree(packed[1], folder / "models" / "reference")
    return folder


def command(clone, here, *arguments):
    """Runs the clone's main.py in another folder."""
    return subprocess.run(
        [sys.executable, str(clone / "main.py"), *map(str, arguments)],
        cwd=here,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )


def listing(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.slow
def test_a_fresh_clone_predicts_without_a_run_and_writes_nothing_beside_the_network(
    clone, tmp_path, films_root
):
    before = listing(clone / "models")
    film = min((films_root / "test").rglob("*.jpeg"))
    result = command(clone, tmp_path, "--mode=predict", film)
    assert result.returncode == 0, result.stderr
    (written,) = (tmp_path / "runs" / "reference").iterdir()
    assert written.name == "predictions.csv"
    (row,) = csv.DictReader(written.read_text().splitlines())
    assert float(row["threshold"]) == OUT_OF_FOLD.threshold
    assert listing(clone / "models") == before


def test_without_the_reference_network_a_run_is_asked_for(clone, tmp_path, films_root):
    shutil.rmtree(clone / "models")
    result = command(clone, tmp_path, "--mode=predict", films_root / "test")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "needs --workdir" in result.stderr
    assert "the reference network" in result.stderr
