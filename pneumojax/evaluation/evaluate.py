"""Scores a run's network on films it was, or was not, trained on, and writes what came out."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pneumojax import run
from pneumojax.data.cache import FilmSet, load_split, resolve_root
from pneumojax.data.patients import audit
from pneumojax.data.sides import load_sides, only_split, preprocessing_of
from pneumojax.errors import UserError
from pneumojax.evaluation.audits import audit_network
from pneumojax.evaluation.context import report_context
from pneumojax.evaluation.report import write_evaluation
from pneumojax.evaluation.results import Predictions
from pneumojax.evaluation.table import print_table
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.training.scoring import make_scorer
from pneumojax.training.trained import open_run


def evaluate_run(
    workdir: Path,
    cache_dir: Path,
    *,
    split: str | None = None,
    root: str | None = None,
    results: Path | None = None,
    verify_films: bool = False,
) -> dict[str, Any]:
    """Evaluates the best checkpoint of a run; the test split only where it is named.

    Args:
        workdir: the run folder, absolute; its own config is used.
        split: "train" or "val" as the run divided them, "test", or a split of `root`. Default:
            "val", or the one split that `root` has.
        root: another folder of films instead of the run's own.
        results: in whose `evaluation/` to write; the run folder, where it is None.
        verify_films: hash every film again before trusting the cache.

    Returns:
        What `metrics.json` in `<results>/evaluation/<split>/` holds.

    Raises:
        UserError: no such run, split or checkpoint, or the films cannot be read.
    """
    trained = open_run(workdir)
    config, meta, mesh = trained.config, trained.meta, trained.mesh
    films, split = _films(config, meta, cache_dir, split, root, verify_films)
    audit_line, audit_figures = _against_training(workdir, films, split, own=root is None)
    print(f"evaluating step {meta['step']} of {workdir} on {len(films):,} films of {split}")
    print(audit_line)
    batch_size = _batch_size(config.batch_size, len(films), mesh.size)
    score = make_scorer(trained.network, mesh, batch_size)
    logits = score(trained.params, films)
    predictions = Predictions(
        files=films.paths,
        patients=films.patients,
        pathogens=[identity.pathogen for identity in films.identities],
        labels=films.labels,
        logits=logits,
    )
    name = split if root is None else f"{split}-of-{films.root.name}-{films.fingerprint[:8]}"
    context = report_context(trained, workdir, films, name, audit_line) | {"audit": audit_figures}
    findings, pictures = audit_network(trained, films, logits, score)
    folder = (results or workdir) / "evaluation" / name
    context |= findings
    result = write_evaluation(folder, predictions, trained.decision, context, pictures)
    print_table(result)
    print(f"written to {folder}; the report is {folder / 'report.html'}")
    return result


def _films(
    config: ConfigDict,
    meta: dict[str, Any],
    cache_dir: Path,
    split: str | None,
    root: str | None,
    verify: bool,
) -> tuple[FilmSet, str]:
    """The films asked for and the name of their split."""
    if root is None and split in (None, "train", "val"):
        sides = load_sides(config, cache_dir, verify=verify)
        side = "train" if split == "train" else "validation"
        if sides.fingerprint[side] != meta["films"][side]:
            raise UserError(
                f"data.root: the {side} films are not those of this run any more; restore them, "
                "or name the folder with --films"
            )
        films = sides.train if split == "train" else sides.validation
        if films is None:
            raise UserError(
                "--split=val: this run has no validation (data.val_fraction is 0); use --split=test"
            )
        return films, split or "val"
    folder = resolve_root(config.data.root, cache_dir) if root is None else Path(root).expanduser()
    split = split or only_split(folder)
    if split is None:
        raise UserError(f"--films: {root!r} has several splits; name one with --split")
    films = load_split(
        folder,
        split,
        preprocessing_of(config),
        cache_dir,
        max_rejected_fraction=config.data.max_rejected_fraction,
        verify=verify,
    )
    return films, split


def _against_training(
    workdir: Path, films: FilmSet, split: str, own: bool
) -> tuple[str, dict[str, Any]]:
    """The audit of the films scored against those that the run's parameters have seen."""
    seen = [row for row in run.read_films(workdir) if row["side"] == "train"]
    if own and split == "train":
        return "audit: these are the films that the run was trained on", {}
    count = len(seen)
    result = audit(
        {"train": np.arange(count), split: count + np.arange(len(films))},
        [run.hidden(patient) for patient in [row["patient"] for row in seen] + films.patients],
        [row["patient_known"] == "1" for row in seen] + films.patients_known,
        np.concatenate([[int(row["label"]) for row in seen], films.labels]),
        [row["sha256"] for row in seen] + films.digests,
    )
    return result.line(), result.as_dict()


def _batch_size(most: int, films: int, devices: int) -> int:
    """Films at a time, about `most`: as many in each batch, so that the last is not all padding.

    A multiple of what goes through a CPU's network at a time, on each device. The audits score
    the same films twenty times over: 65 films in batches of 64 would take twice as long.
    """
    unit = FILMS_IN_CACHE * devices
    return math.ceil(films / math.ceil(films / most) / unit) * unit
