"""`--mode=summary`: a network layer by layer, with what each costs and how much of a film it sees.

Nothing is computed: the network is traced on a film's shape.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial, partialmethod
from math import prod
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import flatten_dict
from jax import Array, lax
from jax.ad_checkpoint import checkpoint_name
from ml_collections import ConfigDict
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pneumojax.files import write_json
from pneumojax.inference.network import Network, make_network
from pneumojax.nn import blocks
from pneumojax.nn.blocks import Conv
from pneumojax.profiling.receptive import View, views
from pneumojax.profiling.work import count_work
from pneumojax.training.parameter_groups import stage_name

Layer = dict[str, Any]
FILM: View = View((1.0, 0.0, 0.0), (1.0, 0.0, 0.0))


def summary(config: ConfigDict, output: Path | None = None) -> dict[str, Any]:
    """Prints the layers of the network that a config describes; with `output` writes JSON too.

    Returns what that JSON holds: "layers" as `layers_of` gives them, "stages" with their sums, and
    totals.

    Raises:
        UserError: the config describes no network.
    """
    network = make_network(config)
    size = config.augment.size or config.data.image_size
    layers = layers_of(network, size)
    work = count_work(network, size)
    flat = jax.tree.leaves(network.abstract_params)
    statistics = sum(
        leaf.size for leaf in jax.tree.leaves(network.divide(network.abstract_params)[1])
    )
    parameters = sum(leaf.size for leaf in flat)
    found = {
        "network": config.model.network,
        "image_size": size,
        "parameters": parameters,
        "running_statistics": statistics,
        "multiply_adds": {"forward": work.forward, "backward": work.backward},
        "elsewhere": {
            "parameters": parameters - sum(layer["parameters"] for layer in layers),
            "multiply_adds": work.forward - sum(layer["multiply_adds"] for layer in layers),
        },
        "remarks": remarks_of(network),
        "stages": stages_of(layers),
        "layers": layers,
    }
    _print(found)
    if output:
        write_json(output, found)
        print(f"written: {output}")
    return found


def layers_of(network: Network, image_size: int) -> list[Layer]:
    """Every layer that has parameters of its own, in the order of the film's way through.

    A convolution's normalisation counts with it. "multiply_adds" of a layer are its kernel at
    every place of its output, as `count_work` counts them.

    Returns:
        "name", "stage", "kind", "window" of the kernel, "output" shape for one film, "parameters"
        with running statistics, "multiply_adds", and "sees": height and width in pixels of what
        one place of the output depends on, beyond the film's edges too; None behind a mean, from
        where on it is the whole film.
    """
    calls: dict[str, tuple[nnx.Module, tuple[int, ...]]] = {}

    def run(params: dict, film: Array) -> Any:
        module = network.module(params)
        with _watched(module, calls):
            return module(film)

    film = jax.ShapeDtypeStruct((1, image_size, image_size, 1), jnp.float32)
    traced = jax.make_jaxpr(run)(network.abstract_params, film).jaxpr
    named: dict[str, View | None] = {}
    views(traced, [None] * (len(traced.invars) - 1) + [FILM], named)
    held = dict.fromkeys(calls, 0)
    for place, leaf in flatten_dict(network.abstract_params).items():
        owners = [place[:end] for end in range(len(place)) if _name(place[:end]) in calls]
        if owners:
            held[_name(owners[-1])] += leaf.size
    rows = []
    for name, (layer, shape) in calls.items():
        kernel = getattr(layer, "kernel", None)
        window = [] if kernel is None else list(kernel.shape)
        view = named[name]
        rows.append(
            {
                "name": name,
                "stage": stage_name(tuple(name.split("/"))),
                "kind": type(layer).__name__,
                "window": window[:-2],
                "output": list(shape[1:]),
                "parameters": held[name],
                "multiply_adds": prod(window) * prod(shape[1:-1]) if window else 0,
                "sees": list(view.sides) if view and view.bounded else None,
            }
        )
    return rows


@contextlib.contextmanager
def _watched(
    module: nnx.Module, calls: dict[str, tuple[nnx.Module, tuple[int, ...]]]
) -> Iterator[None]:
    """Within, each layer's result is noted in `calls`, and named in the traced program.

    `blocks.convolved` is replaced, through which all convolutions go, one by one or several side
    by side; of other layers `__call__`, on the classes, where Python looks it up.
    """
    names = {
        id(part): _name(path)
        for path, part in nnx.iter_modules(module)
        if any(isinstance(value, nnx.Param) for value in vars(part).values())
        and not isinstance(part, nnx.BatchNorm)
    }

    def noted(layer: nnx.Module, result: Any) -> Any:
        if id(layer) not in names:
            return result
        name = names[id(layer)]
        calls[name] = layer, jax.tree.leaves(result)[0].shape
        return jax.tree.map(lambda array: checkpoint_name(array, name), result)

    def convolved(plain: Callable, convs: Sequence[Conv], x: Array) -> Array:
        widths = [conv.out_features for conv in convs]
        parts = lax.split(plain(convs, x), widths, axis=-1)
        return jnp.concatenate([noted(*each) for each in zip(convs, parts, strict=True)], axis=-1)

    def called(plain: Callable, layer: nnx.Module, *arguments: Any, **named: Any) -> Any:
        return noted(layer, plain(layer, *arguments, **named))

    kinds = {type(part) for _, part in nnx.iter_modules(module) if id(part) in names}
    with contextlib.ExitStack() as replaced:
        watching = partial(convolved, blocks.convolved)
        replaced.enter_context(mock.patch.object(blocks, "convolved", watching))
        for kind in kinds:
            if not issubclass(kind, Conv):
                method = partialmethod(partial(called, kind.__call__))
                replaced.enter_context(mock.patch.object(kind, "__call__", method))
        yield


def _name(path: tuple) -> str:
    return "/".join(map(str, path))


def stages_of(layers: list[Layer]) -> list[Layer]:
    """What the layers of each stage add up to: "name", "layers", "parameters", "multiply_adds"."""
    stages: dict[str, Layer] = {}
    for layer in layers:
        empty = {"name": layer["stage"], "layers": 0, "parameters": 0, "multiply_adds": 0}
        stage = stages.setdefault(layer["stage"], empty)
        stage["layers"] += 1
        for key in ("parameters", "multiply_adds"):
            stage[key] += layer[key]
    return list(stages.values())


def remarks_of(network: Network) -> list[str]:
    """What modules say of themselves: a text `remark`, where they have one."""
    module = network.module(network.abstract_params)
    parts = [(_name(path), getattr(part, "remark", "")) for path, part in nnx.iter_modules(module)]
    return [f"{name}: {remark}" for name, remark in parts if remark]


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer")
    table.add_column("kernel")
    for column in ("output", "parameters", "M mult-adds", "sees"):
        table.add_column(column, justify="right", no_wrap=True)
    layers = found["layers"]
    for stage in found["stages"]:
        inside = [layer for layer in layers if layer["stage"] == stage["name"]]
        if len(inside) > 1:
            sums = (f"{stage['parameters']:,}", _millions(stage))
            table.add_row(stage["name"], "", "", *sums, "", style="bold")
        for layer in inside:
            name = layer["name"]
            if len(inside) > 1:
                name = "  " + name.removeprefix(stage["name"]).strip("/")
            table.add_row(
                name,
                _by(layer["window"]),
                _by(layer["output"]),
                f"{layer['parameters']:,}",
                _millions(layer),
                _by(layer["sees"]) if layer["sees"] else "all",
            )
    if any(found["elsewhere"].values()):
        elsewhere = found["elsewhere"]
        table.add_row("elsewhere", "", "", f"{elsewhere['parameters']:,}", _millions(elsewhere), "")
    console.print(f"{found['network']} on films of {found['image_size']} pixels")
    console.print(table)
    work = found["multiply_adds"]
    console.print(
        f"{found['parameters']:,} parameters, {found['running_statistics']:,} of them running "
        f"statistics; {work['forward'] / 1e6:,.1f} M multiply-adds a film forward, "
        f"{(work['forward'] + work['backward']) / 1e6:,.1f} M in training"
    )
    for remark in found["remarks"]:
        console.print(remark)


def _by(sizes: list[int]) -> str:
    return "x".join(map(str, sizes))


def _millions(row: dict[str, Any]) -> str:
    return f"{row['multiply_adds'] / 1e6:,.2f}"
