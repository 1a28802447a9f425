"""Trains both networks of the reference model without each style of film, for `tools.travelling`.

Command:   python -m tools.style_networks <table> --films=<folder> --weights=<file> --to=<folder>
The table has a column "style", as `main.py table --styles=3` writes it, and its paths are relative
to --films. For each style both recipes are trained on the other styles, for a third of their epochs
or less, which is enough for a threshold. The two networks are joined and get the views of the
reference model; the results are in <folder>/joined, each with the name of its style. The same
command continues an interrupted training, and skips a style whose joined run exists. Delete a run
that was interrupted while it was being joined.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

from pneumojax.errors import UserError
from tools.docs.places import ROOT
from tools.join import join
from tools.views import with_views

VIEWS = ("flip", "zoom")
EPOCHS = {"distilled": 4, "reference": 9}  # of 12 and of 32
_NAMES = {"distilled": "fine_tuned", "reference": "from_scratch"}  # of the networks, once joined


def write_tables(table: Path, folder: Path) -> list[Path]:
    """Writes `without_style_1.csv` and so on, in which the films of the style are the split "test".

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


def training(config: str, table: Path, films: Path, weights: Path, run: Path) -> list[str]:
    """The flags that train a recipe on a table."""
    flags = [
        "train",
        f"--config=configs/{config}.py",
        f"--config.data.table={table}",
        f"--config.data.root={films}",
        f"--config.epochs={EPOCHS[config]}",
        "--config.checkpoint.every_steps=0",
        "--config.log.tensorboard=False",
        f"--workdir={run}",
    ]
    return [*flags, f"--config.start.weights={weights}"] if config == "distilled" else flags


def train_all(table: Path, films: Path, weights: Path, folder: Path, cache_dir: Path) -> None:
    """Trains, joins and gives views to the networks of every style that is not done yet."""
    for without in write_tables(table, folder):
        style = without.stem.removeprefix("without_")
        done, runs = folder / "joined" / style, folder / style
        if done.exists():
            continue
        for config, name in _NAMES.items():
            flags = training(config, without, films, weights, runs / name)
            line = [sys.executable, "main.py", *flags, f"--cache_dir={cache_dir}"]
            subprocess.run(line, cwd=ROOT, check=True)
        if not (runs / "mean").exists():
            join({name: runs / name for name in _NAMES.values()}, runs / "mean", cache_dir)
        with_views(runs / "mean", VIEWS, done, cache_dir)


def main() -> None:
    """Trains the networks that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="for configs/distilled.py")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    given = parser.parse_args()
    table, films, weights, folder, cache_dir = (
        path.expanduser().resolve()
        for path in (given.table, given.films, given.weights, given.to, given.cache_dir)
    )
    try:
        train_all(table, films, weights, folder, cache_dir)
    except UserError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
