"""Starts a network from existing weights: those of another run, or of a file of a library."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.errors import UserError
from pneumojax.files import printable, write_json
from pneumojax.inference.network import Network
from pneumojax.inference.trained_run import open_run
from pneumojax.run.stored_config import read_config, refuse_foreign_network
from pneumojax.terminal import plain_table, say
from pneumojax.training.parameter_groups import stage_name, stage_of
from pneumojax.training.state import TrainState
from pneumojax.tree_paths import by_path, nested
from pneumojax.weights import published
from pneumojax.weights.shapes import Arrays, Source


def weights_to_start_from(
    config: ConfigDict, network: Network, cache_dir: Path, *, download: bool
) -> Source | None:
    """The weights that `config.start.weights` names, or None if it names none."""
    if not config.start.weights:
        return None
    if config.start.weights == published.NAME:
        path = published.published_weights(cache_dir, download)
    else:
        path = Path(config.start.weights).expanduser()
    source = read_source(path, config.model.network)
    _check_fit(config, source)
    ours = by_path(network.abstract_params)
    common = ours.keys() & source.arrays.keys()
    if all(_fitted(source.arrays[key], ours[key].shape) is None for key in common):
        raise UserError(f"config.start.weights: no array of {source.path!r} fits this network")
    return source


def start_from(source: Source, network: Network, state: TrainState, workdir: Path) -> TrainState:
    """The state with every array of the source that has the same path and shape.

    All other arrays keep their initial values. Prints how many arrays of each stage were taken,
    and writes that to `<workdir>/start.json`, with the SHA-256 of the file they come from.
    """
    ours = by_path(network.join(state.params, state.statistics))
    merged, stages = merge(ours, source.arrays)
    report = {"weights": source.path, "kind": source.kind, "stages": stages}
    if (path := Path(source.path)).is_file():
        with path.open("rb") as file:
            report["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    if runtime.is_leader():
        write_json(workdir / "start.json", report)
    say(f"starting from {source.kind} weights, {printable(source.path)}")
    header = ("stage", "arrays taken", "new here", "of theirs unused")
    rows = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in s.values()] for s in stages]
    say(plain_table(header, rows))
    params, statistics = network.divide(nested(merged))
    average = state.average
    if average is not None:
        average = jax.tree.map(jnp.copy, network.join(params, statistics))
    return replace(state, params=params, statistics=statistics, average=average)


def read_source(path: Path, named_by_user: str = "") -> Source:
    """The arrays of a run folder, or of a file whose suffix names its kind.

    A run may use PneumoJAX's classes and `named_by_user`, `config.model.network` of the command.
    """
    if (path / "config.json").is_file():
        refuse_foreign_network(read_config(path), path, named_by_user)
        run = open_run(path, any_network=True)
        return Source(by_path(run.params), "run", str(path))
    if not path.is_file():
        raise UserError(
            f"config.start.weights: {str(path)!r} is neither a run folder nor a file. "
            f"{published.WHERE}"
        )
    if path.suffix == ".safetensors":
        from pneumojax.weights.torchvision_files import read_torchvision

        return read_torchvision(path)
    if path.suffix in (".h5", ".keras"):
        from pneumojax.weights.keras_files import read_keras

        return read_keras(path)
    raise UserError(
        f"config.start.weights: {str(path)!r} is none of .keras, .weights.h5, .h5 and "
        ".safetensors; a pickle (.pth, .pt, .pkl, .npy) is never loaded, because loading it runs "
        "the code in it: docs/inception_v3.md tells how to convert one that you trust"
    )


def merge(ours: Mapping[tuple, Any], theirs: Arrays) -> tuple[dict[tuple, Any], list[dict]]:
    """Replaces our arrays by theirs where path and shape agree, and counts them for each stage.

    If theirs take three channels and ours one, the first kernel is summed over the channels, which
    gives the same function of a grey film. Stages are in the network's order. Arrays are "taken"
    from theirs, "new" here, or "unused" because the network has none of this shape.
    """
    merged = dict(ours)
    reports: dict[str, dict] = {}
    for path in sorted(set(ours) | set(theirs), key=lambda p: (stage_of(p), str(p))):
        name = stage_name(path)
        report = reports.setdefault(name, {"stage": name, "taken": 0, "new": 0, "unused": 0})
        wanted, array = ours.get(path), theirs.get(path)
        fitted = None if wanted is None or array is None else _fitted(array, wanted.shape)
        if wanted is not None and fitted is not None:
            sharding = getattr(wanted, "sharding", None)
            merged[path] = jax.device_put(np.asarray(fitted, wanted.dtype), sharding)
            report["taken"] += 1
        else:
            report["new"] += wanted is not None
            report["unused"] += array is not None
    return merged, list(reports.values())


def _fitted(array: Any, shape: tuple[int, ...]) -> Any | None:
    """The array if it has this shape, if need be after a sum over its three channels; else None."""
    if len(shape) == 4 and array.shape == (*shape[:2], 3, shape[3]) and shape[2] == 1:
        array = array.sum(2, keepdims=True)
    return array if array.shape == shape else None


def _check_fit(config: ConfigDict, source: Source) -> None:
    """Raises UserError if, by the config, the network would use the arrays in another way."""
    wanted: dict[str, Any] = {"data.normalise": "symmetric"}
    if source.kind == "run":
        theirs = read_config(Path(source.path))
        wanted = {"data.normalise": theirs.data.normalise}
    for field in ("norm_scale", "pool_counts_padding"):
        if source.kind != "run" and field in config.model:
            wanted[f"model.{field}"] = source.kind == "torchvision"
    for field, value in wanted.items():
        group, name = field.split(".")
        if config[group][name] != value:
            raise UserError(
                f"config.{field} is {config[group][name]!r}: weights of {source.kind} from "
                f"{source.path!r} need {value!r}"
            )
