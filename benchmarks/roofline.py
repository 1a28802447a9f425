"""A lower bound on the time of each layer of the base network, on an H100 and on this CPU.

Command:   python -m benchmarks.roofline --write
It times a matrix product and memory on this machine. --write stores the bounds in
records/performance/roofline.json. The model is that of Williams et al. 2009 (doi
10.1145/1498765.1498785): a layer takes the longer of its operations at the peak and its bytes at
the memory's bandwidth. Each tensor is read or written once.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks.hardware import hardware
from pneumojax.configs import base
from pneumojax.files import write_json
from pneumojax.profiling import devices

STORED = Path(__file__).resolve().parents[1] / "records" / "performance" / "roofline.json"
BATCHES = (64, 256)
PASSES = ("forward", "backward")
FLOAT32 = 4  # bytes; parameters and their gradients are always float32
H100_SXM_PLAIN_FLOAT32 = 67e12  # without TF32, jax_default_matmul_precision="float32"


@dataclass(frozen=True)
class Layer:
    """One layer, counted in scalars for one film.

    Args:
        operations: operations of the forward pass. A multiply-add counts as two, a comparison or
            addition of a pool as one.
        inputs, outputs: activations.
        weights: values of kernel and bias.
        gradients: how many products of the forward size the backward pass takes: 2, or 1 in the
            first layer, whose input needs no gradient, and in pools.
        saved: activations that the forward pass saves and the backward pass reads.
    """

    name: str
    operations: int
    inputs: int
    outputs: int
    weights: int = 0
    gradients: int = 2
    saved: int = 0

    def flops(self, direction: str, batch: int) -> int:
        """Counts the floating-point operations of one pass over a batch."""
        return batch * self.operations * (1 if direction == "forward" else self.gradients)

    def bytes(self, direction: str, batch: int, size: int) -> int:
        """Counts the bytes of one pass over a batch, with `size` bytes for each activation."""
        weights = self.weights * FLOAT32
        if direction == "forward":
            return batch * size * (self.inputs + self.outputs) + weights
        passed_on = self.inputs if self.gradients > 1 or not self.weights else 0
        return batch * size * (self.outputs + self.saved + passed_on) + 2 * weights


def _convolution(
    name: str, area: int, window: tuple[int, int], widths: tuple[int, int], area_in: int = 0
) -> Layer:
    """Counts a convolution with its fused bias and ReLU; `area` is the positions of the output."""
    rows, columns = window
    kernel = rows * columns * widths[0] * widths[1]
    inputs, outputs = (area_in or area) * widths[0], area * widths[1]
    operations = 2 * kernel * area
    return Layer(
        name, operations, inputs, outputs, kernel + widths[1], saved=inputs + outputs,
        gradients=1 if name == "stem1" else 2,
    )  # fmt: skip


def _dense(name: str, inputs: int, outputs: int) -> Layer:
    weights = inputs * outputs
    return Layer(name, 2 * weights, inputs, outputs, weights + outputs, saved=inputs + outputs)


def _pool(name: str, inputs: int, outputs: int, window: int, saved: int) -> Layer:
    return Layer(name, outputs * window, inputs, outputs, gradients=1, saved=saved)


def layers(config: ConfigDict) -> Iterator[Layer]:
    """Lists the layers of a config's network in order, with the auxiliary head only."""
    model, side = config.model, config.data.image_size
    sides = [side, (side - 3) // 2 + 1, (side - 3) // 2 - 1]
    areas = [each**2 for each in sides]
    stem = model.stem
    yield _convolution("stem1", areas[1], (3, 3), (model.channels, stem[0]), areas[0])
    yield _convolution("stem2", areas[2], (3, 3), (stem[0], stem[1]), areas[1])
    yield _convolution("stem3", areas[2], (3, 3), (stem[1], stem[2]))
    grid = (sides[2] - 3) // 2 + 1
    area, features = grid**2, stem[2]
    before, after = areas[2] * features, area * features
    yield _pool("pool", before, after, 9, saved=before)
    for i, (f1, f2_in, f2_out, f3_in, f3_out, f4) in enumerate(model.modules):
        name = f"modules.{i}"
        yield _convolution(f"{name}.branch1", area, (1, 1), (features, f1))
        yield _convolution(f"{name}.branch3_narrow", area, (1, 1), (features, f2_in))
        yield _convolution(f"{name}.branch3_column", area, (3, 1), (f2_in, f2_out))
        yield _convolution(f"{name}.branch3_row", area, (1, 3), (f2_out, f2_out))
        yield _convolution(f"{name}.branch5_narrow", area, (1, 1), (features, f3_in))
        yield _convolution(f"{name}.branch5_column", area, (5, 1), (f3_in, f3_out))
        yield _convolution(f"{name}.branch5_row", area, (1, 5), (f3_out, f3_out))
        around = area * features
        yield _pool(f"{name}.max_pool", around, around, 9, saved=around)
        yield _convolution(f"{name}.branch_pool", area, (1, 1), (features, f4))
        features = f1 + f2_out + f3_out + f4
    pooled = ((grid - 5) // 3 + 1) ** 2
    yield _pool("average_pool", area * features, pooled * features, 25, saved=0)
    yield _convolution("auxiliary_head.narrow", pooled, (1, 1), (features, 64))
    yield _dense("auxiliary_head.hidden", pooled * 64, 128)
    yield _dense("auxiliary_head.logit", 128, 1)


def limits(cpu: Mapping[str, Any]) -> dict[str, tuple[float, float, int]]:
    """Returns {name: (FLOP/s, bytes/s, bytes of an activation)}."""
    h100 = devices.H100_SXM
    return {
        "H100 float32": (H100_SXM_PLAIN_FLOAT32, h100.bandwidth, 4),
        "H100 TF32": (h100.peaks["float32"][0], h100.bandwidth, 4),
        "H100 bfloat16": (h100.peaks["bfloat16"][0], h100.bandwidth, 2),
        "this CPU": (cpu["peak_flops_per_second"], cpu["bytes_per_second"], 4),
    }


def measure() -> dict[str, Any]:
    """Measures this machine's peak and bandwidth."""
    return {
        "hardware": hardware(),
        "jax": jax.__version__,
        "peak_flops_per_second": devices.measured_peak("float32"),
        "bytes_per_second": measured_bandwidth(),
    }


def measured_bandwidth(*, megabytes: int = 256, seconds: float = 1.5) -> float:
    """Bytes per second when a large array is negated in place: one read, one write per element.

    It follows STREAM (McCalpin 1995): the best of several, on an array larger than any cache. It
    works in place, because a CPU takes several times as long to touch a new array's pages first.
    """
    array = [jnp.ones(megabytes * 2**18, jnp.float32)]
    negative = jax.jit(jnp.negative, donate_argnums=0)

    def run() -> jax.Array:
        array[0] = negative(array[0])
        return array[0]

    return 2 * array[0].nbytes / devices.best_seconds(run, seconds)


def roofline(cpu: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds every layer at every batch size, forward and backward, under every limit.

    `bytes` and `intensity` count four bytes for each value. `seconds` is the least time of the
    layer, and `bound` says which resource sets it: "memory" or "compute".
    """
    found: dict[str, Any] = {}
    for batch in BATCHES:
        rows = []
        for layer in layers(base.get_config()):
            row: dict[str, Any] = {"layer": layer.name}
            for direction in PASSES:
                flops = layer.flops(direction, batch)
                traffic = layer.bytes(direction, batch, FLOAT32)
                bound, seconds = {}, {}
                for name, (peak, bandwidth, size) in limits(cpu).items():
                    times = {
                        "compute": flops / peak,
                        "memory": layer.bytes(direction, batch, size) / bandwidth,
                    }
                    bound[name] = max(times, key=times.__getitem__)
                    seconds[name] = max(times.values())
                row[direction] = {
                    "flops": flops,
                    "bytes": traffic,
                    "intensity": flops / traffic,
                    "bound": bound,
                    "seconds": seconds,
                }
            rows.append(row)
        found[str(batch)] = rows
    known = {
        name: {"flops_per_second": peak, "bytes_per_second": bandwidth, "bytes_per_value": size}
        for name, (peak, bandwidth, size) in limits(cpu).items()
    }
    source = {"h100": devices.H100_SXM.source, "limits": known}
    return {"command": "python -m benchmarks.roofline --write", "cpu": dict(cpu)} | (
        source | {"batches": found}
    )


def step_seconds(rows: list[Mapping[str, Any]], limit: str) -> tuple[float, float]:
    """Returns the least seconds of a step, and how many of them memory-bound layers take."""
    entries = [row[direction] for row in rows for direction in PASSES]
    total = sum(entry["seconds"][limit] for entry in entries)
    memory = (e["seconds"][limit] for e in entries if e["bound"][limit] == "memory")
    return total, sum(memory)


def main() -> None:
    """Measures this machine, prints the least time of a step, and stores all bounds if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the bounds in records/")
    arguments = parser.parse_args()
    found = roofline(measure())
    for batch, rows in found["batches"].items():
        for name in found["limits"]:
            seconds, memory = step_seconds(rows, name)
            print(f"batch {batch}, {name}: {seconds:.4g} s, {memory / seconds:.0%} memory-bound")
    if arguments.write:
        write_json(STORED, found)


if __name__ == "__main__":
    main()
