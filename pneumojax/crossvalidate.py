"""`--mode=crossvalidate`: each fold a run, and each film scored by the one not trained on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from pneumojax.data.cache import FilmCache
from pneumojax.data.film_set import FilmSet
from pneumojax.data.splits import configured_folder, load_configured
from pneumojax.errors import UserError
from pneumojax.evaluation.evaluate import evaluate_run, write_scores
from pneumojax.evaluation.stability import threshold_stability
from pneumojax.files import refuse_links_out, write_json
from pneumojax.inference.decision import fit_decision
from pneumojax.inference.ensemble import OUT_OF_FOLD
from pneumojax.inference.predictor import Predictor
from pneumojax.inference.refit import fit_changed_decision
from pneumojax.run.film_list import read_films
from pneumojax.stats.estimates import json_ready
from pneumojax.stats.metrics import auroc
from pneumojax.training.loop import train


def cross_validate(
    config: ConfigDict, workdir: Path, cache_dir: Path, *, verify_films: bool = False
) -> dict[str, Any]:
    """Trains and evaluates each fold, then scores every film by the fold that held it out.

    Folds that are finished are not trained again, and one that was interrupted goes on. The films
    out of fold are evaluated in `<workdir>/out_of_fold/`, with `decision.json`, the threshold and
    temperature fitted on all of them, and `stability.json`.

    The folds' logits are pooled as they are: a network trained by the same recipe has logits of
    the same kind, so the decision fitted on the pool is one for it. Were each fold calibrated
    apart, the pool's decision would hold for calibrated logits alone.

    Raises:
        UserError: `config.data.folds` is 0, or as `train`.
    """
    if config.data.folds < 2 or config.data.val != "patients":
        raise UserError(
            f"config.data.folds is {config.data.folds}: --mode=crossvalidate needs at least 2, "
            "such as --config.data.folds=5, and config.data.val 'patients'."
        )
    refuse_links_out(workdir)
    folders = []
    for fold in range(config.data.folds):
        print(f"fold {fold + 1} of {config.data.folds}")
        of_fold = config.copy_and_resolve_references()
        of_fold.data.fold = fold
        folders.append(workdir / f"fold-{fold}")
        train(of_fold.lock(), folders[-1], cache_dir, verify_films=verify_films)
        fitted = fit_changed_decision(folders[-1], cache_dir, any_network=True)
        if fitted or not (folders[-1] / "evaluation" / "val" / "metrics.json").exists():
            evaluate_run([folders[-1]], cache_dir, any_network=True)
    cache = FilmCache(cache_dir, config.data.max_cache_gb, verify_films)
    films = load_configured(config, configured_folder(config, cache_dir), "train", cache)
    return _out_of_fold(folders, films, workdir / OUT_OF_FOLD, config.decision)


def _out_of_fold(
    folders: list[Path], films: FilmSet, folder: Path, settings: Mapping[str, Any]
) -> dict[str, Any]:
    # The networks are those of the command's own config, so a foreign one may be imported.
    opened = [Predictor.open([path], any_network=True) for path in folders]
    members = [each.in_batches_of(each.first.config.batch_size) for each in opened]
    fold_of = _folds(folders, films)

    def score(some: FilmSet) -> NDArray:
        """Logits (n,), each film's by the network that was not trained on it."""
        folds = np.array([fold_of[path] for path in some.paths])
        logits = np.empty(len(some), np.float32)
        for fold, member in enumerate(members):
            chosen = folds == fold
            if chosen.any():
                logits[chosen] = member.logits(some.select(chosen))[0]
        return logits

    logits = score(films)
    decision = fit_decision(settings, films.labels, logits)
    folds = np.array([fold_of[path] for path in films.paths])
    write_json(folder / "decision.json", decision._asdict())
    stability = json_ready(threshold_stability(settings, films.labels, logits, films.patients))
    write_json(folder / "stability.json", {"decision": decision._asdict(), "shares": stability})
    apart = logits / np.array([member.decision.temperature for member in members])[folds]
    out_of_fold = {
        "folds": len(members),
        "auroc_calibrated_apart": auroc(films.labels, apart),
        "stability": stability,
        "auroc_by_fold": [
            auroc(films.labels[folds == fold], logits[folds == fold])
            for fold in range(len(members))
        ],
    }
    audit_line = (
        f"audit: each film was scored by the one of {len(members)} networks not trained on it"
    )
    print(audit_line.removeprefix("audit: "))
    return write_scores(
        folder,
        members[0].first,
        folders[0],
        films,
        OUT_OF_FOLD,
        logits,
        decision,
        score,
        audit_line,
        [""] * len(films),  # no film is scored by a network that was trained on it or its patient
        {"audit": {}, "out_of_fold": out_of_fold, "run": folder.parent.name},
    )


def _folds(folders: list[Path], films: FilmSet) -> dict[str, int]:
    """The fold that holds each film out, by its path.

    Raises:
        UserError: the films are not those of the folds.
    """
    fold_of = {
        row["file"]: fold
        for fold, folder in enumerate(folders)
        for row in read_films(folder)
        if row["side"] == "validation"
    }
    if set(fold_of) != set(films.paths):
        raise UserError(
            "config.data.root: the films are not those of the folds any more; restore them"
        )
    return fold_of
