"""Runs of initial weights, which are enough to predict with, and films in files."""

import shutil

import pytest

from pneumojax.api.load import load
from tests.predict.conftest import first, workdir

__all__ = ["first", "workdir"]


@pytest.fixture
def films(films_root):
    """The paths of 14 drawn films."""
    return sorted((films_root / "test").rglob("*.jpeg"))


@pytest.fixture
def model(workdir):
    return load(workdir)


@pytest.fixture
def pair(workdir, tmp_path, config):
    """Two run folders whose networks differ."""
    from jax import tree

    from pneumojax.inference.trained_run import open_run
    from pneumojax.run.checkpoint import Checkpoints

    other = shutil.copytree(workdir, tmp_path / "other")
    trained = open_run(other)
    half = tree.map(lambda leaf: leaf / 2, trained.params)
    Checkpoints(other / "checkpoints").save_best(2, half, trained.meta)
    return [workdir, other]
