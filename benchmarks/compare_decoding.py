"""What decoding at reduced scale changes: the same films decoded in full and by the decoder's own
scaling, scored by one run.

Command:   python benchmarks/compare_decoding.py <run folder> <folder with train/>
           --output=docs/decoding.json
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pneumojax import run  # noqa: E402
from pneumojax.data.cache import load_split  # noqa: E402
from pneumojax.data.sides import preprocessing_of  # noqa: E402
from pneumojax.evaluation.metrics import call, probability  # noqa: E402
from pneumojax.files import write_json  # noqa: E402
from pneumojax.training.checkpoint import Checkpoints  # noqa: E402
from pneumojax.training.scoring import make_scorer  # noqa: E402
from pneumojax.training.state import make_mesh, make_network, placed  # noqa: E402


def compare(workdir: Path, root: Path, cache_dir: Path) -> dict[str, Any]:
    """Differences of pixels, logits and calls over the films of `root`."""
    config = run.read_config(workdir)
    network, mesh = make_network(config), make_mesh()
    params, meta = Checkpoints(workdir / "checkpoints").restore_best(
        placed(network.abstract_params, mesh)
    )
    score = make_scorer(network, mesh, config.batch_size)
    full, reduced = (
        load_split(
            root,
            "train",
            dataclasses.replace(preprocessing_of(config), reduced_decode=reduced),
            cache_dir,
            max_rejected_fraction=1.0,
        )
        for reduced in (False, True)
    )
    everything = np.arange(len(full))
    pixels = [films.pixels(everything).astype(float) for films in (full, reduced)]
    difference = np.abs(pixels[0] - pixels[1])
    logits = [score(params, films) for films in (full, reduced)]
    changed = np.abs(logits[0] - logits[1])
    return {
        "synthetic": bool(meta["synthetic"]),
        "films": len(full),
        "mean_side": float(full.sizes.mean()),
        "films_reduced": int(np.sum(difference.any(axis=(1, 2)))),
        "pixel_difference_mean": float(difference.mean()),
        "pixel_difference_99th_percentile": float(np.percentile(difference, 99)),
        "pixel_difference_largest": float(difference.max()),
        "psnr_db": float(10 * np.log10(255**2 / np.mean(difference**2))),
        "step": meta["step"],
        "logit_difference_mean": float(changed.mean()),
        "logit_difference_largest": float(changed.max()),
        "logit_standard_deviation": float(logits[0].std()),
        "calls_changed": int(np.sum(call(probability(logits[0])) != call(probability(logits[1])))),
    }


def main() -> None:
    """Prints the comparison, and writes it where --output says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    cache_dir = arguments.cache_dir.expanduser().resolve()
    result = compare(arguments.workdir.resolve(), arguments.root, cache_dir)
    for name, value in result.items():
        print(f"{name:34} {value}")
    if arguments.output:
        write_json(arguments.output.resolve(), result)


if __name__ == "__main__":
    main()
