"""Pairs the films of several files of predictions, which may differ in films and in columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.errors import UserError
from pneumojax.evaluation.compare.predictions_csv import THRESHOLD, PredictionsFile

_MOST_NAMED = 3

Networks = Mapping[str, PredictionsFile]  # by the network's letter


@dataclass(frozen=True)
class PairedFilms:
    """The films for which every network has a probability, in the first network's order.

    patients: None if no file has all of them.
    notes: sentences about the films and the calls for the readers of the comparison.
    class_names: those of the first file. Class 1 means the same in all files.
    """

    files: Sequence[str]
    labels: NDArray
    patients: Sequence[str] | None
    notes: Sequence[str]
    class_names: ClassNames = CLASS_NAMES


def pair_films(networks: Networks) -> PairedFilms:
    files = _shared_films(networks)
    if len({network.class_names for network in networks.values()}) > 1:
        _refuse_other_questions(networks, files)
    labels, label_notes = _labels(networks, files)
    patients = _patients(networks, files)
    notes = _left_out_notes(networks, files) + label_notes
    if patients is None:
        notes.append("no file has the patients of all films: the bootstrap draws films instead")
    notes += _threshold_notes(networks)
    return PairedFilms(files, labels, patients, notes, next(iter(networks.values())).class_names)


def _refuse_other_questions(networks: Networks, files: Sequence[str]) -> None:
    """Raises UserError unless the labels show that classes of other names mean the same."""
    if reason := _disagreement(networks, files):
        named = "; ".join(
            f"{k}: {', '.join(map(repr, n.class_names))}" for k, n in networks.items()
        )
        raise UserError(f"compare: the classes have different names ({named}), and {reason}")


def _disagreement(networks: Networks, files: Sequence[str]) -> str:
    """The reason why the labels do not show that; "" if they do."""
    labels = {file: {n.films[file].label for n in networks.values()} for file in files}
    for name, network in networks.items():
        if missing := [file for file in files if network.films[file].label is None]:
            return (
                f"{name} has no label for {missing[0]!r}. Evaluate its run on these films, or add "
                "a column 'label', which shows which names mean the same"
            )
    if different := [file for file in files if len(labels[file]) > 1]:
        return (
            f"the labels of {len(different):,} of the {len(files):,} films contradict each other, "
            f"as for {different[0]!r}. Compare runs that answer one question; if a run has the two "
            "classes in the other order, train it again with config.data.negative and positive "
            "exchanged"
        )
    if len(set().union(*labels.values())) < 2:
        return (
            "all shared films are of one class, which does not show that the other names mean the "
            "same. Evaluate the runs on films of both classes"
        )
    return ""


def seen_warnings(networks: Networks, files: Sequence[str]) -> list[str]:
    counted = {name: sum(n.films[file].seen for file in files) for name, n in networks.items()}
    return [
        f"{name} was trained on {count:,} of these {len(files):,} films or on films of their "
        "patients: its metrics say nothing about new patients"
        for name, count in counted.items()
        if count
    ]


def _shared_films(networks: Networks) -> list[str]:
    first = next(iter(networks.values()))
    files = [f for f in first.films if all(f in network.films for network in networks.values())]
    if not files:
        examples = "; ".join(f"{k}: {next(iter(n.films))!r}" for k, n in networks.items())
        raise UserError(
            "compare: no film is in all of the files. Films are paired by the column 'file', "
            f"whose first entries are {examples}"
        )
    for file in files:
        digests = {n.films[file].sha256 for n in networks.values()} - {""}
        if len(digests) > 1:
            raise UserError(
                f"compare: {file!r} is a different film in another file: its sha256 differs"
            )
    return files


def _left_out_notes(networks: Networks, files: Sequence[str]) -> list[str]:
    notes, shared = [], set(files)
    for name, network in networks.items():
        for left_out, why in (
            ([file for file in network.films if file not in shared], "not in all files"),
            (network.without_probability, "without a probability"),
        ):
            if left_out:
                some = ", ".join(map(repr, left_out[:_MOST_NAMED]))
                rest = len(left_out) - _MOST_NAMED
                more = f" and {rest:,} more" if rest > 0 else ""
                films = "1 film" if len(left_out) == 1 else f"{len(left_out):,} films"
                notes.append(f"{name}: {films} {why}, so not compared: {some}{more}")
    return notes


def _labels(networks: Networks, files: Sequence[str]) -> tuple[NDArray, list[str]]:
    """The label of each film, on which the files that have one must agree; and notes."""
    labels, notes = [], []
    for file in files:
        known = {network.films[file].label for network in networks.values()} - {None}
        if len(known) > 1:
            raise UserError(f"compare: the files give different labels for {file!r}")
        if not known:
            raise UserError(
                f"compare: none of the files has a label for {file!r}. At least one of them must "
                "come from evaluate or have a column 'label'"
            )
        labels.append(known.pop())
    for name, network in networks.items():
        if missing := sum(network.films[file].label is None for file in files):
            notes.append(f"{name} has no label for {missing:,} films; taken from another file")
    return np.array(labels), notes


def _patients(networks: Networks, files: Sequence[str]) -> list[str] | None:
    """The patient of each film, from the first file that has one for every film."""
    for network in networks.values():
        patients = [network.films[file].patient for file in files]
        if all(patients):
            return [str(patient) for patient in patients]
    return None


def _threshold_notes(networks: Networks) -> list[str]:
    notes = []
    for name, network in networks.items():
        if not network.has_calls:
            notes.append(f"{name} has no column 'call'; its films are called at {THRESHOLD}")
        elif network.mixes_thresholds:
            notes.append(
                f"{name} is called at several thresholds: a film that it calls "
                f"{network.class_names.negative} has a higher probability than one that it calls "
                f"{network.class_names.positive}"
            )
    known = {k: n.threshold for k, n in networks.items() if n.has_calls and n.threshold is not None}
    if len(set(known.values())) > 1:
        each = ", ".join(f"{name} at {threshold:.4g}" for name, threshold in known.items())
        notes.append(
            f"the networks are called at different thresholds ({each}), which changes "
            "sensitivity, specificity and all other metrics of calls"
        )
    return notes
