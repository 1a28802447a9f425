"""The machine that a record was measured on."""

import os
import platform
import re
from pathlib import Path


def hardware() -> str:
    """Names cores and processor of this machine, and its widest vectors if Linux lists them."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        facts = dict(re.findall(r"^(.*?)\s*: (.*)$", information.read_text(), re.M))
        name = facts.get("model name", name)
        flags = facts.get("flags", "").split()
        for flag, vectors in (("avx512f", "AVX-512"), ("avx2", "AVX2")):
            if flag in flags:
                name += f" with {vectors}"
                break
    return f"{os.cpu_count()} cores of {name}, no GPU"
