"""The machine that a record was measured on."""

import os
import platform
import re
from pathlib import Path

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}  # Linux's flag -> the name, the widest first


def hardware() -> str:
    """Names cores and processor of this machine, and its widest vectors if Linux lists them."""
    name = _processor().get("model name", platform.processor() or platform.machine())
    with_vectors = f" with {vectors()}" if vectors() else ""
    return f"{os.cpu_count()} cores of {name}{with_vectors}, no GPU"


def vectors() -> str:
    """The widest vectors that Linux lists for the processor; "" if it lists none of them."""
    flags = _processor().get("flags", "").split()
    return next((name for flag, name in VECTORS.items() if flag in flags), "")


def kind_of_core() -> str:
    """The folder for records of this kind of core, such as "avx2"."""
    return vectors().replace("-", "").lower() or "other"


def _processor() -> dict[str, str]:
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return {}
    return dict(re.findall(r"^(.*?)\s*: (.*)$", information.read_text(), re.M))
