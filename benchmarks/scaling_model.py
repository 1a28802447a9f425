"""A model of a training step's time on 1 to 1,024 H100s: nothing of it was run on a GPU.

Command:   python benchmarks/scaling_model.py --write
--write renders docs/scaling.json into docs/scaling.md and draws docs/images/scaling_model.png. With
--measure=<folder of films as published> what is measured for it alone is measured anew.

A step takes the longer of its input and of (roofline / share reached + launches + sums over the
GPUs). Nothing else overlaps: gradients are summed once, at the end. A sum is reduced inside each
box, summed between the boxes by each GPU over its own port, and spread inside the boxes again, by
the quicker of ring and tree (Thakur et al. 2005, doi 10.1177/1094342005051521; Sanders et al. 2009,
doi 10.1016/j.parco.2009.09.001). benchmarks/scaling_parts.py has the numbers that go in.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import scaling_page  # noqa: E402
from benchmarks.roofline import FLOAT32, PASSES, Layer  # noqa: E402
from benchmarks.scaling_parts import DOCS, Part, measure, parts  # noqa: E402
from configs import base, inception_v3, reference  # noqa: E402
from pneumojax.files import write_json  # noqa: E402
from pneumojax.profiling.work import _inner, _products  # noqa: E402
from pneumojax.training.state import Network, make_network  # noqa: E402

STORED = DOCS / "scaling.json"
GPUS = (1, 8, 64, 512, 1024)
FILMS_EACH, FILMS_TOGETHER = 64, 1024  # of a step: on each GPU (weak), on all together (strong)
SETS = {"small": 5_216, "large": 10_000_000}  # films
CONFIGS = {"base": base, "reference": reference, "Inception-v3": inception_v3}
STATISTICS = 2 * 256 * FLOAT32  # bytes of a norm's sums; beside the latency it does not matter


@dataclass(frozen=True)
class Counts:
    """What is counted from a config's network.

    Args:
        side: pixels of a film as it is read; `augment.size` may show it smaller.
    """

    side: int
    parameters: int
    layers: tuple[Layer, ...]

    @property
    def norms(self) -> int:
        """Batch norms, each of which sums over all devices once forward and once backward.

        Those that a module's branches begin or end in are computed as one.
        """
        return sum(layer.name == "norm" for layer in self.layers)

    @property
    def film_bytes(self) -> int:
        """Of a decoded film: uint8, grey."""
        return self.side**2

    @property
    def kernels(self) -> int:
        """The fewest programs that a GPU is given in a step: each layer's, and the optimizer."""
        return sum(1 + layer.gradients for layer in self.layers) + 1

    def film(self, quantity: str) -> int:
        """ "flops" or "bytes" of a step for each film more."""
        if quantity == "flops":
            return sum(layer.flops(way, 1) for layer in self.layers for way in PASSES)
        return sum(
            layer.bytes(way, 1, FLOAT32) - layer.bytes(way, 0, FLOAT32)
            for layer in self.layers
            for way in PASSES
        )


def count(config: ConfigDict) -> Counts:
    """Counted from the traced network, every layer of which is trained."""
    network, side = make_network(config), config.data.image_size
    params, _ = network.divide(network.abstract_params)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    return Counts(side, parameters, tuple(layers(network, config.augment.size or side)))


def layers(network: Network, side: int) -> Iterator[Layer]:
    """Convolutions, products, max pools and batch norms, in order, by the rules of roofline.py.

    Convolutions side by side are one, as they are computed. Average pools, activations and
    augmentation are left out.
    """
    film = jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32)
    traced = jax.make_jaxpr(network.logits)(network.abstract_params, film)
    gradients = 1  # of the first layer, whose input needs none
    for equation in _equations(traced.jaxpr):
        name, result = equation.primitive.name, equation.outvars[0].aval
        first = (equation.invars or equation.outvars)[0]
        inputs, outputs = math.prod(first.aval.shape), math.prod(result.shape)
        if name in ("conv_general_dilated", "dot_general"):
            weights, operations = math.prod(equation.invars[1].aval.shape), _products(equation)
            saved = inputs + outputs
            yield Layer(name, 2 * operations, inputs, outputs, weights, gradients, saved)
            gradients = 2
        elif name == "reduce_window_max":
            window = math.prod(equation.params["window_dimensions"])
            yield Layer(name, outputs * window, inputs, outputs, gradients=1, saved=inputs)
        elif name == "sub" and len(result.shape) == 4 and result.shape[-1] > 3:
            # Of a batch norm: read for its statistics, read again and written; backward the same.
            yield Layer("norm", 5 * outputs, 2 * outputs, outputs, gradients=1, saved=2 * outputs)


def _equations(program: Any) -> Iterator[Any]:
    """All equations of a traced program; of several for each platform those of one for GPUs."""
    for equation in program.eqns:
        yield equation
        inner = list(_inner(equation))
        for each in inner[-1:] if equation.primitive.name == "cond" else inner:
            yield from _equations(each)


def compute_seconds(counts: Counts, films: float, known: Mapping[str, Part]) -> dict[str, float]:
    """Of a GPU: "arithmetic" and "memory", in the layers that each bounds, and "launches"."""
    found = {"arithmetic": 0.0, "memory": 0.0}
    for layer in counts.layers:
        for way in PASSES:
            fixed = layer.bytes(way, 0, FLOAT32)
            moved = fixed + films * (layer.bytes(way, 1, FLOAT32) - fixed)
            times = {
                "arithmetic": layer.flops(way, 1) * films / known["arithmetic"].value,
                "memory": moved / known["memory"].value,
            }
            bound = max(times, key=lambda name: times[name])
            found[bound] += times[bound] / known["share"].value
    return found | {"launches": counts.kernels * known["launch"].value}


def sum_seconds(size: float, gpus: int, known: Mapping[str, Part]) -> float:
    """Of `size` bytes on each GPU, until each has the sum."""
    if gpus == 1:
        return 0.0
    inside = min(gpus, int(known["in_box"].value))
    boxes = math.ceil(gpus / inside)
    total = known["sum_start"].value + 2 * (inside - 1) * known["nvlink_hop"].value
    total += 2 * (inside - 1) / inside * size / known["nvlink"].value
    if boxes > 1:
        hop, part = known["network_hop"].value, size / inside / known["network"].value
        ring = 2 * (boxes - 1) * hop + 2 * (boxes - 1) / boxes * part
        tree = 2 * math.ceil(math.log2(boxes)) * hop + 2 * part
        total += min(ring, tree)
    return total


def supply(counts: Counts, gpus: int, known: Mapping[str, Part]) -> dict[str, float]:
    """Films a second for all GPUs, a process each: decoded films from the box's own memory or from
    shared storage, or full-size JPEG files from there.
    """
    boxes = math.ceil(gpus / known["in_box"].value)
    stored = min(known["storage"].value, boxes * known["storage_box"].value)
    memory = gpus * min(known["host"].value, known["pcie"].value) / counts.film_bytes
    decoded = gpus * known["cores"].value * known["decode"].value
    return {
        "memory": memory,
        "storage": min(memory, stored / counts.film_bytes),
        "jpeg": min(memory, decoded, stored / known["file"].value),
    }


def step(counts: Counts, gpus: int, films: float, known: Mapping[str, Part]) -> dict[str, Any]:
    """One row: a step of `films` on each of the GPUs, for the small set and for the large one.

    The small set is read from memory, the large one, decoded, from shared storage.
    """
    sums = {
        "gradients": sum_seconds(counts.parameters * FLOAT32, gpus, known),
        "statistics": 2 * counts.norms * sum_seconds(STATISTICS, gpus, known),
    }
    work = compute_seconds(counts, films, known) | sums
    without_input, batch = sum(work.values()), films * gpus
    rates = supply(counts, gpus, known)
    row: dict[str, Any] = {
        "gpus": gpus,
        "films_a_gpu": films,
        "work": work,
        "films_per_second_wanted": batch / without_input,
        "bytes_per_second_wanted": batch / without_input * counts.film_bytes,
        "films_per_second_supplied": rates,
    }
    for name, kind in (("small", "memory"), ("large", "storage")):
        input_seconds = batch / rates[kind]
        seconds, steps = max(without_input, input_seconds), math.ceil(SETS[name] / batch)
        longest = max(work, key=lambda part: work[part])
        row[name] = {
            "input": input_seconds,
            "seconds": seconds,
            "epoch_seconds": seconds * steps,
            "steps_an_epoch": steps,
            "bottleneck": longest if without_input >= input_seconds else "input",
        }
        if steps < 10:
            row[name]["bottleneck"] = "the set"
    return row


def starts(counts: Counts, known: Mapping[str, Part]) -> dict[str, float]:
    """The large set: its decoded size, seconds to decode it on one box, to check it at a start."""
    size, films = SETS["large"] * counts.film_bytes, SETS["large"]
    cores = known["cores"].value * known["in_box"].value
    return {
        "bytes": size,
        "bytes_of_files": films * known["file"].value,
        "decoding_seconds": films / (known["decode"].value * cores),
        "checking_seconds": size / known["checksum"].value,
    }


def model(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that docs/scaling.json holds."""
    known = parts(measured)
    counted = {name: count(module.get_config()) for name, module in CONFIGS.items()}
    return {
        "command": "python benchmarks/scaling_model.py --write",
        "run_on_gpus": False,
        "measured": dict(measured),
        "parts": {name: asdict(part) for name, part in known.items()},
        "networks": {
            name: {
                "parameters": c.parameters,
                "norms": c.norms,
                "kernels": c.kernels,
                "flops_a_film": c.film("flops"),
                "bytes_a_film": c.film("bytes"),
                "input_bytes_a_film": c.film_bytes,
                "large_set": starts(c, known),
            }
            for name, c in counted.items()
        },
        "weak": {n: [step(c, g, FILMS_EACH, known) for g in GPUS] for n, c in counted.items()},
        "strong": {
            n: [step(c, g, FILMS_TOGETHER / g, known) for g in GPUS] for n, c in counted.items()
        },
    }


def main() -> None:
    """Models, stores, renders and draws, as asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", type=Path, help="folder of films, for their files' size")
    parser.add_argument("--write", action="store_true", help="the page and the picture")
    arguments = parser.parse_args()
    if arguments.measure:
        measured = measure(arguments.measure)
    else:
        measured = json.loads(STORED.read_text())["measured"]
    result = model(measured)
    write_json(STORED, result)
    if arguments.write:
        scaling_page.write(result)
    else:
        print("\n".join(scaling_page.rendered(result).values()))


if __name__ == "__main__":
    main()
