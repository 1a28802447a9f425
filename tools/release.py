"""Packs a run into a small run folder, such as models/reference, that can be published.

Command:   python -m tools.release <run folder> --to=models/reference \\
               [--decision=<decision.json>] [--forecast=<forecast.json>]
The packed run keeps the parts that other commands read: config, provenance, epochs and the weights
of the best checkpoint, as safetensors, which are read without importing Orbax. Of each film it
keeps class and hash, by which an evaluation recognises films of the training set. Parameters are
stored as float16, unless this changes a call on the validation films or moves a logit by more than
`LARGEST_DIFFERENCE`.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.files import write_csv, write_json
from pneumojax.inference.decision import Decision
from pneumojax.inference.forward import make_batched, make_forward
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.run.film_list import FILM_COLUMNS, read_films
from pneumojax.run.history import read_history
from pneumojax.run.published import anonymous_film, lineage, without_paths
from pneumojax.run.seal import cast
from pneumojax.run.weights_folder import write_weights

LARGEST_DIFFERENCE = 0.02  # of a logit; at most half a percentage point of probability
LARGEST_BYTES = 5_000_000
FILMS = {
    "name": "Chest X-Ray Images (Pneumonia), training split",
    "attribution": "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and "
    "Chest X-Ray Images for Classification, Mendeley Data, 2018",
    "doi": "10.17632/rscbjbr9sj",
    "licence": "CC BY 4.0",
    "described_in": "Kermany et al., Cell 172:1122 (2018)",
}
README = """# The reference network

A run folder like any other, small enough for the repository: `python main.py predict film.jpeg` uses it if `--workdir` is not given. Research and education only, not a medical device. Its training, choice and figures are described in [the model card](../../docs/reference_model.md).

Trained on {films[name]} ({films[attribution]}, doi [{films[doi]}](https://doi.org/{films[doi]})), which is under the licence {films[licence]}; described in {films[described_in]}. The films are of children of one to five years. None of them is here: `films.csv` holds their classes and hashes, by which an evaluation recognises films of the training set.

It is the mean of two networks, one of which began from ImageNet weights of Keras Applications; `meta.json` has the lineage. `python -m tools.release` made this folder from a run.
"""  # noqa: E501


def release(
    workdir: Path,
    target: Path,
    cache_dir: Path,
    decision: dict[str, Any] | None = None,
    forecast: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Packs a run, and returns how the rounding changed its logits and calls.

    Args:
        workdir: the run folder, absolute. Its films must still be where training read them.
        target: the folder to create, absolute.
        cache_dir: the folder of decoded films.
        decision: fields of a `Decision` that replaces the run's own. The run's own is kept in the
            checkpoint as "decision_of_validation".
        forecast: a record of `evaluation.forecast`, kept in the checkpoint as "forecast".

    Raises:
        UserError: the target exists, the run has no validation films, or the packed run is larger
            than `LARGEST_BYTES`.
    """
    if target.exists():
        raise UserError(f"--to: {str(target)!r} exists already; remove it first")
    trained = open_run(workdir)
    fitted = trained.meta["decision"]
    meta = trained.meta | {
        "config": without_paths(trained.config.to_dict()),
        "decision": {k: decision[k] for k in Decision._fields} if decision else fitted,
        "decision_of_validation": fitted,
        "films_source": FILMS,
        "lineage": lineage(workdir),
    }
    if forecast:
        meta["forecast"] = forecast
    stored_as, lost = _smallest(trained, Decision(**meta["decision"]), cache_dir)
    meta |= {"stored_as": stored_as, "release": lost}
    with tempfile.TemporaryDirectory() as temporary:
        packed = Path(temporary) / "packed"
        write_json(packed / "config.json", meta["config"])
        write_json(packed / "provenance.json", _provenance(workdir))
        write_csv(packed / "films.csv", FILM_COLUMNS, map(anonymous_film, read_films(workdir)))
        lines = [json.dumps(line) + "\n" for line in read_history(workdir)]
        (packed / "metrics.jsonl").write_text("".join(lines))
        (packed / "README.md").write_text(README.format(films=FILMS))
        write_weights(packed, trained.params, meta)
        size = sum(path.stat().st_size for path in packed.rglob("*") if path.is_file())
        if size > LARGEST_BYTES:
            raise UserError(f"the packed run has {size:,} bytes, more than {LARGEST_BYTES:,}")
        shutil.copytree(packed, target)
    count = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    return (
        lost
        | {"bytes": size, "values": count, "step": meta["step"]}
        | {name: meta[name] for name in ("decision", "decision_of_validation")}
    )


def _smallest(
    trained: TrainedRun, decision: Decision, cache_dir: Path
) -> tuple[str | None, dict[str, Any]]:
    """Returns the type to store parameters in (None keeps their own), and the loss by float16."""
    films = load_splits(trained.config, cache_dir).validation
    if films is None:
        raise UserError("this run has no validation films to check the packed network on")
    score = make_batched(
        make_forward(trained.network, trained.mesh), trained.mesh, trained.config.batch_size
    )
    rounded = cast(cast(trained.params, "float16"), "float32")
    before, after = score(trained.params, films), score(rounded, films)
    calls = [decision.calls(decision.probabilities(logits)) for logits in (before, after)]
    difference = float(np.abs(before - after).max())
    changed = int(np.sum(calls[0] != calls[1]))
    kept = bool(difference <= LARGEST_DIFFERENCE and not changed)  # False for NaN
    return "float16" if kept else None, {
        "stored_as": "float16" if kept else "float32",
        "films": len(films),
        "largest_logit_difference_of_float16": difference if np.isfinite(difference) else None,
        "largest_logit_difference_allowed": LARGEST_DIFFERENCE,
        "calls_changed_by_float16": changed,
    }


def _provenance(workdir: Path) -> dict[str, Any]:
    """Reads the provenance of a run without paths of the machine."""
    stored = json.loads((workdir / "provenance.json").read_text())
    command = []
    for argument in stored["command"]:
        flag, equals, value = argument.rpartition("=")
        command.append(f"{flag}{equals}{Path(value).name if Path(value).is_absolute() else value}")
    kept = [argument for argument in command if not argument.startswith("--cache_dir")]
    return stored | {"command": kept}


def main() -> None:
    """Packs the run that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument(
        "--decision", type=Path, help="a decision.json that replaces the run's own decision"
    )
    parser.add_argument(
        "--forecast", type=Path, help="a forecast.json of tools.travelling or a cross-validation"
    )
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    parser.add_argument("--output", type=Path, help="a JSON file for the figures of the packing")
    arguments = parser.parse_args()
    decision, forecast = (
        json.loads(path.read_text()) if path else None
        for path in (arguments.decision, arguments.forecast)
    )
    cache_dir = arguments.cache_dir.expanduser().resolve()
    try:
        packed = release(
            arguments.workdir.resolve(), arguments.to.resolve(), cache_dir, decision, forecast
        )
    except UserError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(packed, indent=2))
    if arguments.output:
        write_json(arguments.output.resolve(), packed)


if __name__ == "__main__":
    main()
