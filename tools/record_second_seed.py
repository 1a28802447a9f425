"""Stores the figures of the reference model and of its parts, trained with another seed.

Command:   python -m tools.record_second_seed --from-scratch=<run> --fine-tuned=<run> \\
               --mean=<run> --views=<run> --elsewhere=<table of another hospital's films>
Each run was evaluated on its validation films. The record is records/reference/second_seed.json.
"""

import argparse
import json
from pathlib import Path

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from tools.docs.places import REFERENCE
from tools.docs.second_seed import PARTS
from tools.elsewhere import elsewhere_figures
from tools.protocols import Figure, protocol_figures

STORED = REFERENCE / "second_seed.json"


def figures_of(run: Path, table: Path) -> dict[str, Figure]:
    """The protocols' figures of a run, and those on the films of another hospital."""
    result = json.loads((run / "evaluation" / "val" / "metrics.json").read_text())
    return {**protocol_figures(result), **elsewhere_figures(run, table)}


def main() -> None:
    """Stores the figures of the runs that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for part in PARTS:
        parser.add_argument(f"--{part.replace('_', '-')}", type=Path, required=True)
    parser.add_argument("--elsewhere", type=Path, required=True)
    given = parser.parse_args()
    runs = {part: figures_of(getattr(given, part).resolve(), given.elsewhere) for part in PARTS}
    write_json(STORED, {"runs": runs, "hardware": hardware()})


if __name__ == "__main__":
    main()
