"""The readable films of one split: their pixels by index, and the known facts about each."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumojax.data import patients
from pneumojax.data.dicom_metadata import HeaderFacts
from pneumojax.data.films import FilmFolder
from pneumojax.data.index import FilmIndex
from pneumojax.data.naming import KERMANY, FilmNaming
from pneumojax.decoding.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pneumojax.data.ingested import IngestedFilms
    from pneumojax.data.shards import StreamedFilms


@dataclass(frozen=True)
class FilmFacts:
    """The facts that a folder, a table or DICOM headers tell about m films, in the cache's order.

    The cache holds those of DICOM headers only, so a corrected table costs no decoding.
    """

    labels: np.ndarray  # int32 (m,)
    patients: np.ndarray | None = None  # object (m,) of text, "" if unknown; None: see the paths
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)  # object (m,), "" if missing
    from_table: bool = False
    lateral: np.ndarray | None = None  # bool (m,), by the DICOM headers; None: no film is

    @classmethod
    def of_folder(cls, folder: FilmFolder, films: np.ndarray) -> "FilmFacts":
        """The facts of some listed files, by index."""
        files = [folder.files[film] for film in films.tolist()]
        known = any(file.patient for file in files)
        return cls(
            np.array([file.label for file in files], np.int32),
            np.array([file.patient for file in files], object) if known else None,
            {name: values[films] for name, values in folder.columns.items()},
            folder.table is not None,
        )

    def with_headers(self, headers: HeaderFacts, paths: Sequence[str]) -> "FilmFacts":
        """Adds the facts of DICOM headers; a table's own values are kept."""
        added = {name: np.array(values, object) for name, values in headers.columns.items()}
        patients = added.pop("patient", None)
        columns = dict(self.columns)
        for name, values in added.items():
            columns[name] = _filled(columns.get(name), values)
        lateral = set(headers.lateral)
        return replace(
            self,
            patients=self.patients if patients is None else _filled(self.patients, patients),
            columns=columns,
            lateral=np.array([path in lateral for path in paths]) if lateral else None,
        )

    def take(self, films: np.ndarray) -> "FilmFacts":
        """The facts of some of the films, by index or bool (m,)."""
        return replace(
            self,
            labels=self.labels[films],
            patients=None if self.patients is None else self.patients[films],
            columns={name: values[films] for name, values in self.columns.items()},
            lateral=None if self.lateral is None else self.lateral[films],
        )


def _filled(values: np.ndarray | None, others: np.ndarray) -> np.ndarray:
    """The values, and those of `others` where a value is "" or all are None."""
    return others if values is None else np.where(values == "", others, values)


@dataclass(frozen=True)
class FilmSet(FilmIndex):
    """The readable films of one split, or some of them: the known facts and the pixels."""

    root: Path
    split: str
    preprocessing: Preprocessing
    # uint8 (m, image_size, image_size), memory-mapped or streamed; m may exceed n.
    images: "np.ndarray | StreamedFilms | IngestedFilms"
    places: np.ndarray  # int64 (n,), each film's place in `images`; `pixels` applies it
    facts: FilmFacts  # of the n films
    rejected: list[tuple[str, str]]  # path and reason of each file that is not a readable film
    ignored: int  # the number of other files under the root
    naming: FilmNaming = KERMANY

    def pixels(self, films: np.ndarray) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films by their index."""
        return self.images.take(self.places[films], axis=0)

    def select(self, films: np.ndarray) -> "FilmSet":
        """Some of the films, by index or bool (n,). The pixels are shared and not read."""
        return replace(
            self, rows=self.rows[films], places=self.places[films], facts=self.facts.take(films)
        )

    @property
    def labels(self) -> np.ndarray:
        """int32 (n,), 1 is the positive class, by default pneumonia."""
        return self.facts.labels

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Other columns of a table or of DICOM headers: object (n,) of text, "" if missing."""
        return self.facts.columns

    @property
    def lateral(self) -> np.ndarray:
        """int64 (k,), the indices of the films that their DICOM headers call lateral views."""
        found = self.facts.lateral
        return np.flatnonzero(found) if found is not None else np.empty(0, np.int64)

    @property
    def identities(self) -> Iterator[patients.Identity]:
        """Patient and pathogen of each film, from a table, a DICOM header or the file's name."""
        named = map(self.naming.patients.identify, self.paths, self.labels.tolist())
        if self.facts.patients is None:
            return named
        return (
            patients.Identity(patient or who.patient, who.pathogen, bool(patient) or who.known)
            for patient, who in zip(self.facts.patients, named, strict=True)
        )

    @property
    def patients(self) -> list[str]:
        """Patient of each film; all films of a patient share one string, to save memory."""
        one: dict[str, str] = {}
        return [one.setdefault(who.patient, who.patient) for who in self.identities]

    @property
    def patients_known(self) -> list[bool]:
        """Whether the patient of each film is known."""
        return [identity.known for identity in self.identities]

    @property
    def contradictions(self) -> int:
        """The number of films with a Kermany-style name of the other class."""
        if not self.naming.classes.are_default:
            return 0
        return patients.count_contradictions(self.paths, self.labels)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all paths and contents, the same wherever the folder lies.

        For a table, the digits cover labels and patients as well, which its paths do not tell.
        """
        digest = hashlib.sha256()
        for path, contents, told in zip(self.paths, self.digests, self._told(), strict=True):
            digest.update(f"{contents} {path}{told}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def _told(self) -> Iterator[str]:
        """The part of each film's fingerprint that comes from a table."""
        if not self.facts.from_table:
            return itertools.repeat("", len(self))
        return (f" {label} {who}" for label, who in zip(self.labels, self.patients, strict=True))
