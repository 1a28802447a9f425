"""Renders docs/export.md's table of what float16 and int8 cost an ONNX export."""

import json

from tools.docs.marks import table
from tools.docs.places import RECORDS

RECORD = RECORDS / "export" / "quick_real.json"
HEADER = ("type", "file", "AUROC", "change", "largest change of a logit", "calls changed")


def rendered() -> str:
    """A sentence about the measurement, and one row for each type."""
    record = json.loads(RECORD.read_text())
    rows = [
        (
            name,
            f"{types['bytes'] / 1e6:.2f} MB",
            f"{types['auroc']:.4f}",
            f"{types['auroc'] - record['auroc']:+.4f}",
            f"{types['largest_logit_difference']:.2g}",
            str(types["calls_changed"]),
        )
        for name, types in record["types"].items()
    ]
    about = (
        f"Measured on the {record['films']} validation films of a run of `quick` on the Kermany "
        "training split, by `python -m tools.record_export`. int8 was calibrated on training "
        f"films. The network itself has AUROC {record['auroc']:.4f}.\n\n"
    )
    return about + table(HEADER, rows)
