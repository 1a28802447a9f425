"""Renders docs/export.md's table of what float16 and int8 cost an ONNX export."""

import json

from tools.docs.places import ROOT

RECORD = ROOT / "records" / "export" / "quick_real.json"


def rendered() -> str:
    """One row for each type."""
    record = json.loads(RECORD.read_text())
    rows = [
        f"| {name} | {types['bytes'] / 1e6:.2f} MB | {types['auroc']:.4f} | "
        f"{types['auroc'] - record['auroc']:+.4f} | {types['largest_logit_difference']:.2g} | "
        f"{types['calls_changed']} |"
        for name, types in record["types"].items()
    ]
    return "\n".join(
        [
            f"Measured on the {record['films']} validation films of a run of `quick` on the "
            "Kermany training split, by `python -m tools.record_export`. The network itself has "
            f"AUROC {record['auroc']:.4f}.",
            "",
            "| type | file | AUROC | change | largest change of a logit | calls changed |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    )
