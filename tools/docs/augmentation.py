"""The table of what `benchmarks/augmentation.py` measures."""

import json
from collections.abc import Mapping
from typing import Any

from tools.docs.marks import table
from tools.docs.places import PERFORMANCE

STORED = PERFORMANCE / "augmentation.json"


def rendered() -> str:
    """Renders the stored record."""
    return render(json.loads(STORED.read_text()))


def render(stored: Mapping[str, Any]) -> str:
    """Renders a row for each ingredient."""
    alone = stored["milliseconds"]["resize alone"]
    head = (
        f"{stored['films']} films of {stored['side']} pixels to 128, compiled, on "
        f"{stored['hardware']}: `{stored['command']}`, "
        "[figures](../records/performance/augmentation.json). Each row but the last is one "
        "ingredient on top of the resizing.\n\n"
    )
    rows = [
        [name, f"{value:.0f}", f"{value - alone:+.0f}"]
        for name, value in stored["milliseconds"].items()
    ]
    return head + table(["on", "milliseconds", "more than resizing"], rows)
