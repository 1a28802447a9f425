"""Fits a threshold and a temperature that hold on films unlike those of the training hospital.

Command:   python -m tools.travelling --patients=<cross-validation> --styles=<cross-validation> \\
               --to=<folder>
Both cross-validations are of one recipe and of one table of films: the first holds out patients,
the second the styles of a column, by config.data.fold_by. The decision rule of the config is fitted
on three sets of logits together: of films as they are, of degraded films, both by networks that did
not see the patient, and of films by networks that did not see their style. The folder gets
decision.json, which `tools.release` takes, and forecast.json: what a threshold that is fitted so
does on each style, if no film of the style was used.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from pneumojax.crossvalidate import Folds
from pneumojax.data.cache import FilmCache
from pneumojax.data.column_groups import group_films
from pneumojax.data.film_set import FilmSet
from pneumojax.data.splits import configured_folder, load_configured
from pneumojax.errors import UserError
from pneumojax.evaluation.audits.perturbations import PERTURBATIONS
from pneumojax.evaluation.audits.robustness import sample_films
from pneumojax.evaluation.audits.stress import STRESSES
from pneumojax.evaluation.forecast import Logits, forecast, together
from pneumojax.files import write_json
from pneumojax.inference.decision import fit_decision
from pneumojax.inference.ensemble import folds_of
from pneumojax.run.stored_config import read_config


def opened(folder: Path, cache_dir: Path) -> tuple[Folds, FilmSet]:
    """Opens the networks of a cross-validation, and the films that they were trained on."""
    folders = folds_of(folder)
    if not folders:
        raise UserError(f"{str(folder)!r} is not the folder of a cross-validation")
    config = read_config(folders[0])
    cache = FilmCache(cache_dir, config.data.max_cache_gb)
    films = load_configured(config, configured_folder(config, cache_dir), "train", cache)
    return Folds.open(folders, films), films


def degraded(folds: Folds, films: FilmSet, style: np.ndarray) -> Logits:
    """Scores a sample of the films under each setting of the stress test."""
    chosen = sample_films(films.labels)
    sample = films.select(chosen)
    images = sample.pixels(np.arange(len(sample)))
    settings = [(name, level) for name in STRESSES for level in PERTURBATIONS[name].levels]
    logits = []
    for name, level in settings:
        changed = PERTURBATIONS[name].apply(images, level)
        logits.append(folds.logits(replace(sample, images=changed, places=np.arange(len(changed)))))
    labels, groups = (np.tile(each[chosen], len(settings)) for each in (films.labels, style))
    return Logits(labels, np.concatenate(logits), groups)


def fit(patients: Path, styles: Path, target: Path, cache_dir: Path) -> list[str]:
    """Writes decision.json and forecast.json, and returns lines that describe them.

    Raises:
        UserError: a folder is no cross-validation, or their films differ.
    """
    by_style, films = opened(styles, cache_dir)
    by_patient, same = opened(patients, cache_dir)
    if same.paths != films.paths:
        raise UserError(f"{str(patients)!r} and {str(styles)!r} are not of the same films")
    config = read_config(by_style.folders[0])
    column = config.data.fold_by
    if not column:
        raise UserError(f"--styles: the folds of {str(styles)!r} are shares of the patients")
    style = by_style.of(films)
    held_out = Logits(films.labels, by_style.logits(films), style)
    plain = Logits(same.labels, by_patient.logits(same), style)
    pool = together(plain, degraded(by_patient, same, style), held_out)
    decision = fit_decision(config.decision, pool.labels, pool.logits)
    names = group_films(column, films.columns[column]).names
    found = forecast(config.decision, held_out, column, names, pool)
    write_json(target / "decision.json", decision._asdict())
    write_json(target / "forecast.json", found.record())
    return [
        f"threshold {decision.threshold:.4f}, temperature {decision.temperature:.4f}, fitted on "
        f"{decision.films:,} scores of {len(films):,} films",
        *found.lines(),
    ]


def main() -> None:
    """Fits the decision that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=Path, required=True)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    given = parser.parse_args()
    patients, styles, target, cache_dir = (
        path.expanduser().resolve()
        for path in (given.patients, given.styles, given.to, given.cache_dir)
    )
    try:
        lines = fit(patients, styles, target, cache_dir)
    except UserError as error:
        sys.exit(f"error: {error}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
