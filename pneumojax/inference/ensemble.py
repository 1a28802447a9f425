"""Several runs that answer together: which ones, and the mean of their probabilities."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.fields import read_record
from pneumojax.inference.decision import Decision
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.run.agreement import decision_fields
from pneumojax.run.stored_config import read_config

OUT_OF_FOLD = "out_of_fold"  # the folder of a cross-validation that holds its common decision
LARGEST_LOGIT = 36.0  # the logit of the largest probability below 1 in float64


class Spread(NamedTuple):
    """How far the members' calibrated probabilities of each film lie apart, (n,) each."""

    deviation: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]


def combine(logits: NDArray, decisions: Sequence[Decision]) -> tuple[NDArray[np.float64], Spread]:
    """Logits (members, n) -> one logit per film (n,), and the spread of the members.

    The result is the logit of the mean of the members' calibrated probabilities (Lakshminarayanan
    et al. 2017, arXiv 1612.01474).
    """
    each = np.stack([d.probabilities(z) for d, z in zip(decisions, logits, strict=True)])
    mean = each.mean(0)
    with np.errstate(divide="ignore"):
        together = np.clip(np.log(mean) - np.log1p(-mean), -LARGEST_LOGIT, LARGEST_LOGIT)
    return together, Spread(each.std(0), each.min(0), each.max(0))


def resolve_members(workdirs: Sequence[Path]) -> tuple[list[Path], Decision | None]:
    """The run folders that are named, and the decision that they have in common, if any.

    The folder of a cross-validation stands for its folds, which share the decision that was fitted
    on the films out of fold.
    """
    if len(set(workdirs)) < len(workdirs):
        raise UserError("a run folder is named twice", flag="workdir")
    folds = folds_of(workdirs[0]) if len(workdirs) == 1 else []
    if not folds:
        return list(workdirs), None
    path = workdirs[0] / OUT_OF_FOLD / "decision.json"
    if not path.is_file():
        raise UserError(
            f"the cross-validation in {str(workdirs[0])!r} is not finished: run it again",
            flag="workdir",
        )
    count = read_config(folds[0]).data.folds
    if [fold.name for fold in folds] != [f"fold-{i}" for i in range(count)]:
        names = ", ".join(fold.name for fold in folds)
        raise UserError(
            f"of the {count} folds of {str(workdirs[0])!r} there are only {names}; name the run "
            "folders of the folds that you want",
            flag="workdir",
        )
    record = read_record(path, decision_fields())
    if other := sorted(record.keys() - set(Decision._fields)):
        raise UserError(f"{str(path)!r} cannot be used: it has an unknown field {other[0]!r}")
    return folds, Decision(**record)


def folds_of(workdir: Path) -> list[Path]:
    """The run folders of a cross-validation, in order; [] if the folder holds none."""
    folds = (path.parent for path in workdir.glob("fold-*/config.json"))
    numbered = {
        int(path.name.removeprefix("fold-")): path
        for path in folds
        if path.name.removeprefix("fold-").isdecimal()
    }
    return [numbered[number] for number in sorted(numbered)]


def check_alike(members: Sequence[TrainedRun], workdirs: Sequence[Path]) -> None:
    """Raises UserError unless all members see the same pixels of the same kind of films."""
    for field in ("preprocessing", "class_names", "synthetic"):
        values = [member.meta.get(field) for member in members]
        for value, workdir in zip(values, workdirs, strict=True):
            if value != values[0]:
                raise UserError(
                    f"{str(workdirs[0])!r} and {str(workdir)!r} differ in {field} "
                    f"({values[0]}, {value}): runs that answer together must agree in it",
                    flag="workdir",
                )


def mean_decision(decisions: Sequence[Decision], common: Decision | None) -> Decision:
    """The decision on combined logits: the mean of the members' thresholds, no temperature."""
    threshold = float(np.mean([decision.threshold for decision in decisions]))
    if common:
        return Decision("out of fold", 1.0, threshold, common.films, "")
    return Decision("mean", 1.0, threshold, 0, "")


def output_folder(workdirs: Sequence[Path]) -> Path:
    """The folder for the output of runs: that of a single run, or a new one beside the first."""
    if len(workdirs) == 1:
        return workdirs[0]
    names = "\n".join(str(workdir) for workdir in workdirs)
    digest = hashlib.sha256(names.encode()).hexdigest()[:8]
    return workdirs[0].parent / f"ensemble-{digest}"
