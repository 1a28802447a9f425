"""Scores every film by the reference model's recipe, trained without the film's patient.

Command:   python -m tools.patient_folds --from-scratch=<folder> --fine-tuned=<folder> \\
               --elsewhere=<table of another hospital's films> --to=<folder>
The first two folders are cross-validations with the same folds of patients, made by
    python main.py crossvalidate --config=configs/reference.py --config.data.folds=3
    python main.py crossvalidate --config=configs/distilled.py --config.data.folds=3
with the films, the weights and the folder of each. The two networks of each fold are joined and get
the views of the reference model, so that <folder>/mean and <folder>/views become cross-validations
too. In a fold, the temperature of a network is the one that suits the other folds, so nothing of a
joined network was fitted on the patients that it scores. The record is
records/reference/folds.json. The same command goes on with what is missing; delete a run that was
interrupted while it was being joined.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.hardware import hardware
from pneumojax.crossvalidate import Folds, evaluate_out_of_fold
from pneumojax.data.cache import FilmCache
from pneumojax.data.film_set import FilmSet
from pneumojax.data.splits import configured_folder, load_configured
from pneumojax.errors import UserError
from pneumojax.files import write_json
from pneumojax.inference.ensemble import OUT_OF_FOLD
from pneumojax.inference.trained_run import open_run
from pneumojax.run.stored_config import read_config
from pneumojax.shipped import named_run
from pneumojax.stats.calibration import fit_temperature
from pneumojax.stats.delong import delong_test
from tools.docs.places import REFERENCE
from tools.elsewhere import called_shares, elsewhere_figures
from tools.join import join
from tools.protocols import protocol_figures
from tools.record_reference import pooled
from tools.style_networks import VIEWS
from tools.views import with_views

STORED = REFERENCE / "folds.json"
# part -> the published network of the same recipe, whose threshold is tried
PUBLISHED = {"from_scratch": "reference_1", "mean": "reference_2", "views": "reference"}


def fold_folders(workdir: Path) -> list[Path]:
    """The run folders of a cross-validation.

    Raises:
        UserError: there are none.
    """
    folders = sorted(workdir.glob("fold-*"))
    if not folders:
        raise UserError(f"{str(workdir)!r} has no folders fold-0, fold-1 and so on")
    return folders


def open_folds(workdir: Path, cache_dir: Path) -> tuple[Folds, FilmSet]:
    """Opens the networks of a cross-validation, and the films that they were trained on."""
    folders = fold_folders(workdir)
    config = read_config(folders[0])
    cache = FilmCache(cache_dir, config.data.max_cache_gb)
    films = load_configured(config, configured_folder(config, cache_dir), "train", cache)
    return Folds.open(folders, films), films


def temperatures_of_others(labels: NDArray, logits: NDArray, fold: NDArray) -> list[float]:
    """For each fold, the temperature that suits the logits of the films of all other folds."""
    others = [fold != i for i in range(int(fold.max()) + 1)]
    return [fit_temperature(labels[other], logits[other]) for other in others]


def join_folds(validations: Mapping[str, Path], target: Path, cache_dir: Path) -> None:
    """Joins the networks of each fold in `<target>/mean`, and adds views in `<target>/views`."""
    temperatures: dict[str, list[float]] = {}
    for name, workdir in validations.items():
        folds, films = open_folds(workdir, cache_dir)
        scored = films.labels, folds.logits(films), folds.of(films)
        temperatures[name] = temperatures_of_others(*scored)
    folders = {name: fold_folders(workdir) for name, workdir in validations.items()}
    for i, fold in enumerate(next(iter(folders.values()))):
        mean, viewed = target / "mean" / fold.name, target / "views" / fold.name
        if not mean.exists():
            of_fold = {name: found[i] for name, found in folders.items()}
            join(of_fold, mean, cache_dir, {name: found[i] for name, found in temperatures.items()})
        if not viewed.exists():
            with_views(mean, VIEWS, viewed, cache_dir)


@dataclass(frozen=True)
class Part:
    """The figures of a cross-validation, and its films' labels and logits, (n,)."""

    figures: dict[str, Any]
    labels: NDArray
    logits: NDArray


def measured(part: str, workdir: Path, table: Path, cache_dir: Path) -> Part:
    """Evaluates a cross-validation, unless that is done, and reads its figures.

    They are "out_of_fold", those of all films; "protocols", those of `protocol_figures`;
    "elsewhere", for each fold those on the films of another hospital; and "released", where a
    network of the same recipe is published, the sensitivity and specificity at its threshold.
    """
    folds, films = open_folds(workdir, cache_dir)
    stored = workdir / OUT_OF_FOLD / "metrics.json"
    if not stored.exists():
        evaluate_out_of_fold(folds, films, workdir, read_config(folds.folders[0]))
    logits = folds.logits(films)
    figures: dict[str, Any] = {
        "out_of_fold": pooled(workdir),
        "protocols": protocol_figures(json.loads(stored.read_text())),
        "elsewhere": [elsewhere_figures(folder, table) for folder in folds.folders],
    }
    if name := PUBLISHED.get(part):
        decision = open_run(named_run(name)).decision
        shares = called_shares(films.labels, decision.probabilities(logits), decision.threshold)
        figures["released"] = {"network": name, "threshold": decision.threshold, **shares}
    return Part(figures, films.labels, logits)


def record(parts: Mapping[str, Part]) -> dict[str, Any]:
    """The figures of all parts, and by how much the AUROC with views exceeds that of the others."""
    best = parts["views"]
    differences = {
        name: delong_test(best.labels, part.logits, best.logits)._asdict()
        for name, part in parts.items()
        if part is not best
    }
    return {
        "parts": {name: part.figures for name, part in parts.items()},
        "auroc_of_views_minus": differences,
        "hardware": hardware(),
    }


def main() -> None:
    """Joins, evaluates and stores the cross-validations that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag in ("from-scratch", "fine-tuned", "to", "elsewhere"):
        parser.add_argument(f"--{flag}", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    given = parser.parse_args()
    target, cache_dir = given.to.resolve(), given.cache_dir.expanduser().resolve()
    folders = {
        "fine_tuned": given.fine_tuned.resolve(),
        "from_scratch": given.from_scratch.resolve(),
    }
    try:
        join_folds(folders, target, cache_dir)
        folders |= {part: target / part for part in ("mean", "views")}
        found = {
            part: measured(part, folder, given.elsewhere, cache_dir)
            for part, folder in folders.items()
        }
    except UserError as error:
        sys.exit(f"error: {error}")
    write_json(STORED, record(found))


if __name__ == "__main__":
    main()
