"""A trained network, opened from its run folder, with a decision by the rule of its config."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.data.classes import ClassNames
from pneumojax.data.naming import films_field
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.errors import UserError
from pneumojax.inference.decision import Decision, fit_decision
from pneumojax.inference.forward import make_batched, make_forward
from pneumojax.inference.network import Network, make_network
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.run import agreement
from pneumojax.run.stored_config import read_config, refuse_foreign_network
from pneumojax.run.weights_folder import stored_network
from pneumojax.sharding import make_mesh, placed
from pneumojax.terminal import say


@dataclass(frozen=True)
class TrainedRun:
    """The best checkpoint of a run, with its parameters on every device of `mesh`."""

    config: ConfigDict
    network: Network
    mesh: Mesh
    params: dict
    meta: dict[str, Any]

    @property
    def decision(self) -> Decision:
        """The operating point and temperature that were fitted on the validation films."""
        if self.meta["decision"] is None:  # the config's rule has changed after training
            raise UserError(
                f"config.decision of the run {self.config.name!r} has changed; "
                "evaluate it, which fits the new rule on its validation films",
                flag="workdir",
            )
        return Decision(**self.meta["decision"])

    @property
    def class_names(self) -> ClassNames:
        """The names of the two classes in everything that shows an answer."""
        return ClassNames(*self.meta["class_names"])

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(**self.meta["preprocessing"])

    @property
    def answers(self) -> list[Any]:
        """Everything that decides a film's answer, as JSON values: equal if answers are equal."""
        meta, fields = self.meta, agreement.answering(self.config)
        if fields["precision"] == "default":
            del fields["precision"]  # so that files of earlier versions keep their identity
        parts = [meta["digests"]["params"], meta["preprocessing"], fields]
        return [*parts, list(self.decision), meta.get("scope")]

    @property
    def trained_on(self) -> str:
        """Name of the folder or table of training films, or the stamp of synthetic ones."""
        data = self.config.data
        return SYNTHETIC_STAMP if self.meta["synthetic"] else Path(data.table or data.root).name


def open_run(workdir: Path, *, any_network: bool = False) -> TrainedRun:
    """Opens a run folder; a UserError says why it cannot.

    With `any_network`, the network class that its config names is imported even if it is not one of
    PneumoJAX's own. Importing runs its code.
    """
    config = read_config(workdir)
    if not any_network:
        refuse_foreign_network(config, workdir)
    checkpoints = stored_network(workdir)
    agreement.check_before(checkpoints, config)
    mesh = make_mesh()
    network = make_network(config)
    agreement.check_size(network.abstract_params, workdir)
    params, meta = checkpoints.restore_best(placed(network.abstract_params, mesh))
    agreement.check_meta(meta, workdir)
    agreement.check_config(meta, config, workdir)
    meta = meta | {"decision": agreement.current_decision(workdir, config, meta)}
    return TrainedRun(config, network, mesh, params, meta)


def decided(trained: TrainedRun, workdir: Path, cache_dir: Path) -> TrainedRun:
    """The run with a decision by its config's rule, which is fitted if it has changed.

    A fitted decision is stored in the run folder. Raises UserError if the run's validation films
    are missing or others than in training.
    """
    if trained.meta["decision"] is not None:
        return trained
    from pneumojax.data.splits import load_splits  # slow to import, and seldom needed

    splits = load_splits(trained.config, cache_dir)
    if splits.validation is None:
        raise UserError(
            f"{str(workdir)!r} has no validation films to fit its decision rule on", flag="workdir"
        )
    if splits.fingerprint != trained.meta.get("films"):
        raise UserError(
            f"{films_field(trained.config)}: the films have changed since {str(workdir)!r} was "
            "trained; restore them to fit its decision rule"
        )
    forward = make_forward(trained.network, trained.mesh)
    logits_of = make_batched(forward, trained.mesh, FILMS_IN_CACHE * trained.mesh.size)
    logits = logits_of(trained.params, splits.validation)
    decision = fit_decision(trained.config.decision, splits.validation.labels, logits)
    agreement.write_decision(workdir, trained.config, trained.meta, decision._asdict())
    say(
        f"fitted the {decision.rule} rule on {decision.films:,} validation films: "
        f"threshold {decision.threshold:.3f}"
    )
    return replace(trained, meta=trained.meta | {"decision": decision._asdict()})


def has_current_decision(workdir: Path) -> bool:
    """Whether the decision of a run was fitted by its config's rule; no arrays are read."""
    config = read_config(workdir)
    meta = agreement.check_before(stored_network(workdir), config)
    return meta is None or agreement.current_decision(workdir, config, meta) is not None
