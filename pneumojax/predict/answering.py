"""Answers films that have been read: probabilities, calls, warnings and Grad-CAM maps.

The command line and the Python API both predict with this module, so their numbers are the same.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.classes import ClassNames
from pneumojax.data.out_of_distribution import (
    LEAST_FILMS,
    TrainingDistribution,
    warnings_about,
)
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.inference.predictor import Answer, Predictor
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.predict.prediction import Prediction, RunStamp
from pneumojax.predict.reading import ReadFilm
from pneumojax.run.film_list import CANNOT_TELL, SeenFilms

LARGEST_BATCH = 64
NO_DISTRIBUTION = (
    "note: this run does not store the distribution of its training films, since they were fewer "
    f"than {LEAST_FILMS} or the run is of an earlier version; so films unlike them get no warning"
)


@dataclass(frozen=True)
class AnsweredFilm:
    """A film, its answer, and its Grad-CAM map if maps were asked for and it could be read.

    The map is float32 (image_size, image_size) in [0, 1].
    """

    film: ReadFilm
    prediction: Prediction
    evidence: NDArray[np.float32] | None


@dataclass(frozen=True)
class Answerer:
    """A predictor, and the facts about its training films by which it warns of doubtful answers.

    distribution: of the training films' statistics; None if the run does not store it.
    """

    predictor: Predictor
    distribution: TrainingDistribution | None
    seen: SeenFilms

    @classmethod
    def of(cls, predictor: Predictor) -> "Answerer":
        """Reads the facts from the run folders of a predictor."""
        distribution = TrainingDistribution.from_meta(predictor.first.meta)
        return cls(predictor, distribution, SeenFilms.of_runs(predictor.workdirs))

    @property
    def class_names(self) -> ClassNames:
        """The names of the calls, as in a sentence."""
        return ClassNames(*self.predictor.first.meta["class_names"]).words

    @property
    def stamp(self) -> RunStamp:
        """The facts that all answers have in common."""
        predictor, trained = self.predictor, self.predictor.first
        stamped = f"{SYNTHETIC_STAMP}; {DISCLAIMER}" if trained.meta["synthetic"] else DISCLAIMER
        threshold = predictor.decision.threshold
        return RunStamp(threshold, trained.trained_on, predictor.identity, stamped)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines about the kinds of warnings that this run cannot give."""
        missing = (NO_DISTRIBUTION, self.distribution is None), (CANNOT_TELL, not self.seen.known)
        return tuple(note for note, is_missing in missing if is_missing)

    def for_films(self, count: int) -> "Answerer":
        """The same answerer, with the size of batches in which so many films are answered.

        If there are no more films than devices, a batch has one film for each device. Otherwise it
        has as many microbatches as the films fill, and at most `LARGEST_BATCH` films. The size
        depends on nothing but the number of films, because a network that is compiled for another
        size may round differently.
        """
        devices = self.predictor.first.mesh.size
        unit = devices if count <= devices else FILMS_IN_CACHE * devices
        size = unit * max(1, min(LARGEST_BATCH // unit, math.ceil(count / unit)))
        return replace(self, predictor=self.predictor.in_batches_of(size))

    def answers(
        self, films: Iterable[ReadFilm], *, explain: bool = False
    ) -> Iterator[list[AnsweredFilm]]:
        """Answers films batch by batch, in batches of the predictor's `batch_size`."""
        batches = self._batches(iter(films))
        for batch, answer in self.predictor.stream(batches, explain=explain):
            maps = [None] * len(batch) if answer.maps is None else answer.maps
            yield [
                AnsweredFilm(film, prediction, evidence if film.film else None)
                for film, prediction, evidence in zip(
                    batch, self._predictions(batch, answer), maps, strict=False
                )
            ]

    def _batches(
        self, films: Iterator[ReadFilm]
    ) -> Iterator[tuple[list[ReadFilm], NDArray[np.uint8]]]:
        """The films in batches, each with its pixels; those of an unreadable film are 0."""
        side = self.predictor.first.preprocessing.image_size
        size = self.predictor.batch_size
        while batch := list(itertools.islice(films, size)):
            images = np.zeros((size, side, side, 1), np.uint8)
            for i, read in enumerate(batch):
                if read.film is not None:
                    images[i, ..., 0] = read.film.pixels
            yield batch, images

    def _predictions(self, batch: list[ReadFilm], answer: Answer) -> list[Prediction]:
        """The rows of a batch; the answer may also hold padding, which is ignored."""
        decision = self.predictor.decision
        logits, spread = self.predictor.combine(answer.logits)
        probabilities = decision.probabilities(logits)
        calls = decision.calls(probabilities)
        films = [read.film for read in batch if read.film]
        unusual = iter(warnings_about(films, self.distribution))
        rows = []
        for i, read in enumerate(batch):
            row = Prediction(
                read.file, read.path, read.sha256, note=read.note, threshold=decision.threshold
            )
            if read.film:
                row = replace(
                    row,
                    probability=_rounded(probabilities[i]),
                    call=self.class_names[calls[i]],
                    warnings=(*self._seen_before(read), *next(unusual)),
                )
                if spread is not None:
                    row = replace(
                        row,
                        deviation=_rounded(spread.deviation[i]),
                        lowest=_rounded(spread.lowest[i]),
                        highest=_rounded(spread.highest[i]),
                    )
            rows.append(row)
        return rows

    def _seen_before(self, read: ReadFilm) -> list[str]:
        """The warning that the network was trained on the film or on its patient, if it was.

        It stands before other warnings, because it makes the probability worthless.
        """
        # A link may have another name than the film that it leads to.
        names = (read.file, read.path)
        notes = (self.seen.note(name, read.sha256, read.patient) for name in names)
        return [note for note in notes if note][:1]


def _rounded(value: float) -> float:
    """Nine significant digits, which tell all float32 numbers apart."""
    return float(f"{value:.9g}")
