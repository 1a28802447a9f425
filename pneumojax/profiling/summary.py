"""`summary`: a network layer by layer, with the shape, parameters and multiply-adds of each.

Only shapes are computed: the network is traced on the shape of one film.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import flatten_dict
from jax import Array
from ml_collections import ConfigDict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pneumojax.files import write_json
from pneumojax.inference.network import Network, make_network
from pneumojax.nn.branches import BranchedModule
from pneumojax.nn.inception import count_parameters
from pneumojax.profiling.work import Work, count_work
from pneumojax.terminal import make_console
from pneumojax.training.parameter_groups import stage_name


@dataclass(frozen=True)
class Layer:
    """A layer with parameters of its own.

    name, stage: its path in the network, such as "modules/0/branch1", and the part that holds it.
    kind: name of its class.
    window: height and width of a convolution's kernel; empty for other layers.
    output: shape of its result for one film, (h, w, channels) or (units,).
    parameters: with its normalisation and running statistics.
    multiply_adds: of its kernel at every position of the output, counted as in `count_work`.
    """

    name: str
    stage: str
    kind: str
    window: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Stage:
    """Sums over the layers of a stage; `layers` is their number."""

    name: str
    layers: int
    parameters: int
    multiply_adds: int


def _sum(name: str, layers: Sequence[Layer]) -> Stage:
    parameters = sum(layer.parameters for layer in layers)
    return Stage(name, len(layers), parameters, sum(layer.multiply_adds for layer in layers))


@dataclass(frozen=True)
class Summary:
    """A network's layers and totals.

    network: "module:Class".
    image_size: height and width of the film, in pixels.
    parameters: of the whole network, with the running statistics of batch norm.
    remarks: notes that modules offer in an attribute `remark`.
    """

    network: str
    image_size: int
    parameters: int
    running_statistics: int
    work: Work
    remarks: list[str]
    layers: list[Layer]

    @property
    def stages(self) -> list[Stage]:
        """The layers' sums by stage."""
        names = dict.fromkeys(layer.stage for layer in self.layers)
        return [_sum(name, [row for row in self.layers if row.stage == name]) for name in names]

    @property
    def elsewhere(self) -> Stage:
        """Parameters and multiply-adds of the network that belong to no layer."""
        inside = _sum("", self.layers)
        multiply_adds = self.work.forward - inside.multiply_adds
        return Stage("elsewhere", 0, self.parameters - inside.parameters, multiply_adds)

    def to_json(self) -> dict[str, Any]:
        """The form in which `--output` stores it."""
        found = asdict(self)
        found["multiply_adds"] = found.pop("work")
        found["elsewhere"] = {
            name: getattr(self.elsewhere, name) for name in ("parameters", "multiply_adds")
        }
        found["stages"] = [asdict(stage) for stage in self.stages]
        return found


def summary(config: ConfigDict, output: Path | None = None) -> Summary:
    """Prints the layers of the network that a config describes; with `output` writes JSON too.

    Raises:
        UserError: the config describes no network.
    """
    network = make_network(config)
    size = config.augment.size or config.data.image_size
    _, statistics = network.divide(network.abstract_params)
    found = Summary(
        network=config.model.network,
        image_size=size,
        parameters=count_parameters(network.abstract_params),
        running_statistics=count_parameters(statistics),
        work=count_work(network, size),
        remarks=remarks_of(network),
        layers=layers_of(network, size),
    )
    _print(found)
    if output:
        write_json(output, found.to_json())
        print(f"written: {output}")
    return found


def layers_of(network: Network, image_size: int) -> list[Layer]:
    """Every layer that has parameters of its own, in the order in which a film passes them."""
    flat = flatten_dict(network.abstract_params)
    owners = {place[:-1] for place in flat}
    outputs = {
        call.path: (call.type.__name__, jax.tree.leaves(call.outputs)[0].shape)
        for call in _calls(network, image_size)
        if call.path in owners and not issubclass(call.type, nnx.BatchNorm)
    }
    held = dict.fromkeys(outputs, 0)
    for place, leaf in flat.items():
        around = [place[:end] for end in range(len(place)) if place[:end] in outputs]
        if around:
            held[around[-1]] += leaf.size
    layers = []
    for place, (kind, shape) in outputs.items():
        kernel = flat[*place, "kernel"].shape if (*place, "kernel") in flat else ()
        layers.append(
            Layer(
                name="/".join(map(str, place)),
                stage=stage_name(place) if place else "",
                kind=kind,
                window=kernel[:-2],
                output=shape[1:],
                parameters=held[place],
                multiply_adds=prod(kernel) * prod(shape[1:-1]) if kernel else 0,
            )
        )
    return layers


def _calls(network: Network, image_size: int) -> list[Any]:
    """flax's record of each call of a module, with its `path`, `type` and `outputs`."""
    calls: list[Any] = []

    def collect(call: Any) -> bool:
        calls.append(call)
        return False

    def run(params: dict, film: Array) -> None:
        module = network.module(params)
        module.set_attributes(BranchedModule, fused=False, raise_if_not_found=False)
        nnx.tabulate(module, film, None, row_filter=collect)

    film = jax.ShapeDtypeStruct((1, image_size, image_size, 1), jnp.float32)
    jax.eval_shape(run, network.abstract_params, film)
    return calls


def remarks_of(network: Network) -> list[str]:
    """Notes that modules offer in an attribute `remark`, each after the module's path."""
    module = network.module(network.abstract_params)
    parts = [(path, getattr(part, "remark", "")) for path, part in nnx.iter_modules(module)]
    return [f"{'/'.join(map(str, path))}: {remark}" for path, remark in parts if remark]


def _print(found: Summary) -> None:
    table = Table("layer", "kernel", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("output", "parameters", "M mult-adds"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage in found.stages:
        indent = ""
        if stage.layers > 1:
            indent = "  "
            table.add_row(stage.name, "", "", *_costs(stage), style="bold")
        for layer in found.layers:
            if layer.stage == stage.name:
                name = layer.name.removeprefix(stage.name).strip("/") if indent else layer.name
                shapes = (_by(layer.window), _by(layer.output))
                table.add_row(indent + name, *shapes, *_costs(layer))
    if found.elsewhere.parameters or found.elsewhere.multiply_adds:
        table.add_row("elsewhere", "", "", *_costs(found.elsewhere))
    console = make_console()
    console.print(f"{found.network} on films of {found.image_size} pixels")
    console.print(table)
    console.print(
        f"{found.parameters:,} parameters, {found.running_statistics:,} of them running "
        f"statistics; {found.work.forward / 1e6:,.1f} M multiply-adds a film forward, "
        f"{(found.work.forward + found.work.backward) / 1e6:,.1f} M in training"
    )
    for remark in found.remarks:
        console.print(remark)


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _costs(row: Layer | Stage) -> tuple[str, str]:
    return f"{row.parameters:,}", f"{row.multiply_adds / 1e6:,.2f}"
