"""Divides films by patient: a validation set held out of the training films, or folds."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from pneumojax.config.check import wrong_value
from pneumojax.data.index import group_numbers
from pneumojax.errors import UserError

_CLASS_FIELDS = ("data.negative", "data.positive")  # the fields that name class 0 and class 1


def hold_out(
    patients: Sequence[str],
    labels: np.ndarray,
    digests: Sequence[str],
    fraction: float,
    seed: int,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Chooses the validation films, bool (n,), by patient and stratified by class.

    Patients who share a byte-identical film stay together as a group, and the majority of a group's
    films decides its class and its stratum. The groups of a class and stratum are visited in an
    order hashed from the seed and the group's name, so that the choice depends neither on the order
    of the files nor on other patients. A group is taken if it brings its class and stratum closer
    to the fraction.

    Args:
        patients, labels, digests: (n,) patient and label of each film, and hash of its file.
        fraction: fraction of the films wanted for validation, 0 for none.
        strata: int (n,) from 0, a further division whose shares are kept; None for none.

    Raises:
        UserError: training or validation would lack a class.
    """
    if fraction == 0:
        return np.zeros(len(patients), bool)
    labels = np.asarray(labels)
    groups = patient_groups(patients, digests)
    sizes: dict[tuple[int, int], dict[str, int]] = {}
    for name, films in groups.items():
        sizes.setdefault(_majority(labels, strata, films), {})[name] = len(films)
    validation = np.zeros(len(patients), bool)
    for of_one_kind in sizes.values():
        for name in _take(of_one_kind, fraction, seed):
            validation[groups[name]] = True
    for split, mask in (("validation", validation), ("training", ~validation)):
        for label, field in enumerate(_CLASS_FIELDS):
            if not np.any(labels[mask] == label):
                rule = (
                    f"it leaves no film of config.{field} for {split} "
                    f"({np.sum(labels == label)} in all); give more patients or set it to 0"
                )
                raise UserError(wrong_value("data.val_fraction", fraction, rule))
    return validation


def divide_into_folds(
    patients: Sequence[str],
    labels: np.ndarray,
    digests: Sequence[str],
    folds: int,
    seed: int,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Gives each film a fold, int64 (n,) from 0, by patient and stratified by class.

    Groups of patients are formed and visited as in `hold_out`; each goes to the fold that has the
    fewest films of its class and stratum so far and, among such folds, the fewest of its class.

    Raises:
        UserError: a fold would have no film of a class.
    """
    labels = np.asarray(labels)
    groups = patient_groups(patients, digests)
    kinds = 1 if strata is None else int(strata.max(initial=0)) + 1
    sizes = np.zeros((len(_CLASS_FIELDS), kinds, folds), np.int64)
    fold_of = np.zeros(len(patients), np.int64)
    for name in sorted(groups, key=lambda name: _rank(name, seed)):
        films = groups[name]
        label, stratum = _majority(labels, strata, films)
        fold = int(np.lexsort((sizes[label].sum(axis=0), sizes[label, stratum]))[0])
        sizes[label, stratum, fold] += len(films)
        fold_of[films] = fold
    _refuse_missing_class(fold_of, labels, folds)
    return fold_of


def divide_by_group(
    patients: Sequence[str], labels: np.ndarray, digests: Sequence[str], group_of: np.ndarray
) -> np.ndarray:
    """Makes a fold of each group of films, such as a hospital's: int64 (n,) from 0.

    Patients who share a byte-identical film stay together, in the group of most of their films.

    Raises:
        UserError: a fold would have no film of a class.
    """
    labels = np.asarray(labels)
    fold_of = np.zeros(len(patients), np.int64)
    for films in patient_groups(patients, digests).values():
        fold_of[films] = _majority(labels, group_of, films)[1]
    _refuse_missing_class(fold_of, labels, int(group_of.max()) + 1)
    return fold_of


def _refuse_missing_class(fold_of: np.ndarray, labels: np.ndarray, folds: int) -> None:
    """Raises UserError if a fold has no film of a class."""
    for label, field in enumerate(_CLASS_FIELDS):
        if len(np.unique(fold_of[labels == label])) < folds:
            rule = (
                f"they leave one without a film of config.{field} "
                f"({np.sum(labels == label)} in all); give more patients or fewer folds"
            )
            raise UserError(wrong_value("data.folds", folds, rule))


def _majority(
    labels: np.ndarray, strata: np.ndarray | None, films: Sequence[int]
) -> tuple[int, int]:
    """The class and the stratum of most films of a group; on a tie, class 1 and the lower one."""
    stratum = 0 if strata is None else int(np.argmax(np.bincount(strata[films])))
    return int(labels[films].mean() >= 0.5), stratum


def patient_groups(patients: Sequence[str], digests: Sequence[str]) -> dict[str, list[int]]:
    """Films that must stay together, under the name of the group's first patient."""
    # Slow to import, and prediction, which imports this module too, divides no films.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    films = len(patients)
    patient, contents = group_numbers(patients), group_numbers(digests)
    # A node for each patient and for each contents of a file, and an edge for each film.
    edges = (np.ones(films, bool), (patient, 2 * films + contents))
    graph = coo_array(edges, shape=(4 * films, 4 * films))
    _, of_node = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for film, group in enumerate(of_node[patient].tolist()):
        groups.setdefault(group, []).append(film)
    return {min(patients[film] for film in films): films for films in groups.values()}


def _take(sizes: Mapping[str, int], fraction: float, seed: int) -> set[str]:
    """The validation groups of one class; of two groups or more, each split gets at least one."""
    if len(sizes) < 2:
        return set()
    order = sorted(sizes, key=lambda name: _rank(name, seed))
    wanted = fraction * sum(sizes.values())
    taken: list[str] = []
    for name in order:
        if abs(wanted - sizes[name]) < abs(wanted):
            taken.append(name)
            wanted -= sizes[name]
    if not taken:
        taken = [min(order, key=lambda name: sizes[name])]
    if len(taken) == len(order):
        taken.pop()
    return set(taken)


def _rank(name: str, seed: int) -> str:
    # An unknown patient is named by the file's path, which need not be valid text.
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()
