"""Begins a network from weights that are there already: another run's, or a library's file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.errors import UserError
from pneumojax.files import printable, write_json
from pneumojax.inference.network import Network, make_network
from pneumojax.run.agreement import check_before, check_config, check_meta, check_size
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.stored_config import read_config, refuse_foreign_network
from pneumojax.sharding import make_mesh, placed
from pneumojax.terminal import plain_table
from pneumojax.training.parameter_groups import stage_name, stage_of
from pneumojax.training.state import TrainState
from pneumojax.weights import published
from pneumojax.weights.tree import Arrays, Source


def weights_to_start_from(
    config: ConfigDict, network: Network, cache_dir: Path, *, download: bool
) -> Source | None:
    """What `config.start.weights` names; None where it names nothing. Nothing is written.

    Raises:
        UserError: no weights there, none that fit, or ones that need other grey levels or pools.
    """
    if not config.start.weights:
        return None
    if config.start.weights == published.NAME:
        path = published.published_weights(cache_dir, download)
    else:
        path = Path(config.start.weights).expanduser()
    source = read_source(path, config.model.network)
    _check_fit(config, source)
    ours = flatten_dict(network.abstract_params)
    common = ours.keys() & source.arrays.keys()
    if all(_fitted(source.arrays[place], ours[place].shape) is None for place in common):
        raise UserError(f"config.start.weights: nothing of {source.path!r} has a place here")
    return source


def start_from(source: Source, network: Network, state: TrainState, workdir: Path) -> TrainState:
    """The state with every array of a source that has its place and shape here.

    What has no place, or another shape, such as the head of another question, keeps its initial
    values. Prints what was taken, stage by stage, and writes it to `<workdir>/start.json`.
    """
    ours = flatten_dict(network.join(state.params, state.statistics))
    merged, rows = merge(ours, source.arrays)
    report = {"weights": source.path, "kind": source.kind, "stages": rows}
    if runtime.is_leader():
        write_json(workdir / "start.json", report)
    print(f"starting from {source.kind} weights, {printable(source.path)}")
    print(_table(rows))
    params, statistics = network.divide(unflatten_dict(merged))
    average = state.average
    if average is not None:
        average = jax.tree.map(np.copy, network.join(params, statistics))
    return replace(state, params=params, statistics=statistics, average=average)


def read_source(path: Path, named_by_user: str = "") -> Source:
    """The arrays of a run folder or a file, by its suffix.

    Args:
        named_by_user: `config.model.network` of the command, which a run may be of as well.

    Raises:
        UserError: there is nothing, or something else.
    """
    if (path / "config.json").is_file():
        config = read_config(path)
        refuse_foreign_network(config, path, named_by_user)
        checkpoints = Checkpoints(path / "checkpoints")
        check_before(checkpoints, config)
        network = make_network(config)
        check_size(network.abstract_params, path)
        params, meta = checkpoints.restore_best(placed(network.abstract_params, make_mesh()))
        check_meta(meta, path)
        check_config(meta, config, path)
        return Source(flatten_dict(params), "run", str(path))
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
        ".safetensors; a pickle (.pth, .pt, .pkl, .npy) is never loaded, since that runs what is "
        "in it: docs/inception_v3.md tells how to convert one that you trust"
    )


def merge(ours: Mapping[tuple, Any], theirs: Arrays) -> tuple[dict, list[dict[str, Any]]]:
    """Our arrays with theirs in place of those that have the same place and shape.

    Where they take three channels and we take one, the first kernel is summed over them: the same
    function of a grey film.

    Returns:
        The arrays; and for each stage, in the network's order, "stage", "taken", "new" and
        "unused": how many arrays came from there, kept their initial values here, or had no place.
    """
    merged = dict(ours)
    counts: dict[str, dict[str, Any]] = {}
    for place in sorted(set(ours) | set(theirs), key=lambda p: (stage_of(p), str(p))):
        row = counts.setdefault(stage_name(place), {"taken": 0, "new": 0, "unused": 0})
        array = theirs.get(place)
        if place not in ours:
            row["unused"] += 1
            continue
        wanted = ours[place]
        fitted = None if array is None else _fitted(array, wanted.shape)
        if fitted is None:
            row["new"] += 1
            row["unused"] += array is not None
            continue
        row["taken"] += 1
        merged[place] = jax.device_put(
            np.asarray(fitted, wanted.dtype), getattr(wanted, "sharding", None)
        )
    return merged, [{"stage": name, **row} for name, row in counts.items()]


def _fitted(array: Any, shape: tuple[int, ...]) -> Any | None:
    """The array if it has this shape, or has with its three channels summed to one; else None."""
    if len(shape) == 4 and array.shape == (*shape[:2], 3, shape[3]) and shape[2] == 1:
        array = array.sum(2, keepdims=True)
    return array if array.shape == shape else None


def _check_fit(config: ConfigDict, source: Source) -> None:
    """Raises UserError where the same arrays would be another function here."""
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


def _table(rows: list[dict[str, Any]]) -> str:
    header = ("stage", "arrays taken", "new here", "of theirs unused")
    cells = [
        (row["stage"], *(f"{row[key]:,}" for key in ("taken", "new", "unused"))) for row in rows
    ]
    return plain_table(header, cells)
