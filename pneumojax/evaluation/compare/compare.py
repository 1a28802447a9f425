"""`--mode=compare`: two or more runs or CSVs of predictions on the films that they share."""

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.evaluation.compare.comparison import compare_networks
from pneumojax.evaluation.compare.configs import field_differences, read_config_of
from pneumojax.evaluation.compare.predictions_csv import THRESHOLD, Scored, find_csv, read_scored
from pneumojax.evaluation.compare.table import markdown, print_comparison
from pneumojax.files import printable, replacing, write_json

MOST_NAMED = 3


def compare(
    sources: Sequence[str], *, output: str | None = None, split: str | None = None
) -> dict[str, Any]:
    """Compares networks film by film; prints tables, writes comparison.json and comparison.md.

    Args:
        sources: run folders, folders of their `evaluation/`, or CSVs with the columns `file` and
            `probability`, and as far as known `label`, `call`, `patient`.
        output: folder to write, new or empty; by default the first free `runs/comparison*`.
        split: which evaluation of run folders; their validation by default.

    Returns:
        What comparison.json holds.

    Raises:
        UserError: fewer than two sources, one that cannot be read, no film in all of them, labels
            that are missing or contradict each other, or an output that has files in it.
    """
    if not 2 <= len(sources) <= len(string.ascii_uppercase):
        raise UserError(
            f"--mode=compare takes 2 to {len(string.ascii_uppercase)} run folders or CSVs of "
            f"predictions, not {len(sources)}"
        )
    folder = _output_folder(output)
    paths = [find_csv(_user_path(source), split) for source in sources]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("--mode=compare: one file of predictions is named twice")
    networks = dict(zip(string.ascii_uppercase, map(read_scored, paths), strict=False))

    files, notes = _shared_films(networks)
    labels, label_notes = _labels(networks, files)
    patients, patient_notes = _patients(networks, files)
    notes += label_notes + patient_notes
    notes += _threshold_notes(networks)
    warnings = _seen_warnings(networks, files)
    figures = compare_networks(
        labels,
        {name: [n.films[file].probability for file in files] for name, n in networks.items()},
        {name: [n.films[file].call for file in files] for name, n in networks.items()},
        patients,
    )
    shared = set(files)
    for name, network in networks.items():
        figures["networks"][name] = {
            "path": str(network.path),
            "not_compared": [file for file in network.films if file not in shared],
            "without_probability": list(network.without_probability),
            **figures["networks"][name],
        }
    result = {
        "disclaimer": DISCLAIMER,
        "synthetic": any(network.synthetic for network in networks.values()),
        "warnings": warnings,
        "notes": notes,
        "configs": _configs(networks),
        **figures,
    }
    with replacing(folder / "comparison.md") as temporary:
        temporary.write_text(markdown(result), encoding="utf-8")
    write_json(folder / "comparison.json", result)
    print_comparison(result)
    print(f"written to {printable(str(folder))}")
    return result


def _threshold_notes(networks: Mapping[str, Scored]) -> list[str]:
    """At which thresholds films are called, where that is not one for all and known."""
    notes = []
    for name, network in networks.items():
        if not network.has_calls:
            notes.append(f"{name} has no column 'call'; its films are called at {THRESHOLD}")
        elif network.several_thresholds:
            notes.append(
                f"{name} is called at several thresholds: a film that it calls NORMAL has a higher "
                "probability than one that it calls PNEUMONIA"
            )
    known = {k: n.threshold for k, n in networks.items() if n.has_calls and n.threshold is not None}
    if len(set(known.values())) > 1:
        each = ", ".join(f"{name} at {threshold:.4g}" for name, threshold in known.items())
        notes.append(
            f"called at different thresholds ({each}): sensitivity, specificity and all that "
            "depends on calls differ by that as well"
        )
    return notes


def _seen_warnings(networks: Mapping[str, Scored], files: Sequence[str]) -> list[str]:
    """Notes that name the networks that were trained on the films that they are compared on."""
    counted = {name: sum(n.films[file].seen for file in files) for name, n in networks.items()}
    return [
        f"{name} was trained on {count:,} of these {len(files):,} films or on films of their "
        "patients: its figures say nothing about new patients"
        for name, count in counted.items()
        if count
    ]


def _configs(networks: Mapping[str, Scored]) -> dict[str, Any]:
    """For comparison.json: whose config is unknown, and in what the others differ."""
    found = {name: read_config_of(network.path) for name, network in networks.items()}
    known = {name: config for name, config in found.items() if config is not None}
    differing = field_differences(known) if len(known) > 1 else []
    return {
        "known": list(known),
        "unknown": [name for name in found if name not in known],
        "different": [difference._asdict() for difference in differing],
    }


def _user_path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UserError(f"--mode=compare: {name!r} is no path: {error}") from error


def _output_folder(output: str | None) -> Path:
    if output is None:
        names = ("comparison", *(f"comparison-{i}" for i in range(2, 10_000)))
        return next(p for name in names if not (p := Path("runs", name).resolve()).exists())
    folder = _user_path(output).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--output: {str(folder)!r} exists; name a new or empty folder")
    return folder


def _shared_films(networks: Mapping[str, Scored]) -> tuple[list[str], list[str]]:
    """Films with a probability of every network, in the first one's order, and what is left out."""
    first = next(iter(networks.values()))
    files = [f for f in first.films if all(f in network.films for network in networks.values())]
    if not files:
        examples = "; ".join(f"{k}: {next(iter(n.films))!r}" for k, n in networks.items())
        raise UserError(
            "--mode=compare: no film is in all of them; films are paired by the column 'file', "
            f"whose first entries are {examples}"
        )
    for file in files:
        digests = {n.films[file].sha256 for n in networks.values()} - {""}
        if len(digests) > 1:
            raise UserError(
                f"--mode=compare: {file!r} is another film in one file than in another (sha256)"
            )
    notes, shared = [], set(files)
    for name, network in networks.items():
        others = [file for file in network.films if file not in shared]
        for names, why in (
            (others, "not in all, so not compared"),
            (network.without_probability, "without a probability, so not compared"),
        ):
            if names:
                some = ", ".join(map(_shown, names[:MOST_NAMED]))
                more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
                films = "1 film" if len(names) == 1 else f"{len(names):,} films"
                notes.append(f"{name}: {films} {why}: {some}{more}")
    return files, notes


def _labels(networks: Mapping[str, Scored], files: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Label of each film, from the files that have it, which must agree."""
    labels, notes = [], []
    for file in files:
        told = {name: n.films[file].label for name, n in networks.items()}
        known = {label for label in told.values() if label is not None}
        if len(known) > 1:
            raise UserError(f"--mode=compare: {file!r} has another label in one file than another")
        if not known:
            raise UserError(
                f"--mode=compare: {file!r} has a label in none of the files; at least one must be "
                "of --mode=evaluate, or have a column 'label'"
            )
        labels.append(known.pop())
    for name, network in networks.items():
        if missing := sum(network.films[file].label is None for file in files):
            notes.append(f"{name} has no label for {missing:,} films; taken from another file")
    return np.array(labels), notes


def _patients(
    networks: Mapping[str, Scored], files: Sequence[str]
) -> tuple[list[str] | None, list[str]]:
    """Patient of each film, from the first file that has all of them; None where none has."""
    for network in networks.values():
        patients = [network.films[file].patient for file in files]
        if all(patients):
            return [str(patient) for patient in patients], []
    return None, ["no file has the patients of all films: the bootstrap draws films, not patients"]


def _shown(name: str) -> str:
    """Text from outside in quotes, with whatever is not printable escaped."""
    return repr(name)
