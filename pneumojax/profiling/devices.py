"""How fast a device can be: published figures of known devices, measurements of others."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

_HOPPER = "NVIDIA H100 datasheet (dense: half of its figures with sparsity)"
_AMPERE = "NVIDIA A100 datasheet"
_V100, _T4, _L4 = "NVIDIA V100 datasheet", "NVIDIA T4 datasheet", "NVIDIA L4 datasheet (dense)"
_TPU = "docs.cloud.google.com/tpu/docs"


@dataclass(frozen=True, eq=False)
class Device:
    """Published limits of one device as JAX sees it.

    peaks: by dtype, FLOP/s of dense matrix products and the unit that reaches them. For float32
        this is the unit that JAX uses by default: TF32 on NVIDIA GPUs that have it, one bfloat16
        pass on TPUs. Dtypes for which the device has no unit are missing.
    """

    name: str
    peaks: dict[str, tuple[float, str]]
    bandwidth: float  # of its memory, in bytes per second
    source: str


def _gpu(
    name: str, plain: float, tf32: float | None, bf16: float | None, bandwidth: float, source: str
) -> Device:
    """A GPU from TFLOP/s and GB/s as its datasheet prints them."""
    peaks = {"float32": (tf32 * 1e12, "TF32") if tf32 else (plain * 1e12, "float32")}
    if bf16:
        peaks["bfloat16"] = (bf16 * 1e12, "bfloat16")
    return Device(name, peaks, bandwidth * 1e9, source)


def _tpu(name: str, bf16: float, bandwidth: float, page: str) -> Device:
    peaks = dict.fromkeys(("float32", "bfloat16"), (bf16 * 1e12, "bfloat16"))
    return Device(name, peaks, bandwidth * 1e9, f"{_TPU}/{page}")


H100_SXM = _gpu("H100 SXM", 67, 494.7, 989.4, 3350, _HOPPER)

# Kinds are compared as a whole, since the prefix "NVIDIA L4" would also match an L40S.
_KINDS = {
    H100_SXM: ["NVIDIA H100 80GB HBM3"],
    _gpu("H100 PCIe", 51, 378, 756, 2000, _HOPPER): ["NVIDIA H100 PCIe"],
    _gpu("H100 NVL", 60, 417.5, 835.5, 3900, _HOPPER): ["NVIDIA H100 NVL"],
    _gpu("A100 40 GB", 19.5, 156, 312, 1555, _AMPERE): [
        "NVIDIA A100-SXM4-40GB",
        "NVIDIA A100-PCIE-40GB",
    ],
    _gpu("A100 SXM 80 GB", 19.5, 156, 312, 2039, _AMPERE): ["NVIDIA A100-SXM4-80GB"],
    _gpu("A100 PCIe 80 GB", 19.5, 156, 312, 1935, _AMPERE): ["NVIDIA A100 80GB PCIe"],
    _gpu("L4", 30.3, 60, 121, 300, _L4): ["NVIDIA L4"],
    _gpu("T4", 8.1, None, None, 320, _T4): ["Tesla T4"],
    _gpu("V100 SXM2", 15.7, None, None, 900, _V100): [
        "Tesla V100-SXM2-16GB",
        "Tesla V100-SXM2-32GB",
    ],
    _gpu("V100 PCIe", 14, None, None, 900, _V100): ["Tesla V100-PCIE-16GB", "Tesla V100-PCIE-32GB"],
    _tpu("TPU v4", 275, 1200, "v4"): ["TPU v4"],
    _tpu("TPU v5e", 197, 819, "v5e"): ["TPU v5 lite", "TPU v5e"],
    _tpu("TPU v5p", 459, 2765, "v5p"): ["TPU v5", "TPU v5p"],
    _tpu("TPU v6e", 918, 1638, "v6e"): ["TPU v6 lite", "TPU v6e"],
}
KNOWN = {kind: device for device, kinds in _KINDS.items() for kind in kinds}


@dataclass(frozen=True)
class Peak:
    """FLOP/s of all devices together, and the source of the figure."""

    flops: float
    source: str


def peak(devices: list[jax.Device], dtype: str) -> Peak:
    """The published peak of known devices; for others, what a matrix product reaches now."""
    kind, count = devices[0].device_kind, len(devices)
    times = f"{count} x " if count > 1 else ""
    if kind in KNOWN and dtype in KNOWN[kind].peaks:
        known = KNOWN[kind]
        flops, unit = known.peaks[dtype]
        return Peak(count * flops, f"{times}{known.name}, {unit}: {known.source}")
    if devices[0].platform == "cpu":  # all devices of a CPU share the same cores
        count, times = 1, ""
    source = f"{times}measured: {dtype} matrix product, 2048 square"
    return Peak(count * measured_peak(dtype), source)


def measured_peak(dtype: str, *, size: int = 2048, seconds: float = 1.0) -> float:
    """FLOP/s of a square matrix product on the default device: the best of several."""
    matrix = jnp.ones((size, size), jnp.dtype(dtype))
    product = jax.jit(jnp.dot)
    return 2 * size**3 / best_seconds(lambda: product(matrix, matrix), seconds)


def best_seconds(run: Callable[[], jax.Array], seconds: float) -> float:
    """The shortest time of a call, of all that fit into `seconds`."""
    jax.block_until_ready(run())  # the first call compiles
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        jax.block_until_ready(run())
        best = min(best, time.perf_counter() - start)
    return best
