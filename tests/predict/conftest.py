"""A run with a checkpoint of initial weights, which is enough to predict with."""

import shutil

import jax
import pytest

from pneumojax.api.load import load
from pneumojax.data.splits import preprocessing_of
from pneumojax.inference.decision import Decision
from pneumojax.run.begin import begin
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state

DECISION = Decision("youden", 2.0, 0.4, 10, "")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a run that the first test makes and the others copy."""
    return tmp_path_factory.mktemp("first") / "run"


@pytest.fixture
def workdir(first, tmp_path, config):
    """A run folder of a small network for films of 32 pixels."""
    if not first.exists():
        begin(first, config)
        save(first, config)
    return shutil.copytree(first, tmp_path / "run")


def save(folder, config, step=1, scope=None):
    """Saves initial weights as the best checkpoint of a run, with a decision and a scope."""
    state = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))()
    meta = {
        "config": config.to_dict(),
        "class_names": ["NORMAL", "PNEUMONIA"],
        "preprocessing": preprocessing_of(config).as_dict(),
        "synthetic": False,
        "decision": DECISION._asdict(),
        "scope": scope,
    }
    Checkpoints(folder / "checkpoints").save_best(step, state.params, meta)


def predict_files(workdir, inputs, output=None, **options):
    """Predicts files with a run as the command line does."""
    return load(workdir).predict_files(inputs, output, progress=True, **options)
