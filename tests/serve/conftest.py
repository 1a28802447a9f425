"""An untrained network of a small run, as a page serves it."""

import jax
import numpy as np
import pytest

from pneumojax import run
from pneumojax.data.sides import preprocessing_of
from pneumojax.evaluation.decision import Decision
from pneumojax.training.checkpoint import Checkpoints
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state

DECISION = Decision("youden", 2.0, 0.4, 10, "")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Where the first test makes a run, for the others to read."""
    return tmp_path_factory.mktemp("serve") / "small-run"


@pytest.fixture
def workdir(run_folder, config):
    """A run folder of a small network for films of 32 pixels, of which some are called ill."""
    folder = run_folder
    if folder.exists():
        return folder
    run.begin(folder, config)
    state = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))()
    rng = np.random.default_rng([0])
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape), state["params"])
    meta = {
        "preprocessing": preprocessing_of(config).as_dict(),
        "synthetic": False,
        "decision": DECISION._asdict(),
        "scope": None,
    }
    params = jax.tree.map(lambda new, old: new.astype(old.dtype), params, state["params"])
    Checkpoints(folder / "checkpoints").save_best(1, params, meta)
    return folder
