"""A run in Weights & Biases, in the child process of its tracker.

The environment decides everything else: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY, WANDB_DIR and the
key of the account.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import wandb

from pneumojax.tracking.messages import Begin
from pneumojax.tracking.tracker import Outcome, Record

_PROJECT = "pneumojax"  # unless WANDB_PROJECT names another
_TYPES = {"network": "model"}  # of an artifact, by its name; others are of type "report"


class WandbRun:
    """Records a run in W&B.

    W&B drops steps before the last one that it has, so a resumed run has none of them twice.
    Offline, each process writes a folder of its own for the same run.
    """

    def __init__(self, begin: Begin):
        self._folder = Path(begin.workdir)
        self._id = begin.id
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            id=begin.id,
            name=begin.name,
            config=dict(begin.params),
            notes=begin.tags["notice"],
            tags=[f"{name}:{text}" for name, text in begin.tags.items() if name != "notice"],
            allow_val_change=True,  # the epochs of a run may grow
            resume="allow" if os.environ.get("WANDB_MODE", "online") == "online" else None,
            settings=wandb.Settings(console="off", silent=True, save_code=False),
        )

    def write(self, record: Record) -> None:
        figures = {f"{record.kind}/{name}": value for name, value in record.figures.items()}
        self._run.log(figures, step=record.step)

    def keep(self, name: str, paths: Sequence[Path]) -> None:
        artifact = wandb.Artifact(f"{name}-{self._id}", type=_TYPES.get(name, "report"))
        for path in paths:
            if (self._folder / path).is_dir():
                artifact.add_dir(str(self._folder / path), name=str(path))
            else:
                artifact.add_file(str(self._folder / path), name=str(path))
        self._run.log_artifact(artifact)

    def flush(self) -> None:
        """Does nothing, because a process of W&B's own sends what was logged."""

    def close(self, outcome: Outcome) -> None:
        self._run.finish(exit_code=int(outcome is not Outcome.FINISHED))
