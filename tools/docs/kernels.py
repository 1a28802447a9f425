"""The table of the kernels that `benchmarks/kernels.py` counts."""

import json

from benchmarks.kernels import STORED
from pneumojax.profiling.devices import H100_SXM
from tools.docs.marks import table

KINDS = ("convolutions", "transposes", "reductions and pools")
UNIT = {"bfloat16": "bfloat16", "float32": "float32 as TF32"}


def rendered() -> str:
    """Renders a row for each compiled step, and the command."""
    stored = json.loads(STORED.read_text())
    counts_header = ("kernels", *KINDS, "other")
    header = ("step", "type", *counts_header, "GB moved", "ms for that", "work space, GB")
    rows = []
    for row in stored["rows"]:
        counts = [row["kinds"].get(kind, 0) for kind in KINDS]
        total = sum(row["kinds"].values())
        rows.append(
            [
                f"{row['config']}, {row['batch']} films",
                UNIT[row["dtype"]],
                *map(str, [total, *counts, total - sum(counts)]),
                f"{row['gigabytes']:.2f}",
                f"{1e12 * row['gigabytes'] / H100_SXM.bandwidth:.2f}",
                f"{row['temporary_gigabytes']:.2f}",
            ]
        )
    source = f"`{stored['command']}`, JAX {stored['jax']}, compiled for an H100 without one"
    return f"{table(header, rows)}\n{source}; [JSON](../records/performance/{STORED.name}).\n"
