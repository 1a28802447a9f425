"""Cross-validation: each fold is a run, and scores the films that it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from pneumojax.api.training import evaluate_trained
from pneumojax.config.check import wrong_value
from pneumojax.data.cache import FilmCache
from pneumojax.data.column_groups import group_films
from pneumojax.data.film_set import FilmSet
from pneumojax.data.splits import configured_folder, load_configured
from pneumojax.errors import UserError
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.evaluate import evaluate_subject
from pneumojax.evaluation.forecast import Forecast, Logits, forecast
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.run_facts import OutOfFold, Overlap, run_facts
from pneumojax.evaluation.stability import threshold_stability
from pneumojax.files import refuse_links_out, write_json
from pneumojax.inference.decision import Decision, fit_decision
from pneumojax.inference.ensemble import OUT_OF_FOLD
from pneumojax.inference.predictor import Predictor
from pneumojax.inference.trained_run import has_current_decision
from pneumojax.run.film_list import read_films
from pneumojax.stats.estimates import json_ready
from pneumojax.stats.metrics import auroc
from pneumojax.terminal import say
from pneumojax.training.loop import train


def cross_validate(
    config: ConfigDict, workdir: Path, cache_dir: Path, *, verify_films: bool = False
) -> dict[str, Any]:
    """Trains and evaluates each fold, then scores every film by the fold that held it out.

    A finished fold is not trained again, and an interrupted one is resumed. The evaluation of all
    films is written to `<workdir>/out_of_fold/`, with `decision.json` (the threshold and
    temperature fitted on all of them) and `stability.json`. If `config.data.fold_by` names
    a column, `forecast.json` says how a threshold does on a group that it was not fitted on.

    The decision is fitted on the folds' uncalibrated logits, so that it also suits a network that
    is trained by the same recipe on all films. Returns the content of `out_of_fold/metrics.json`.
    """
    if config.data.folds < 2:
        rule = "cross-validation needs at least 2, such as --config.data.folds=5"
        raise UserError(wrong_value("data.folds", config.data.folds, rule))
    if config.data.val != "patients":
        rule = "cross-validation needs 'patients'"
        raise UserError(wrong_value("data.val", config.data.val, rule))
    refuse_links_out(workdir)
    folders = []
    for fold in range(config.data.folds):
        say(f"fold {fold + 1} of {config.data.folds}")
        folders.append(workdir / f"fold-{fold}")
        of_fold = config.copy_and_resolve_references()
        of_fold.data.fold = fold
        train(of_fold.lock(), folders[-1], cache_dir, verify_films=verify_films)
        is_evaluated = (folders[-1] / "evaluation" / "val" / "metrics.json").exists()
        if not is_evaluated or not has_current_decision(folders[-1]):
            evaluate_trained(of_fold, folders[-1], cache_dir)
    cache = FilmCache(cache_dir, config.data.max_cache_gb, verify_films)
    films = load_configured(config, configured_folder(config, cache_dir), "train", cache)
    return evaluate_out_of_fold(Folds.open(folders, films), films, workdir, config)


@dataclass(frozen=True)
class Folds:
    """The networks of all folds, and by each film's path the fold that held it out."""

    folders: Sequence[Path]
    members: Sequence[Predictor]
    fold_of: Mapping[str, int]

    @classmethod
    def open(cls, folders: Sequence[Path], films: FilmSet) -> "Folds":
        """Opens the runs of all folds.

        Raises:
            UserError: the folds together held out other films than these.
        """
        fold_of = {
            row["file"]: fold
            for fold, folder in enumerate(folders)
            for row in read_films(folder)
            if row["side"] == "validation"
        }
        if set(fold_of) != set(films.paths):
            raise UserError(
                f"the films of {str(films.root)!r} are no longer those that the folds were trained "
                "on; restore them, or cross-validate in a new folder"
            )
        # The user's own config names the networks, so code of the user's may be imported.
        opened = [Predictor.open([path], any_network=True) for path in folders]
        members = [each.in_batches_of(each.first.config.batch_size) for each in opened]
        return cls(folders, members, fold_of)

    def of(self, films: FilmSet) -> NDArray:
        """For each film, the fold that held it out, (n,)."""
        return np.array([self.fold_of[path] for path in films.paths])

    def logits(self, films: FilmSet) -> NDArray:
        """Logits (n,), those of each film by the network that was not trained on it."""
        folds, logits = self.of(films), np.empty(len(films), np.float32)
        for fold, member in enumerate(self.members):
            chosen = folds == fold
            if chosen.any():
                logits[chosen] = member.logits(films.select(chosen))[0]
        return logits


def evaluate_out_of_fold(
    folds: Folds, films: FilmSet, workdir: Path, config: ConfigDict
) -> dict[str, Any]:
    """Scores every film by the fold that held it out, and writes `<workdir>/out_of_fold/`.

    `config` has the decision rule and names the films. Returns the content of metrics.json.
    """
    settings = config.decision
    folder, count = workdir / OUT_OF_FOLD, len(folds.members)
    logits, fold = folds.logits(films), folds.of(films)
    found = _forecast(Logits(films.labels, logits, fold), films, config)
    decision = fit_decision(settings, films.labels, logits)
    write_json(folder / "decision.json", decision._asdict())
    stability = threshold_stability(settings, films.labels, logits, films.patients)
    shares = json_ready(stability)
    write_json(folder / "stability.json", {"decision": decision._asdict(), "shares": shares})
    temperatures = np.array([member.decision.temperature for member in folds.members])
    out_of_fold = OutOfFold(
        folds=count,
        auroc_calibrated_apart=auroc(films.labels, logits / temperatures[fold]),
        stability=stability,
        auroc_by_fold=[auroc(films.labels[fold == i], logits[fold == i]) for i in range(count)],
    )
    line = f"each film was scored by the one of {count} networks not trained on it"
    say(line)
    areas = ", ".join(f"{area:.3f}" for area in out_of_fold.auroc_by_fold)
    say(f"AUROC by fold: {areas}")
    # No film is scored by a network that was trained on it or its patient.
    first, overlap = folds.members[0].first, Overlap(f"audit: {line}", {})
    predictions = Predictions.of_films(films, logits, [""] * len(films), first.class_names)
    facts = run_facts(first, folds.folders[0], films, OUT_OF_FOLD, overlap)
    facts = replace(
        facts,
        run=workdir.name,
        out_of_fold=out_of_fold,
        forecast=found.record() if found else None,
    )
    subject = Subject(first, decision, films, predictions, folds.logits)
    evaluation = evaluate_subject(folder, subject, facts)
    if found:
        write_json(folder / "forecast.json", found.record())
        for line in found.lines():
            say(line)
    return evaluation.record()


def _forecast(held_out: Logits, films: FilmSet, config: ConfigDict) -> Forecast | None:
    """The forecast from the groups of `config.data.fold_by`; None for folds of patients."""
    if not (column := config.data.fold_by):
        return None
    names = group_films(column, films.columns[column]).names

    def without(group: int) -> Decision:
        rest = held_out.group != group
        return fit_decision(config.decision, held_out.labels[rest], held_out.logits[rest])

    return forecast(held_out, column, names, without)
