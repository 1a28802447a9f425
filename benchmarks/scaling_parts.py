"""The numbers that `benchmarks/scaling_model.py` is made of, each with where it is from."""

import json
import statistics
import sys
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.roofline import step_seconds  # noqa: E402
from pneumojax.profiling import devices  # noqa: E402

DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Part:
    """One number.

    Args:
        kind: "measured", on a CPU machine, "datasheet" or "assumed".
        source: the stored file, the datasheet, or the reason.
    """

    name: str
    value: float
    unit: str
    kind: str
    source: str


def measure(root: Path) -> dict[str, Any]:
    """What no other stored file has: the size of films as published, the speed of a checksum."""
    sizes = [path.stat().st_size for path in sorted(root.rglob("*.jp*g"))]
    block, rates = bytes(1 << 24), []
    for _ in range(15):
        began = time.perf_counter()
        zlib.crc32(block)
        rates.append(len(block) / (time.perf_counter() - began))
    return {
        "files": len(sizes),
        "mean_bytes_of_a_file": statistics.mean(sizes),
        "checksum_bytes_per_second": max(rates),
    }


def stored(name: str) -> Any:
    """A file of docs/ that a benchmark has written."""
    return json.loads((DOCS / name).read_text())


def parts(measured: Mapping[str, Any]) -> dict[str, Part]:
    """Everything but what is counted from a network; `measured` as `measure` gives it."""
    cached = stored("cache_stream.json")
    stream = cached["batches"][0]["films_per_second"]["on_devices"] * cached["image_size"] ** 2
    first_pass = stored("benchmarks/input.json")
    cores = 2  # of the machine that all of these are from
    decoded = first_pass["films"] / first_pass["summary"][0]["median_seconds"] / cores
    least, _ = step_seconds(stored("roofline.json")["batches"]["64"], "this CPU")
    took = stored("benchmarks/scaling.json")["points"]["batch"]["64"]["median_seconds"]
    h100, box = devices.H100_SXM, "NVIDIA DGX H100 datasheet"
    nccl = "as NCCL's own model has it (src/graph/tuning.cc, low latency)"
    return {
        "share_cpu": Part(
            "share of the roofline that `base` reaches on the CPU",
            least / took, "", "measured", "roofline.json, benchmarks/scaling.json",
        ),
        "host": Part(
            "films from the cache to a device, a process", stream, "B/s", "measured",
            "cache_stream.json, batches of 64, two cores",
        ),
        "decode": Part(
            "full-size JPEG decoded, a core", decoded, "films/s", "measured",
            "benchmarks/input.json",
        ),
        "file": Part(
            "a film as published", measured["mean_bytes_of_a_file"], "B", "measured",
            f"mean of {measured['files']} files of the Kermany set",
        ),
        "checksum": Part(
            "checksum of the decoded set, a process", measured["checksum_bytes_per_second"],
            "B/s", "measured", "CRC-32 of zeros in memory",
        ),
        "arithmetic": Part(
            "TF32 products", h100.peaks["float32"][0], "FLOP/s", "datasheet", h100.source
        ),
        "memory": Part("memory of a GPU", h100.bandwidth, "B/s", "datasheet", h100.source),
        "nvlink": Part(
            "NVLink of a GPU, each way", 450e9, "B/s", "datasheet", "NVIDIA H100 datasheet"
        ),
        "in_box": Part("GPUs in a box", 8, "", "datasheet", box),
        "network": Part("InfiniBand of a GPU (400 Gb/s)", 50e9, "B/s", "datasheet", box),
        "cores": Part("CPU cores for a GPU", 14, "", "datasheet", box),
        "box_memory": Part("memory of a box", 2e12, "B", "datasheet", box),
        "share": Part(
            "share of the roofline that a GPU reaches", 0.4, "", "assumed",
            "less than the CPU, for whose caches the step is written",
        ),
        "launch": Part(
            "a kernel's launch", 5e-6, "s", "assumed", "from the host, one after the other"
        ),
        "sum_start": Part("start of a sum over GPUs", 6.6e-6, "s", "assumed", nccl),
        "nvlink_hop": Part("a step over NVLink", 0.6e-6, "s", "assumed", nccl),
        "network_hop": Part("a step over InfiniBand", 5e-6, "s", "assumed", nccl),
        "pcie": Part(
            "PCIe of a GPU", 50e9, "B/s", "assumed", "of 64 GB/s each way in the datasheet"
        ),
        "storage_box": Part(
            "shared storage, a box", 25e9, "B/s", "assumed", "a parallel file system"
        ),
        "storage": Part("shared storage, all boxes", 100e9, "B/s", "assumed", "the same"),
    }  # fmt: skip
