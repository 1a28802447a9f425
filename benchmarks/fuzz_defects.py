"""Shows at which input the fuzzer finds the defects that commit a96fade had.

Command:   git worktree add <checkout> a96fade
           python benchmarks/fuzz_defects.py --code=<checkout> --out=<folder> \\
               --write=docs/reliability/fuzz_a96fade.json
One worker runs the inputs in order, at most `MOST` of each road.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.fuzz import Plan, fuzz  # noqa: E402
from pneumojax.files import write_json  # noqa: E402

MOST = 100_000


class Defect(NamedTuple):
    """A defect and the broken inputs that show it, by the reason and the bytes."""

    name: str
    road: str
    shown_by: Callable[[str, bytes], bool]


def _has_lossless_frame(reason: str, data: bytes) -> bool:
    lossless = any(bytes((0xFF, 0xC0 + kind)) in data for kind in (3, 7, 11))
    return reason.startswith("exit") and data[:2] == b"\xff\xd8" and lossless


def _is_bomb(reason: str, data: bytes) -> bool:
    central = data.rfind(b"PK\x01\x02")
    return reason == "memory" and central >= 0 and data[central + 10 : central + 12] == b"\x0c\0"


DEFECTS = (
    Defect("lossless JPEG overwrites the heap", "image", _has_lossless_frame),
    Defect(
        "floods of JPEG markers", "image", lambda r, d: r in ("slow", "hang") and d[:1] == b"\xff"
    ),
    Defect(
        "tile part of JPEG 2000 without end", "dicom", lambda r, d: r == "hang" and b"\xff\x90" in d
    ),
    Defect("floods of DICOM elements", "dicom", lambda r, d: r in ("slow", "memory")),
    Defect("bzip2 member of a .keras archive", "archive", _is_bomb),
)


def found(defect: Defect, paths: list[Path]) -> tuple[int, str, int] | None:
    """Number, reason and bytes of the first input that shows a defect."""
    shown = []
    for path in paths:
        number, _, reason = path.name.partition("-")
        data = path.read_bytes()
        if defect.shown_by(reason, data):
            shown.append((int(number), reason, len(data)))
    return min(shown, default=None)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--code", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--write", type=Path, required=True)
    given = parser.parse_args()
    rows = []
    for road in dict.fromkeys(defect.road for defect in DEFECTS):
        wanted = [defect for defect in DEFECTS if defect.road == road]
        plan = Plan(road, given.out.resolve(), code=given.code.resolve(), processes=1)
        fuzz(plan, MOST, stop=lambda paths, wanted=wanted: all(found(d, paths) for d in wanted))
        for defect in wanted:
            first = found(defect, sorted((plan.folder / "broken").iterdir()))
            number, reason, size = first or (None, "not found", None)
            row = {"defect": defect.name, "road": road, "input": number, "reason": reason}
            rows.append(row | {"bytes": size})
    command = "python benchmarks/fuzz_defects.py --code=<checkout> --out=<folder> --write=<file>"
    write_json(given.write, {"commit": "a96fade", "command": command, "found": rows})
    if not all(row["input"] is not None for row in rows):
        raise SystemExit("not every defect was found")


if __name__ == "__main__":
    main()
