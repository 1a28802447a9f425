"""The table of what `tests/support/devices.py` measures: training on several devices."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.devices import TOLERANCE
from tools.docs.marks import table
from tools.docs.places import RELIABILITY

TITLES = {
    "plain": "no norm",
    "two_at_a_time": "two films at a time on each, their gradients added up",
    "augmented": "batch norm over all films, augmentation, mixup",
}


def rendered() -> str:
    """Renders the stored record."""
    return render(json.loads((RELIABILITY / "devices.json").read_text()))


def render(stored: Mapping[str, Any]) -> str:
    """Renders a row for each case with the largest difference over all counts."""
    rows = []
    for over in ("devices", "processes"):
        for case, title in TITLES.items():
            found = [r for r in stored["rows"] if (r["over"], r["case"]) == (over, case)]
            if found:
                counts = [str(each["count"]) for each in found]
                worst = [f"{max(each[dtype] for each in found):.1e}" for dtype in TOLERANCE]
                rows.append([f"{', '.join(counts[:-1])} and {counts[-1]} {over}", title, *worst])
    return table(["trained on", "what", "float64", "float32"], rows)
