"""Runs without training, for tests of what is done with a run afterwards."""

import jax

from pneumojax.data.out_of_distribution import fit_distribution
from pneumojax.data.splits import load_splits, preprocessing_of
from pneumojax.inference.decision import Decision
from pneumojax.run.begin import begin
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.provenance import write_provenance
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state

OWN = Decision("youden", 2.0, 0.4, 14, "")


def make_run(folder, config, cache_dir, scale=1.0):
    """Makes a run without training, whose checkpoint holds the initial weights times `scale`."""
    sides = load_splits(config, cache_dir)
    begin(folder, config)
    write_provenance(folder, sides, config)
    (folder / "metrics.jsonl").write_text(
        '{"kind": "step", "step": 1, "epoch": 1}\n{"kind": "epoch", "step": 4, "epoch": 1}\n'
    )
    params = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))().params
    meta = {
        "config": config.to_dict(),
        "class_names": ["NORMAL", "PNEUMONIA"],
        "preprocessing": preprocessing_of(config).as_dict(),
        "films": sides.fingerprint,
        "synthetic": False,
        "decision": OWN._asdict(),
        "scope": fit_distribution(sides.train),
        "epoch": 1,
    }
    scaled = jax.tree.map(lambda leaf: scale * leaf, params)
    Checkpoints(folder / "checkpoints").save_best(4, scaled, meta)
    return folder
