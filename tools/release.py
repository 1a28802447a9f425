"""Packs a run into the small run folder that the repository carries its reference network in.

Command:   python -m tools.release <run folder> --to=models/reference \\
               [--decision=<out_of_fold/decision.json>]
What any command needs of a run is kept: config, provenance, epochs, the best checkpoint, and of
the films their classes and hashes, by which an evaluation tells whether it has been trained on
them. Parameters are stored as float16 where no call on the run's validation films changes by it
and no logit moves by more than `LARGEST_DIFFERENCE`, else as they are.

`reseal` gave the released checkpoint, which an earlier version had written, its seal:
    python -c "from pathlib import Path; from tools.release import reseal; \
        reseal(Path('models/reference/checkpoints/best/4704/meta/metadata'))"
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
from pneumojax.files import replacing, write_csv, write_json
from pneumojax.inference.batching import make_batched
from pneumojax.inference.decision import Decision
from pneumojax.inference.forward import make_forward
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.run.arrays import cast
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.film_list import FILM_COLUMNS, hidden, read_films
from pneumojax.run.history import read_history
from pneumojax.run.seal import check_seal, sealed

LARGEST_DIFFERENCE = 0.02  # of a logit: at most half a percentage point of probability
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

A run folder like any other, small enough for the repository: `python main.py --mode=predict film.jpeg` uses it where no `--workdir` is named. Research and education only, not a medical device. What it is, how it was chosen and what it is worth: [the model card](../../docs/reference_model.md).

Trained on {films[name]} ({films[attribution]}, doi [{films[doi]}](https://doi.org/{films[doi]})), which is under the licence {films[licence]}; described in {films[described_in]}. The films are of children of one to five years. None of them is here: `films.csv` holds their classes and hashes, by which an evaluation tells films that were trained on.

`python -m tools.release` made this folder of a run.
"""  # noqa: E501


def release(
    workdir: Path, target: Path, cache_dir: Path, decision: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Packs a run, and says what was lost by it.

    Args:
        workdir: the run folder, absolute; its films must be where it found them.
        target: the folder to make, absolute.
        cache_dir: of decoded films.
        decision: a `Decision` as a dict that takes the place of the run's own; the run's own is
            kept in the checkpoint as "decision_of_validation".

    Raises:
        UserError: the target is there already, the run has no validation, or what comes out is
            larger than `LARGEST_BYTES`.
    """
    if target.exists():
        raise UserError(f"--to: {str(target)!r} is there already; remove it first")
    trained = open_run(workdir)
    fitted = trained.meta["decision"]
    meta = trained.meta | {
        "config": _without_paths(trained.config.to_dict()),
        "decision": {k: decision[k] for k in Decision._fields} if decision else fitted,
        "decision_of_validation": fitted,
        "films_source": FILMS,
    }
    stored_as, lost = _smallest(trained, Decision(**meta["decision"]), cache_dir)
    step = meta.pop("step")
    del meta["digests"]
    with tempfile.TemporaryDirectory() as temporary:
        packed = Path(temporary) / "packed"
        write_json(packed / "config.json", meta["config"])
        write_json(packed / "provenance.json", _provenance(workdir))
        write_csv(packed / "films.csv", FILM_COLUMNS, map(_film, read_films(workdir)))
        lines = [json.dumps(line) + "\n" for line in read_history(workdir)]
        (packed / "metrics.jsonl").write_text("".join(lines))
        (packed / "README.md").write_text(README.format(films=FILMS))
        Checkpoints(packed / "checkpoints").save_best(
            step, trained.params, meta | {"release": lost}, stored_as
        )
        size = sum(path.stat().st_size for path in packed.rglob("*") if path.is_file())
        if size > LARGEST_BYTES:
            raise UserError(f"the packed run has {size:,} bytes, more than {LARGEST_BYTES:,}")
        shutil.copytree(packed, target)
    count = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    return (
        lost
        | {"bytes": size, "values": count, "step": step}
        | {name: meta[name] for name in ("decision", "decision_of_validation")}
    )


def reseal(metadata: Path) -> None:
    """Seals the metadata of a released checkpoint of an earlier version; its arrays stay."""
    meta = json.loads(metadata.read_text())
    if check_seal(meta):
        raise UserError(f"{str(metadata)!r} has a seal already")
    with replacing(metadata) as temporary:
        temporary.write_text(json.dumps(sealed(meta)))


def _smallest(
    trained: TrainedRun, decision: Decision, cache_dir: Path
) -> tuple[str | None, dict[str, Any]]:
    """The type to store parameters in, None for their own, and what float16 would lose."""
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
    kept = bool(difference <= LARGEST_DIFFERENCE and not changed)  # false for NaN too
    return "float16" if kept else None, {
        "stored_as": "float16" if kept else "float32",
        "films": len(films),
        "largest_logit_difference_of_float16": difference if np.isfinite(difference) else None,
        "largest_logit_difference_allowed": LARGEST_DIFFERENCE,
        "calls_changed_by_float16": changed,
    }


def _film(row: dict[str, str]) -> list[str]:
    """A row of films.csv without names."""
    anonymous = {"file": "", "patient": hidden(row["patient"])}
    return [(row | anonymous)[name] for name in FILM_COLUMNS]


def _without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the name of the films' folder alone."""
    return config | {"data": config["data"] | {"root": Path(config["data"]["root"]).name}}


def _provenance(workdir: Path) -> dict[str, Any]:
    """What a run says of its origin, without paths of the machine."""
    stored = json.loads((workdir / "provenance.json").read_text())
    command = []
    for argument in stored["command"]:
        flag, equals, value = argument.rpartition("=")
        command.append(f"{flag}{equals}{Path(value).name if Path(value).is_absolute() else value}")
    kept = [argument for argument in command if not argument.startswith("--cache_dir")]
    return stored | {"command": kept}


def main() -> None:
    """Packs, and writes what was lost beside the other figures of the reference network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--decision", type=Path, help="in place of the run's own")
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    parser.add_argument("--output", type=Path, help="JSON of what was packed")
    arguments = parser.parse_args()
    decision = json.loads(arguments.decision.read_text()) if arguments.decision else None
    cache_dir = arguments.cache_dir.expanduser().resolve()
    try:
        packed = release(arguments.workdir.resolve(), arguments.to.resolve(), cache_dir, decision)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(packed, indent=2))
    if arguments.output:
        write_json(arguments.output.resolve(), packed)


if __name__ == "__main__":
    main()
