"""The readable films of one split: their pixels by index, and the known facts about each."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumojax.data import patients
from pneumojax.data.index import FilmIndex
from pneumojax.decoding.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pneumojax.data.shards import StreamedFilms


@dataclass(frozen=True)
class FilmSet(FilmIndex):
    """The readable films of one split, or some of them: the known facts and the pixels."""

    root: Path
    split: str
    preprocessing: Preprocessing
    # uint8 (m, image_size, image_size), memory-mapped or streamed; m may exceed n.
    images: "np.ndarray | StreamedFilms"
    places: np.ndarray  # int64 (n,), each film's place in `images`; `pixels` applies it
    rejected: list[tuple[str, str]]  # path and reason of each file that is not a readable film
    ignored: int  # the number of other files under the root

    def pixels(self, films: np.ndarray) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films by their index."""
        return self.images.take(self.places[films], axis=0)

    def select(self, films: np.ndarray) -> "FilmSet":
        """Some of the films, by index or bool (n,). The pixels are shared and not read."""
        return replace(self, rows=self.rows[films], places=self.places[films])

    @property
    def identities(self) -> Iterator[patients.Identity]:
        """Patient and pathogen of each film, from the file name."""
        return map(patients.identify, self.paths, self.labels.tolist())

    @property
    def patients(self) -> list[str]:
        """Patient of each film; all films of a patient share one string, to save memory."""
        one: dict[str, str] = {}
        return [one.setdefault(who.patient, who.patient) for who in self.identities]

    @property
    def patients_known(self) -> list[bool]:
        """Whether each film's name tells its patient."""
        return [identity.known for identity in self.identities]

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all paths and contents, the same wherever the folder lies."""
        digest = hashlib.sha256()
        for path, contents in zip(self.paths, self.digests, strict=True):
            digest.update(f"{contents} {path}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]
