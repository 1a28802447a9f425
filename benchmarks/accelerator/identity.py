"""Part a: which machine and software this is."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess

import jax

from benchmarks.hardware import hardware

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "torch", "torchvision")


def identity(*, smoke: bool) -> dict[str, str | int | bool]:
    """The machine and the software that decide a measurement; a record holds those of one only."""
    device = jax.devices()[0]
    found: dict[str, str | int | bool] = {
        "card": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "driver": driver(),
        "runtime": device.client.platform_version.strip().replace("\n", ", "),
        "host": re.sub(", no GPU$", "", hardware()),
        "python": platform.python_version(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "smoke": smoke,
    }
    return found | {name: _version(name) for name in _PACKAGES}


def card_name() -> str:
    """The name of the record's file: the card's, such as "nvidia-h200", and the number of cards."""
    kind = re.sub(r"[^a-z0-9]+", "-", jax.devices()[0].device_kind.lower()).strip("-")
    counts = (jax.device_count(), "devices"), (jax.process_count(), "processes")
    return "-".join([kind, *(f"{count}-{what}" for count, what in counts if count > 1)])


def driver() -> str:
    """The version of NVIDIA's driver; "" where nvidia-smi is missing or fails."""
    if not shutil.which("nvidia-smi"):
        return ""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip().split("\n")[0] if answer.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
