"""Scores a run's network on films it was, or was not, trained on, and writes what came out."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from pneumojax.data.cache import FilmCache
from pneumojax.data.film_set import FilmSet
from pneumojax.data.films import find_films
from pneumojax.data.leakage import audit_leakage
from pneumojax.data.splits import configured_folder, load_configured, load_splits
from pneumojax.errors import UserError
from pneumojax.evaluation.audits.audits import audit_network
from pneumojax.evaluation.report.report import write_evaluation
from pneumojax.evaluation.run_facts import report_context
from pneumojax.evaluation.summary import Predictions
from pneumojax.evaluation.terminal import print_table
from pneumojax.files import printable, refuse_links_out
from pneumojax.inference.decision import Decision
from pneumojax.inference.ensemble import Spread, output_folder
from pneumojax.inference.predictor import Predictor
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.run.film_list import hidden, read_films
from pneumojax.run.seen_films import SeenFilms


def evaluate_run(
    workdirs: Sequence[Path],
    cache_dir: Path,
    *,
    split: str | None = None,
    root: str | None = None,
    results: Path | None = None,
    verify_films: bool = False,
    any_network: bool = False,
) -> dict[str, Any]:
    """Evaluates the best checkpoint of a run, or of several together; test only where named.

    Args:
        workdirs: the run folder, or those of an ensemble, absolute; their own configs are used.
        split: "train" or "val" as the run divided them, "test", or a split of `root`. Default:
            "val", or the one split that `root` has.
        root: another folder of films instead of the run's own.
        results: in whose `evaluation/` to write; where it is None the run folder, or that of the
            cross-validation, or one of this ensemble beside its first run.
        verify_films: hash every film again before trusting the cache.
        any_network: as in `open_run`.

    Returns:
        What `metrics.json` in `<results>/evaluation/<split>/` holds.

    Raises:
        UserError: no such run, split or checkpoint, the films cannot be read, or a link would
            lead what is written out of the folder.
    """
    out = results or output_folder(workdirs)
    refuse_links_out(out)
    predictor = Predictor.open(workdirs, any_network=any_network)
    trained = predictor.first
    config, meta = trained.config, trained.meta
    if root is None and split in (None, "train", "val"):
        _refuse_other_sides(predictor)
    films, split = _films(config, meta, cache_dir, split, root, verify_films)
    audit_line, audit_figures = _against_training(
        predictor.workdirs, films, split, own=root is None
    )
    count = len(predictor.members)
    what = f"step {meta['step']} of {predictor.workdirs[0]}" if count == 1 else predictor.name
    print(f"evaluating {printable(what)} on {len(films):,} films of {split}")
    print(audit_line)
    seen = SeenFilms.of_runs(predictor.workdirs)
    trained_on = [seen.note(*film) for film in zip(films.paths, films.digests, strict=True)]
    predictor = predictor.in_batches_of(
        _batch_size(config.batch_size, len(films), trained.mesh.size)
    )
    logits, spread = predictor.combine(predictor.logits(films))
    name = split if root is None else f"{split}-of-{films.root.name}-{films.fingerprint[:8]}"
    more: dict[str, Any] = {"audit": audit_figures}
    if count > 1:
        more |= {"run": predictor.name, "members": [w.name for w in predictor.workdirs]}
    return write_scores(
        out / "evaluation" / name,
        trained,
        predictor.workdirs[0],
        films,
        name,
        logits,
        predictor.decision,
        lambda some: predictor.combine(predictor.logits(some))[0],
        audit_line,
        trained_on,
        more,
        spread,
    )


def write_scores(
    folder: Path,
    trained: TrainedRun,
    workdir: Path,
    films: FilmSet,
    name: str,
    logits: NDArray,
    decision: Decision,
    score: Callable[[FilmSet], NDArray],
    audit_line: str,
    trained_on: Sequence[str],
    more: dict[str, Any],
    spread: Spread | None = None,
) -> dict[str, Any]:
    """Audits what was scored, writes the evaluation, prints its table.

    Args:
        folder: of the evaluation.
        trained, workdir: the run, or of several the first, that the report describes.
        name: what the films are called.
        logits: (n,) of the films, of which `decision` makes calls.
        score: films like these -> logits (n,).
        audit_line: whether the films were kept from training.
        trained_on: (n,) of each film whether the network was trained on it, see `SeenFilms.note`.
        more: for metrics.json, over what the run says of itself.
        spread: of an ensemble.
    """
    predictions = Predictions(
        files=films.paths,
        patients=films.patients,
        pathogens=[identity.pathogen for identity in films.identities],
        labels=films.labels,
        logits=logits,
        trained_on=trained_on,
    )
    context = report_context(trained, workdir, films, name, audit_line) | more
    if spread is not None:
        context["spread"] = {
            "mean_deviation": float(np.mean(spread.deviation)),
            "largest_deviation": float(np.max(spread.deviation)),
        }
    findings, pictures = audit_network(trained, decision, films, logits, score)
    result = write_evaluation(folder, predictions, decision, context | findings, pictures, spread)
    print_table(result)
    shown = printable(str(folder))
    print(f"written to {shown}; the report is {shown}/report.html")
    return result


def _refuse_other_sides(predictor: Predictor) -> None:
    """Raises UserError for members that were validated on different films."""
    sides = {_fingerprints(member.meta)["validation"] for member in predictor.members}
    if len(sides) > 1:
        raise UserError(
            "--workdir: these runs hold out different patients, so each has seen what another is "
            "validated on; use --split=test or --films"
        )


def _fingerprints(meta: dict[str, Any]) -> dict[str, Any]:
    """Digests of the films of each side; UserError where an early version kept none."""
    if "films" not in meta:
        raise UserError(
            "--workdir: the checkpoint does not say which films it was trained and validated on; "
            "name films with --split=test or --films"
        )
    return meta["films"]


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
        sides = load_splits(config, cache_dir, verify=verify)
        side = "train" if split == "train" else "validation"
        if sides.fingerprint[side] != _fingerprints(meta)[side]:
            raise UserError(
                f"config.data.root: the {side} films are not those of this run any more; restore "
                "them, or name the folder with --films"
            )
        films = sides.train if split == "train" else sides.validation
        if films is None:
            raise UserError(
                "--split=val: this run has no validation (data.val_fraction is 0); use --split=test"
            )
        return films, split or "val"
    if root is None:
        folder = configured_folder(config, cache_dir)
    else:
        folder = find_films(Path(root).expanduser(), "--films")
    split = split or folder.only_split()
    cache = FilmCache(cache_dir, config.data.max_cache_gb, verify)
    return load_configured(config, folder, split, cache), split


def _against_training(
    workdirs: Sequence[Path], films: FilmSet, split: str, own: bool
) -> tuple[str, dict[str, Any]]:
    """The audit of the films scored against those that any member's parameters have seen."""
    rows = (row for workdir in workdirs for row in read_films(workdir))
    seen = list({(r["file"], r["sha256"]): r for r in rows if r["side"] == "train"}.values())
    if own and split == "train":
        return "audit: these are the films that the run was trained on", {}
    count = len(seen)
    scored = "scored" if split == "train" else split  # of another folder's train
    result = audit_leakage(
        {"train": np.arange(count), scored: count + np.arange(len(films))},
        [hidden(patient) for patient in [row["patient"] for row in seen] + films.patients],
        [row["patient_known"] == "1" for row in seen] + films.patients_known,
        np.concatenate([[int(row["label"]) for row in seen], films.labels]),
        [row["sha256"] for row in seen] + list(films.digests),
    )
    return result.line(), result.as_dict()


def _batch_size(most: int, films: int, devices: int) -> int:
    """Films at a time, about `most`: as many in each batch, so that the last is not all padding.

    A multiple of what goes through a CPU's network at a time, on each device. The audits score
    the same films twenty times over: 65 films in batches of 64 would take twice as long.
    """
    unit = FILMS_IN_CACHE * devices
    return math.ceil(films / math.ceil(films / most) / unit) * unit
