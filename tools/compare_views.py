"""Scores a published network with each choice of test-time views.

Command:   python -m tools.compare_views reference_2 --films=<folder with train/> \\
               --elsewhere=<table of another hospital's films> [--write]
Each view is scored once, and the logits of a choice are the mean of those of its views, as
`config.test_time.views` has it. The films are those that the network held out, and the films of the
table that radiologists read. The record is records/reference/views.json.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from benchmarks.hardware import hardware
from pneumojax.data.splits import load_splits
from pneumojax.decoding.film import decode_film, read_bytes
from pneumojax.files import write_json
from pneumojax.inference.forward import make_batched, to_unit_range
from pneumojax.inference.network import VIEWS, predicting_logits
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.sharding import make_mesh
from pneumojax.shipped import named_run
from pneumojax.stats.estimates import Limited
from pneumojax.stats.metrics import auroc
from tools.docs.places import REFERENCE
from tools.elsewhere import VIEWS as PROJECTIONS
from tools.elsewhere import read_films

STORED = REFERENCE / "views.json"
BATCH, RESAMPLES, SEED = 16, 1000, 0
Logits = dict[str, NDArray[np.float64]]  # by view; "" is the film itself


def logits_by_view(run: TrainedRun, pixels: NDArray[np.uint8]) -> Logits:
    """The logits (n,) of films (n, h, w) as each view shows them."""

    def scored(view: str) -> NDArray[np.float32]:
        def logits(params: dict, images: jax.Array) -> jax.Array:
            films = to_unit_range(images)
            seen = VIEWS[view](films) if view else films
            return predicting_logits(run.network.logits(params, seen))

        return make_batched(logits, make_mesh(), BATCH)(run.params, pixels)

    return {view: scored(view).astype(np.float64) for view in ("", *VIEWS)}


def mean_auroc(
    labels: NDArray, logits: NDArray[np.float64], projections: NDArray, rows: NDArray
) -> float:
    """The mean of the AUROC among AP and among PA films, of these rows."""
    chosen = [rows[projections[rows] == name] for name in PROJECTIONS]
    return float(np.mean([auroc(labels[each], logits[each]) for each in chosen]))


def resampled(labels: NDArray, projections: NDArray, rng: np.random.Generator) -> NDArray:
    """Rows drawn with replacement, as many of each class and projection as there are."""
    groups = np.unique(np.stack([labels.astype(str), projections]), axis=1, return_inverse=True)[1]
    drawn = [
        rng.choice(rows, len(rows)) for g in np.unique(groups) for rows in np.where(groups == g)
    ]
    return np.concatenate(drawn)


def compare(run: TrainedRun, root: Path, table: Path, cache_dir: Path) -> dict[str, Any]:
    """The figures of each choice of views, the one without views first."""
    config = run.config.copy_and_resolve_references().unlock()
    config.data.root = str(root)
    held_out = load_splits(config, cache_dir).validation
    assert held_out is not None  # a published network was trained with a hold-out
    rows = read_films(table)
    labels = np.array([row["label"] == "PNEUMONIA" for row in rows], np.int64)
    projections = np.array([row["view"] for row in rows])
    films = [decode_film(read_bytes(table.parent / row["path"]), run.preprocessing) for row in rows]
    inside = logits_by_view(run, held_out.pixels(np.arange(len(held_out))))
    outside = logits_by_view(run, np.stack([film.pixels for film in films]))
    rng, everything = np.random.default_rng(SEED), np.arange(len(labels))
    draws = [resampled(labels, projections, rng) for _ in range(RESAMPLES)]

    def means(logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([mean_auroc(labels, logits, projections, draw) for draw in draws])

    alone, choices = means(outside[""]), []
    for count in range(len(VIEWS) + 1):
        for views in itertools.combinations(VIEWS, count):
            averaged = np.mean([outside[view] for view in ("", *views)], axis=0)
            low, high = np.quantile(means(averaged) - alone, (0.025, 0.975)).tolist()
            whole = [
                mean_auroc(labels, z, projections, everything) for z in (averaged, outside[""])
            ]
            choices.append(
                {
                    "views": list(views),
                    "auroc": vars(
                        Limited.of_auroc(
                            held_out.labels, np.mean([inside[v] for v in ("", *views)], axis=0)
                        )
                    ),
                    "elsewhere_auroc": whole[0],
                    "difference": {"value": whole[0] - whole[1], "low": low, "high": high},
                }
            )
    return {"films": len(held_out), "elsewhere_films": len(rows), "choices": choices}


def main() -> None:
    """Compares the choices for the network that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--elsewhere", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    parser.add_argument("--write", action="store_true", help="store the record")
    given = parser.parse_args()
    run = open_run(named_run(given.network))
    found = compare(run, given.films.resolve(), given.elsewhere, given.cache_dir.expanduser())
    for choice in found["choices"]:
        print(choice)
    if given.write:
        write_json(STORED, found | {"network": given.network, "hardware": hardware()})


if __name__ == "__main__":
    main()
