"""Compares two or more runs, or CSVs of predictions, on the films that they share."""

import string
from collections.abc import Sequence
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.evaluation.compare.comparison import compare_networks
from pneumojax.evaluation.compare.configs import config_differences
from pneumojax.evaluation.compare.output import ComparisonResult, markdown, print_comparison
from pneumojax.evaluation.compare.pairing import pair_films, seen_warnings
from pneumojax.evaluation.compare.predictions_csv import find_csv, read_predictions
from pneumojax.files import printable, replacing, write_json


def compare(
    sources: Sequence[str], *, output: str | None = None, split: str | None = None
) -> ComparisonResult:
    """Compares networks film by film; prints tables, writes comparison.json and comparison.md.

    Sources are run folders (of which `split`, or "val", is compared), folders of their
    `evaluation/`, or CSVs with the columns `file` and `probability` and, where known, `label`,
    `call` and `patient`. The output folder is new or empty, by default `runs/comparison*`.
    """
    if not 2 <= len(sources) <= len(string.ascii_uppercase):
        raise UserError(
            f"compare takes 2 to {len(string.ascii_uppercase)} run folders or CSVs of predictions, "
            f"not {len(sources)}"
        )
    folder = _output_folder(output)
    paths = [find_csv(_user_path(source), split) for source in sources]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("compare: one file of predictions is named twice; name different ones")
    files = dict(zip(string.ascii_uppercase, map(read_predictions, paths), strict=False))
    paired = pair_films(files)
    films = {name: [n.films[file] for file in paired.files] for name, n in files.items()}
    result = ComparisonResult(
        warnings=seen_warnings(files, paired.files),
        files=files,
        paired=paired,
        configs=config_differences({name: file.path for name, file in files.items()}),
        comparison=compare_networks(
            paired.labels,
            {name: [film.probability for film in some] for name, some in films.items()},
            {name: [film.call for film in some] for name, some in films.items()},
            paired.patients,
            class_names=paired.class_names,
        ),
    )
    with replacing(folder / "comparison.md") as temporary:
        temporary.write_text(markdown(result), encoding="utf-8")
    write_json(folder / "comparison.json", result.record())
    print_comparison(result)
    print(f"written to {printable(str(folder))}")
    return result


def _user_path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UserError(f"compare: {name!r} is not a path: {error}") from error


def _output_folder(output: str | None) -> Path:
    if output is None:
        names = ("comparison", *(f"comparison-{i}" for i in range(2, 10_000)))
        return next(p for name in names if not (p := Path("runs", name).resolve()).exists())
    folder = _user_path(output).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{str(folder)!r} exists; name a new or empty folder", flag="output")
    return folder
