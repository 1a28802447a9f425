"""One run, or several whose calibrated probabilities are averaged: what scores films."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet
from pneumojax.errors import UserError
from pneumojax.fields import read_record
from pneumojax.inference.decision import Decision
from pneumojax.inference.scoring import make_scorer
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.run.agreement import decision_fields
from pneumojax.run.folder import read_config

OUT_OF_FOLD = "out_of_fold"  # the folder of a cross-validation that holds its common decision
_FARTHEST = 36.0  # logit of the probability nearest to 1 that float64 tells from it


class Spread(NamedTuple):
    """How far the members' calibrated probabilities of each film lie apart, (n,) each."""

    deviation: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """Runs that answer together.

    members: at least one; of several, all see the same pixels.
    workdirs: their run folders.
    decisions: what makes each member's logits calibrated probabilities.
    decision: what makes calls of the logits that `combine` returns.
    """

    members: tuple[TrainedRun, ...]
    workdirs: tuple[Path, ...]
    decisions: tuple[Decision, ...]
    decision: Decision

    @property
    def first(self) -> TrainedRun:
        """The one member; or of several the first, for what all have in common."""
        return self.members[0]

    @property
    def name(self) -> str:
        """Names of the run folders."""
        return ", ".join(workdir.name for workdir in self.workdirs)

    @property
    def identity(self) -> str:
        """The first member's step, and 12 hex digits of all that decides an answer."""
        parts = [[m.answers for m in self.members], self.decisions, self.decision]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return f"{self.first.meta['step']}-{digest[:12]}"

    def combine(self, logits: NDArray) -> tuple[NDArray, Spread | None]:
        """The members' logits (members, n) -> one logit a film (n,), and how far they are apart.

        One member's logits stay as they are. Of several it is the logit of the mean of their
        calibrated probabilities (Lakshminarayanan et al. 2017, arXiv 1612.01474).
        """
        if len(self.members) == 1:
            return logits[0], None
        each = np.stack([d.probabilities(z) for d, z in zip(self.decisions, logits, strict=True)])
        mean = each.mean(0)
        with np.errstate(divide="ignore"):
            together = np.clip(np.log(mean) - np.log1p(-mean), -_FARTHEST, _FARTHEST)
        return together, Spread(each.std(0), each.min(0), each.max(0))


def open_ensemble(workdirs: Sequence[Path], *, any_network: bool = False) -> Ensemble:
    """Opens one run folder, several, or the folds of a cross-validation by its folder.

    Several are called at the decision of their cross-validation, where they are one; else at the
    mean of their own thresholds. `any_network` as in `open_run`.

    Raises:
        UserError: no run there, one that is refused, or runs that see other pixels or other
            kinds of films.
    """
    common = None
    if len(workdirs) == 1 and (folds := folds_of(workdirs[0])):
        path = workdirs[0] / OUT_OF_FOLD / "decision.json"
        if not path.is_file():
            raise UserError(
                f"--workdir: the cross-validation in {str(workdirs[0])!r} is not finished: "
                "run it again"
            )
        if [fold.name for fold in folds] != [f"fold-{i}" for i in range(_count(folds[0]))]:
            names = ", ".join(fold.name for fold in folds)
            raise UserError(
                f"--workdir: of the {_count(folds[0])} folds of {str(workdirs[0])!r} there are "
                f"only {names}; name those that you want with commas between"
            )
        common, workdirs = _common_decision(path), folds
    if len(set(workdirs)) < len(workdirs):
        raise UserError("--workdir: a run folder is named twice")
    members = tuple(open_run(workdir, any_network=any_network) for workdir in workdirs)
    if len(members) == 1:
        only = members[0].decision
        return Ensemble(members, tuple(workdirs), (only,), only)
    for field in ("preprocessing", "class_names", "synthetic"):
        values = [member.meta.get(field) for member in members]
        for value, workdir in zip(values, workdirs, strict=True):
            if value != values[0]:
                raise UserError(
                    f"--workdir: {str(workdirs[0])!r} and {str(workdir)!r} differ in {field} "
                    f"({values[0]}, {value}): runs that answer together must not"
                )
    decisions = tuple(common or member.decision for member in members)
    threshold = float(np.mean([decision.threshold for decision in decisions]))
    rule = "out of fold" if common else "mean"
    films = common.films if common else 0
    together = Decision(rule, 1.0, threshold, films, "")
    return Ensemble(members, tuple(workdirs), decisions, together)


def _common_decision(path: Path) -> Decision:
    record = read_record(path, decision_fields())
    if other := sorted(record.keys() - set(Decision._fields)):
        raise UserError(f"{str(path)!r} cannot be used: it has an unknown field {other[0]!r}")
    return Decision(**record)


def _count(fold: Path) -> int:
    return read_config(fold).data.folds


def folds_of(workdir: Path) -> list[Path]:
    """The run folders of a cross-validation, in order; none where the folder is of no such."""
    folds = (path.parent for path in workdir.glob("fold-*/config.json"))
    numbered = {
        int(path.name.removeprefix("fold-")): path
        for path in folds
        if path.name.removeprefix("fold-").isdecimal()
    }
    return [numbered[number] for number in sorted(numbered)]


def output_folder(workdirs: Sequence[Path]) -> Path:
    """Where what is said of runs goes: the one that was named, or a folder of these together."""
    if len(workdirs) == 1:
        return workdirs[0]
    names = "\n".join(str(workdir) for workdir in workdirs)
    digest = hashlib.sha256(names.encode()).hexdigest()[:8]
    return workdirs[0].parent / f"ensemble-{digest}"


def make_ensemble_scorer(
    ensemble: Ensemble, batch_size: int
) -> Callable[[FilmSet], NDArray[np.float32]]:
    """`films -> logits (members, n)`; each member is compiled at its first call and never again."""
    scorers = [make_scorer(m.network, m.mesh, batch_size) for m in ensemble.members]

    def score(films: FilmSet) -> NDArray[np.float32]:
        pairs = zip(scorers, ensemble.members, strict=True)
        return np.stack([scorer(member.params, films) for scorer, member in pairs])

    return score
