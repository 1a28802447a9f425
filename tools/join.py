"""Joins runs to one run, whose network gives the mean of their calibrated logits.

Command:   python -m tools.join <run> <run> ... --to=<folder>
The runs have the same films, held out the same patients, and each gives its name to its network in
`pneumojax.nn.mean_of_networks`. The folder is a run like any other, with a decision by the rule of
the first run's config, fitted on the common validation films. `joined.json` has the digest of each
run's parameters, and the weights that it began from. Evaluate the folder as any other run.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.data.out_of_distribution import fit_distribution
from pneumojax.data.splits import load_splits, preprocessing_of
from pneumojax.errors import UserError
from pneumojax.files import write_json
from pneumojax.inference.decision import fit_decision
from pneumojax.inference.forward import make_batched, make_forward
from pneumojax.inference.network import make_network
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.run.begin import begin
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.film_list import read_films
from pneumojax.run.provenance import versions, write_provenance
from pneumojax.run.published import lineage
from pneumojax.sharding import make_mesh

MEAN = "pneumojax.nn.mean_of_networks:MeanOfNetworks"


def described(run: TrainedRun, temperature: float) -> dict[str, Any]:
    """The entry of one run's network in `config.model.networks`."""
    model = run.config.model.to_dict()
    kind = model.pop("network").rpartition(":")[2]
    if model.pop("dtype") != "float32":
        raise UserError(f"the run {run.config.name!r} does not compute in float32")
    return {
        "kind": kind,
        "temperature": temperature,
        "image_size": run.config.data.image_size,
        "normalise": run.config.data.normalise,
        **model,
    }


def joined_config(runs: Mapping[str, TrainedRun], temperatures: Mapping[str, float]) -> ConfigDict:
    """The config of the first run, with all networks and the largest films of any."""
    config = ConfigDict(next(iter(runs.values())).config.to_dict())
    config.name = "joined"
    config.data.image_size = max(run.config.data.image_size for run in runs.values())
    config.data.normalise = "unit"  # each network normalises for itself
    config.augment.size = 0
    config.start.weights = ""
    config.finetune.frozen_epochs, config.finetune.backbone_rate = 0, 1.0
    config.model = ConfigDict(
        {
            "network": MEAN,
            "dtype": "float32",
            "networks": {name: described(run, temperatures[name]) for name, run in runs.items()},
        }
    )
    return config.lock()


def check_same_films(folders: list[Path]) -> None:
    """Raises UserError unless all runs were trained on the same films and held out the same."""
    films = [{(row["sha256"], row["side"]) for row in read_films(folder)} for folder in folders]
    for folder, found in zip(folders, films, strict=True):
        if found != films[0]:
            raise UserError(f"{folder.name!r} has other films, or held out others, than the first")


def join(
    folders: Mapping[str, Path],
    target: Path,
    cache_dir: Path,
    temperatures: Mapping[str, float] | None = None,
) -> int:
    """Writes the joined run; the first run's config says where the films are.

    Args:
        folders: the run folders, by the names that their networks get.
        target: the folder to make.
        cache_dir: the folder of decoded films.
        temperatures: by the same names, what divides the logits of each network. By default it is
            the run's own temperature, which was fitted on its validation films.

    Returns:
        The number of films on which the decision was fitted.

    Raises:
        UserError: a run cannot be opened, the runs held out other films, there are no validation
            films, or the folder is taken.
    """
    runs = {name: open_run(folder) for name, folder in folders.items()}
    check_same_films(list(folders.values()))
    if temperatures is None:
        temperatures = {name: run.decision.temperature for name, run in runs.items()}
    origins = {
        name: {"params": run.meta["digests"]["params"]}
        | (run.meta.get("lineage") or lineage(folders[name]))
        for name, run in runs.items()
    }
    params = {"networks": {name: run.params for name, run in runs.items()}}
    first = next(iter(runs.values()))
    config = joined_config(runs, temperatures)
    return write_run(target, config, params, first.meta, origins, cache_dir)


def write_run(
    target: Path,
    config: ConfigDict,
    params: dict[str, Any],
    of: Mapping[str, Any],
    origins: dict[str, Any],
    cache_dir: Path,
) -> int:
    """Writes a run from parameters that were trained elsewhere.

    Args:
        target: the run folder to make.
        config: the config of the run. Its decision rule is fitted on its validation films.
        params: the parameters of its network, with running statistics.
        of: the metadata of a run with the same classes.
        origins: what joined.json says about each network.
        cache_dir: the folder of decoded films.

    Returns:
        The number of films on which the decision was fitted.

    Raises:
        UserError: there are no validation films, or the folder is taken.
    """
    splits = load_splits(config, cache_dir)
    if splits.validation is None:
        raise UserError("there are no validation films, on which the decision is fitted")
    network, mesh = make_network(config), make_mesh()
    score = make_batched(make_forward(network, mesh), mesh, config.batch_size)
    logits = score(params, splits.validation)
    decision = fit_decision(config.decision, splits.validation.labels, logits)
    begin(target, config)
    write_provenance(target, splits, config)
    (target / "metrics.jsonl").touch()
    write_json(target / "joined.json", origins)
    meta = {
        "config": config.to_dict(),
        "preprocessing": preprocessing_of(config).as_dict(),
        "class_names": list(of["class_names"]),
        "films": splits.fingerprint,
        "synthetic": of["synthetic"],
        "decision": decision._asdict(),
        "scope": fit_distribution(splits.train),
        "versions": versions(),
        "epoch": 0,  # nothing was trained
    }
    Checkpoints(target / "checkpoints").save_best(0, params, meta)
    return decision.films


def main() -> None:
    """Joins the runs that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    given = parser.parse_args()
    folders = {run.name: run for run in (folder.expanduser().resolve() for folder in given.runs)}
    try:
        if len(folders) < len(given.runs):
            raise UserError("two runs have the same name; rename the folder of one")
        fitted = join(folders, given.to.resolve(), given.cache_dir.expanduser().resolve())
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"joined {', '.join(folders)}; the decision was fitted on {fitted} films")


if __name__ == "__main__":
    main()
