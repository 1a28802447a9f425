"""A trained network, opened from its run folder for whatever scores films with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.inference.decision import Decision, undecided
from pneumojax.inference.network import Network, make_network
from pneumojax.run import folder as run
from pneumojax.run.agreement import (
    answering,
    check_before,
    check_config,
    check_meta,
    check_size,
)
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.sharding import make_mesh, placed


@dataclass(frozen=True)
class Trained:
    """The best checkpoint of a run, its parameters on every device of `mesh`."""

    config: ConfigDict
    network: Network
    mesh: Mesh
    params: dict
    meta: dict[str, Any]

    @property
    def decision(self) -> Decision:
        """Operating point and temperature, as fitted in training."""
        if "decision" not in self.meta:
            return undecided("the checkpoint is from a version that fitted none")
        return Decision(**self.meta["decision"])

    @property
    def answers(self) -> list[Any]:
        """All that decides a film's answer, as JSON values; equal where answers are."""
        meta = self.meta
        parts = [meta["digests"]["params"], meta["preprocessing"], answering(self.config)]
        return [*parts, list(self.decision), meta.get("scope")]

    @property
    def trained_on(self) -> str:
        """Name of the folder of films, or the stamp of drawn ones."""
        return SYNTHETIC_STAMP if self.meta["synthetic"] else Path(self.config.data.root).name


def open_run(workdir: Path, *, any_network: bool = False) -> Trained:
    """Opens a run folder.

    Args:
        any_network: the class that its config names is imported even if it is none of PneumoJAX's.

    Raises:
        UserError: no run there, one of a foreign network, or no checkpoint that can be read.
    """
    config = run.read_config(workdir)
    if not any_network:
        run.refuse_foreign_network(config, workdir)
    checkpoints = Checkpoints(workdir / "checkpoints")
    check_before(checkpoints, config)
    mesh = make_mesh()
    network = make_network(config)
    check_size(network, workdir)
    params, meta = checkpoints.restore_best(placed(network.abstract_params, mesh))
    check_meta(meta, workdir)
    check_config(meta, config, workdir)
    return Trained(config, network, mesh, params, meta)
