"""Writes a table of films for each style, in which the films of the style are the split "test".

Command:   python -m tools.style_tables <table> --to=<folder>
The table has a column "style", as `main.py table --styles=3` writes it. A network that is trained
on the table of a style has not seen a film of it: `tools.travelling` scores these films. Paths in a
table are relative to its folder or to config.data.root.
"""

import argparse
import csv
import sys
from pathlib import Path


def write_tables(table: Path, folder: Path) -> list[Path]:
    """Writes `without_style_1.csv` and so on, for the styles in alphabetical order.

    Films without a style, which were not for training, are left out.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("style")]
    if not rows:
        sys.exit(f"error: {str(table)!r} has no column 'style'; write it with --styles=3")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for style in sorted({row["style"] for row in rows}):
        path = folder / f"without_{style.replace(' ', '_')}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0] | {"split": ""}))
            writer.writeheader()
            for row in rows:
                writer.writerow(row | {"split": "test" if row["style"] == style else "train"})
        written.append(path)
    return written


def main() -> None:
    """Writes the tables that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    given = parser.parse_args()
    print("\n".join(map(str, write_tables(given.table, given.to))))


if __name__ == "__main__":
    main()
