"""The readable films of one split: their pixels by index, and the known facts about each."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumojax.data import patients
from pneumojax.data.index import Column, FilmIndex
from pneumojax.decoding.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pneumojax.data.shards import StreamedFilms


@dataclass(frozen=True)
class FilmSet:
    """The readable films of one split, or some of them.

    Attributes:
        images: uint8 (m, image_size, image_size), memory-mapped or streamed; m may exceed n.
        rows: int64 (n,), each film's place in `images`; `pixels` applies it.
        index: the known facts about the n films.
        rejected: path and reason of each file that is not a readable film.
        ignored: the number of other files under the root.
    """

    root: Path
    split: str
    preprocessing: Preprocessing
    images: "np.ndarray | StreamedFilms"
    rows: np.ndarray
    index: FilmIndex
    rejected: list[tuple[str, str]]
    ignored: int

    def __len__(self) -> int:
        return len(self.index)

    def pixels(self, films: np.ndarray) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films by their index."""
        return self.images.take(self.rows[films], axis=0)

    def select(self, films: np.ndarray) -> "FilmSet":
        """Some of the films, by index or bool (n,). The pixels are shared and not read."""
        chosen = np.arange(len(self))[films]
        return replace(self, rows=self.rows[chosen], index=self.index.select(chosen))

    @property
    def paths(self) -> Column:
        """Paths relative to the root, sorted."""
        return self.index.paths

    @property
    def labels(self) -> np.ndarray:
        """int32 (n,), 1 is pneumonia."""
        return self.index.labels

    @property
    def sizes(self) -> np.ndarray:
        """int32 (n, 2), width and height of the picture in each file, pixels."""
        return self.index.sizes

    @property
    def digests(self) -> Column:
        """SHA-256 of each file's bytes, in hexadecimal digits."""
        return self.index.digests

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
