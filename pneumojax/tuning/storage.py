"""The storage of a study: Optuna's SQLite database, or its journal for several workers.

Locks are the system's, on open files, so that they end with their process. Optuna's own lock of a
journal is a file that stays behind a kill for half a minute.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study, StudyDirection

from pneumojax.files import replacing
from pneumojax.tuning.objective import Objective

NAME = "tune"  # the only study of its storage
FILES = {"sqlite": "study.db", "journal": "study.journal"}
_LOCKS = ".locks"
# Trials are compared once so many of them are completed, and from this epoch on.
_TRIALS_BEFORE_PRUNING, _FIRST_EPOCH = 4, 2


def open_storage(folder: Path, kind: str) -> BaseStorage:
    """Opens the storage of a study folder, and makes it if it does not exist.

    The tables of a database are made in another file that is then renamed, so a kill leaves either
    a whole database or none.
    """
    path = folder / FILES[kind]
    if kind == "journal":
        lock = _JournalLock(folder / _LOCKS / "journal", path)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    with held(folder, "storage"):
        if not path.exists():
            with replacing(path) as temporary:
                RDBStorage(f"sqlite:///{temporary}").engine.dispose()
    return RDBStorage(f"sqlite:///{path}")


def close_storage(storage: BaseStorage) -> None:
    """Closes the connections of a database."""
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()


def open_study(storage: BaseStorage, objectives: Sequence[Objective]) -> None:
    """Makes the study of a storage, unless it exists."""
    directions = [
        StudyDirection.MAXIMIZE if objective.is_maximised else StudyDirection.MINIMIZE
        for objective in objectives
    ]
    study = optuna.create_study(
        storage=storage, study_name=NAME, directions=directions, load_if_exists=True
    )
    if "objectives" not in study.user_attrs:  # for whoever opens the storage with Optuna
        study.set_user_attr("objectives", [str(objective) for objective in objectives])


def loaded(storage: BaseStorage, sampler: BaseSampler, *, prune: bool) -> Study:
    """The study of a storage, read anew."""
    pruner: BasePruner = NopPruner()
    if prune:
        pruner = MedianPruner(_TRIALS_BEFORE_PRUNING, _FIRST_EPOCH)
    return optuna.load_study(study_name=NAME, storage=storage, sampler=sampler, pruner=pruner)


@contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """Waits for a lock of the study and holds it for a block."""
    descriptor = _opened(folder / _LOCKS / name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_if_free(folder: Path, name: str) -> Iterator[bool]:
    """Holds a lock of the study for a block, and gives whether it was free."""
    descriptor = _opened(folder / _LOCKS / name)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except BlockingIOError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


class _JournalLock(JournalFileOpenLock):
    """The lock of a journal; whoever takes it removes a line that a kill cut short.

    Optuna appends to such a line, and then cannot read the journal any more.
    """

    def __init__(self, lock: Path, journal: Path):
        super().__init__(str(journal))
        self._held, self._journal = lock, journal
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        self._descriptor = _opened(self._held)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        _remove_cut_line(self._journal)
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _remove_cut_line(journal: Path) -> None:
    with open(journal, "rb+") as stream:
        end = size = stream.seek(0, os.SEEK_END)
        while end and not _ends_line(stream.fileno(), end):
            end -= 1
        if end < size:
            stream.truncate(end)


def _ends_line(descriptor: int, end: int) -> bool:
    return os.pread(descriptor, 1, end - 1) == b"\n"
