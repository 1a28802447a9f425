"""Does the size of a film's file change its answer? The same films from two folders, one network.

Command:   python benchmarks/compare_sizes.py <run folder> <folder> <other folder> --output=x.json
Films are matched by file name; both folders are read by the run's own preprocessing.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pneumojax import run  # noqa: E402
from pneumojax.data.cache import FilmSet, load_split  # noqa: E402
from pneumojax.data.sides import preprocessing_of  # noqa: E402
from pneumojax.evaluation.metrics import auroc, call, probability  # noqa: E402
from pneumojax.files import write_json  # noqa: E402
from pneumojax.training.checkpoint import Checkpoints  # noqa: E402
from pneumojax.training.scoring import make_scorer  # noqa: E402
from pneumojax.training.state import make_mesh, make_network, placed  # noqa: E402


def compare(workdir: Path, roots: list[Path], cache_dir: Path) -> dict[str, Any]:
    """Differences of pixels, logits and calls over the films that both folders have."""
    config = run.read_config(workdir)
    network, mesh = make_network(config), make_mesh()
    params, meta = Checkpoints(workdir / "checkpoints").restore_best(
        placed(network.abstract_params, mesh)
    )
    score = make_scorer(network, mesh, config.batch_size)

    def load(root: Path) -> FilmSet:
        return load_split(
            root, "train", preprocessing_of(config), cache_dir, max_rejected_fraction=1.0
        )

    first, second = (load(root) for root in roots)
    common = sorted(set(first.paths) & set(second.paths))
    first, second = (
        films.select(np.array([films.paths.index(path) for path in common]))
        for films in (first, second)
    )
    pixels = [films.pixels(np.arange(len(common))).astype(float) for films in (first, second)]
    logits = [score(params, films) for films in (first, second)]
    difference = np.abs(logits[0] - logits[1])
    calls = [call(probability(values)) for values in logits]
    return {
        "synthetic": bool(meta["synthetic"]),
        "films": len(common),
        "folders": [root.name for root in roots],
        "mean_sides": [float(films.sizes.mean()) for films in (first, second)],
        "step": meta["step"],
        "pixel_difference_mean": float(np.abs(pixels[0] - pixels[1]).mean()),
        "logit_difference_mean": float(difference.mean()),
        "logit_difference_median": float(np.median(difference)),
        "logit_difference_largest": float(difference.max()),
        "logit_standard_deviation": float(logits[0].std()),
        "logit_correlation": float(np.corrcoef(logits)[0, 1]),
        "calls_changed": int(np.sum(calls[0] != calls[1])),
        "auroc": [float(auroc(first.labels, values)) for values in logits],
    }


def main() -> None:
    """Prints the comparison, and writes it where --output says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("roots", type=Path, nargs=2)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    cache_dir = arguments.cache_dir.expanduser().resolve()
    result = compare(arguments.workdir.resolve(), arguments.roots, cache_dir)
    for name, value in result.items():
        print(f"{name:26} {value}")
    if arguments.output:
        write_json(arguments.output.resolve(), result)


if __name__ == "__main__":
    main()
