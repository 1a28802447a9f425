"""Fits a threshold and a temperature that hold on films unlike those of the training hospital.

Command:   python -m tools.travelling --styles=<folder of runs> --of=<run> --to=<folder> \\
               [--elsewhere=<table>]
Each run in --styles was trained without the films of one style, which its table names as the split
"test" (`python -m tools.style_networks`). Its logits are divided by the temperature of its own
validation films, so that runs of different length or loss have one scale. The decision is fitted on
the logits of all runs together, in these kinds of film: validation films; the films of each style
that a run did not see; a sample of the latter under each setting of the stress test; and films of
another hospital, in a table as for `tools.elsewhere`, which the run --of scores. No film was scored
by a network that was trained on its patient. The threshold is that of
`stats.thresholds.worst_case`, and one temperature serves all kinds.

decision.json is the decision of the run --of, whose own temperature gives its scale;
`tools.release` takes it. forecast.json says what a threshold that is fitted so does on each style
and on the other hospital, if none of their films was used.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pneumojax
from pneumojax.data.cache import FilmCache
from pneumojax.data.film_set import FilmSet
from pneumojax.data.splits import configured_folder, load_configured, load_splits
from pneumojax.errors import UserError
from pneumojax.evaluation.audits.perturbations import PERTURBATIONS
from pneumojax.evaluation.audits.robustness import sample_films
from pneumojax.evaluation.audits.stress import STRESSES
from pneumojax.evaluation.forecast import Forecast, Logits, forecast
from pneumojax.files import write_json
from pneumojax.inference.decision import Decision
from pneumojax.inference.predictor import Predictor
from pneumojax.stats.calibration import fit_temperature
from pneumojax.stats.metrics import probability
from pneumojax.stats.thresholds import worst_case
from tools.elsewhere import read_films

COLUMN = "style"
VALIDATION, ELSEWHERE = "validation", "another hospital"
DEGRADED = 200  # films of each style under each setting of the stress test


@dataclass(frozen=True)
class Scores:
    """Films of one or more kinds, scored by networks that did not see their patients.

    labels, logits: (n,); the logits are divided by the temperature of their network.
    style: str (n,), the style of each film.
    kind: str (n,), how the film was met: `VALIDATION`, the unseen style, or a setting of stress.
    """

    labels: NDArray
    logits: NDArray
    style: NDArray
    kind: NDArray

    def __getitem__(self, chosen: NDArray) -> "Scores":
        parts = (self.labels, self.logits, self.style, self.kind)
        return Scores(*(part[chosen] for part in parts))


def together(parts: list[Scores]) -> Scores:
    """Several sets of scores as one."""
    names = ("labels", "logits", "style", "kind")
    return Scores(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def scores_of(folder: Path, cache_dir: Path) -> Iterator[Scores]:
    """Scores the validation films of a run, and the films of its split "test" plain and degraded.

    Raises:
        UserError: the run has no validation films, or its table has no split "test".
    """
    run = Predictor.open([folder])
    run = run.in_batches_of(run.first.config.batch_size)
    config = run.first.config

    def scored(films: FilmSet, kind: str) -> Scores:
        style = np.asarray(films.columns[COLUMN])
        logits = run.logits(films)[0] / run.decision.temperature
        return Scores(films.labels, logits, style, np.full(len(films), kind, object))

    validation = load_splits(config, cache_dir).validation
    if validation is None:
        raise UserError(f"{str(folder)!r} has no validation films, which give its scale")
    yield scored(validation, VALIDATION)
    cache = FilmCache(cache_dir, config.data.max_cache_gb)
    unseen = load_configured(config, configured_folder(config, cache_dir), "test", cache)
    yield scored(unseen, str(unseen.columns[COLUMN][0]))
    sample = unseen.select(sample_films(unseen.labels, DEGRADED))
    images = sample.pixels(np.arange(len(sample)))
    for name in STRESSES:
        for level in PERTURBATIONS[name].levels:
            changed = PERTURBATIONS[name].apply(images, level)
            degraded = replace(sample, images=changed, places=np.arange(len(changed)))
            yield scored(degraded, f"{name} {level}")


def scores_elsewhere(workdir: Path, table: Path) -> Scores:
    """Scores the films of another hospital's table that radiologists read."""
    model = pneumojax.load(workdir)
    rows = read_films(table)
    answers = model.predict([table.parent / row["path"] for row in rows])
    labels = np.array([row["label"] == "PNEUMONIA" for row in rows], np.int64)
    probability = np.asarray(answers.probability)
    kind = np.full(len(rows), ELSEWHERE, object)
    return Scores(labels, np.log(probability) - np.log1p(-probability), kind.astype(str), kind)


def decide(scores: Scores) -> Decision:
    """Fits the threshold for the worst kind of film, and one temperature for all kinds."""
    temperature = fit_temperature(scores.labels, scores.logits)
    kinds = np.unique(scores.kind, return_inverse=True)[1]
    point = worst_case(scores.labels, scores.logits, kinds)
    threshold = float(probability(point.logit / temperature))
    return Decision("worst_case", temperature, threshold, scores.labels.size, "")


def fit(
    folders: list[Path], of: Path, cache_dir: Path, elsewhere: Path | None = None
) -> tuple[Decision, Forecast]:
    """Fits the decision of a run from runs that each did not see one style.

    Args:
        folders: the runs without a style.
        of: the run, whose own temperature gives its scale.
        elsewhere: a table of another hospital's films.

    Raises:
        UserError: a run cannot be used as `scores_of` says, or a style is unseen by no run.
    """
    parts = [part for folder in folders for part in scores_of(folder, cache_dir)]
    if elsewhere:
        parts.append(scores_elsewhere(of, elsewhere))
    scores = together(parts)
    names = sorted(set(scores.style), key=lambda name: (name == ELSEWHERE, name))
    unseen = scores[scores.kind == scores.style]
    if missing := sorted(set(names) - set(unseen.style)):
        raise UserError(f"--styles: no run was trained without {', '.join(missing)}")
    group = np.array([names.index(name) for name in unseen.style])
    found = forecast(
        Logits(unseen.labels, unseen.logits, group),
        COLUMN,
        names,
        lambda i: decide(scores[scores.style != names[i]]),
    )
    decision, own = decide(scores), Predictor.open([of]).decision.temperature
    return decision._replace(temperature=decision.temperature * own), found


def main() -> None:
    """Fits the decision that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--of", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--elsewhere", type=Path, help="a table of another hospital's films")
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    given = parser.parse_args()
    styles, of, target, cache_dir = (
        path.expanduser().resolve() for path in (given.styles, given.of, given.to, given.cache_dir)
    )
    folders = sorted(path.parent for path in styles.glob("*/config.json"))
    try:
        if not folders:
            raise UserError(f"--styles: no run in {str(styles)!r}")
        decision, found = fit(folders, of, cache_dir, given.elsewhere)
    except UserError as error:
        sys.exit(f"error: {error}")
    write_json(target / "decision.json", decision._asdict())
    write_json(target / "forecast.json", found.record())
    print(
        f"threshold {decision.threshold:.4f}, temperature {decision.temperature:.4f}, fitted on "
        f"{decision.films:,} scores"
    )
    print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
