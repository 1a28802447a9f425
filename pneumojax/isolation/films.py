"""Decodes films in child processes."""

import os
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from pneumojax.decoding.dicom_header import MAX_TEXT
from pneumojax.decoding.film_error import FilmError, UnfinishedDecoding
from pneumojax.decoding.formats import (
    AnyFilm,
    TrainingFilm,
    decode_any,
    decode_any_grey,
    decode_training_film,
)
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.isolation.child import SENSELESS, Refused, WorkerKilled, WorkerLost, WorkerTimeout
from pneumojax.isolation.pool import Workers
from pneumojax.isolation.protocol import DEFAULT, Limits
from pneumojax.isolation.tasks import Answer


class Decoded(NamedTuple):
    """A film as the network sees it, and a preview for people."""

    film: AnyFilm
    preview: np.ndarray | None  # uint8 (h, w), upright; None if none was requested


class FilmDecoder(AbstractContextManager["FilmDecoder"]):
    """Decodes films in a child process for each core, `most` at most. Safe for threads.

    processes: the number of its child processes.
    """

    def __init__(self, most: int | None = None, limits: Limits = DEFAULT):
        cores = os.cpu_count() or 1
        self.processes = min(most or cores, cores)
        self._workers = Workers(self.processes, limits, tasks=["film"])

    def __exit__(self, *exception: object) -> None:
        self._workers.close()

    def decode(
        self, data: bytes, preprocessing: Preprocessing, *, preview_side: int = 0
    ) -> Decoded:
        """Decodes one film of any kind that prediction takes.

        No side of the preview is longer than `preview_side` pixels; 0 stands for no preview.

        Raises:
            FilmError: as `decode_any`, or the decoder crashed or exceeded its limits.
            UnfinishedDecoding: the machine did not let the decoder finish.
        """
        arguments = {"preview_side": preview_side}
        values, arrays = self._call("film", preprocessing, arguments, data)
        wants, side = 1 + (preview_side > 0), preprocessing.image_size
        match values:
            case {
                "width": int() as width,
                "height": int() as height,
                "colour": float() as colour,
                "lateral": bool() as lateral,
            }:
                if len(arrays) == wants and _is_square(arrays[0], side) and _is_grey(arrays[-1]):
                    film = AnyFilm(arrays[0], width, height, colour, lateral)
                    return Decoded(film, arrays[1] if preview_side else None)
        raise FilmError(SENSELESS)

    def decode_for_training(
        self, files: Sequence[bytes], preprocessing: Preprocessing, texts: Collection[str] = ()
    ) -> list[TrainingFilm | FilmError]:
        """Decodes several JPEG, PNG or DICOM films in one call, which is faster for small films.

        Returns:
            For each file the result of `decode_training_film`, or the error that it raises. If the
            call is lost, each file is tried again alone, so that only the one at fault is refused.
            If the machine ends the decoding of a film both times, its result is UnfinishedDecoding.
        """
        try:
            return self._decode_together(files, preprocessing, texts)
        except FilmError:
            return [self._decode_alone(file, preprocessing, texts) for file in files]

    def _decode_alone(
        self, file: bytes, preprocessing: Preprocessing, texts: Collection[str]
    ) -> TrainingFilm | FilmError:
        try:
            return self._decode_together([file], preprocessing, texts)[0]
        except FilmError as error:
            return error

    def _decode_together(
        self, files: Sequence[bytes], preprocessing: Preprocessing, texts: Collection[str]
    ) -> list[TrainingFilm | FilmError]:
        arguments = {"lengths": [len(file) for file in files], "texts": sorted(texts)}
        values, arrays = self._call("training films", preprocessing, arguments, b"".join(files))
        answers = values.get("films")
        if not isinstance(answers, list) or len(answers) != len(files):
            raise FilmError(SENSELESS)
        found: list[TrainingFilm | FilmError] = []
        pixels = iter(arrays)
        for answer in answers:
            match answer:
                case str() as reason:
                    found.append(FilmError(reason))
                case [int() as width, int() as height, header] if _is_square(
                    film := next(pixels, None), preprocessing.image_size
                ) and _is_header(header):
                    found.append(TrainingFilm(film, width, height, header))
                case _:
                    raise FilmError(SENSELESS)
        return found

    def _call(
        self, task: str, preprocessing: Preprocessing, arguments: dict[str, Any], data: bytes
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        arguments |= {"preprocessing": preprocessing.as_dict()}
        try:
            return self._workers.call(task, arguments, data)
        except Refused as refusal:
            raise FilmError(str(refusal)) from None
        except WorkerKilled as killed:  # twice, for the same film
            reason = f"{killed}: the machine may be out of memory"
            raise UnfinishedDecoding(reason) from killed
        except WorkerTimeout as late:  # a film that computes for so long runs out of processor time
            raise UnfinishedDecoding(f"{late}: the machine is too busy") from late
        except WorkerLost as lost:
            raise FilmError(f"{lost}: the file is damaged, or was made to do harm") from lost


def _is_square(array: Any, side: int) -> TypeGuard[np.ndarray]:
    return _is_grey(array) and array.shape == (side, side)


def _is_header(header: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(header, dict) and all(
        isinstance(text, str) and len(text) <= MAX_TEXT for text in header.values()
    )


def _is_grey(array: Any) -> TypeGuard[np.ndarray]:
    return isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 2


def decode_task(arguments: dict[str, Any], data: bytes) -> Answer:
    """The task "film", which runs in the child process."""
    film = decode_any(data, Preprocessing(**arguments["preprocessing"]))
    arrays = [film.pixels]
    if arguments["preview_side"]:
        picture = decode_any_grey(data)
        picture.thumbnail((arguments["preview_side"],) * 2)
        arrays.append(np.array(picture))
    values = {
        "width": film.width,
        "height": film.height,
        "colour": float(film.colour),
        "lateral": film.lateral,
    }
    return values, arrays


def decode_training_task(arguments: dict[str, Any], data: bytes) -> Answer:
    """The task "training films", which runs in the child process."""
    preprocessing = Preprocessing(**arguments["preprocessing"])
    answers: list[Any] = []
    arrays = []
    begin = 0
    for length in arguments["lengths"]:
        file = data[begin : begin + length]
        begin += length
        try:
            film = decode_training_film(file, preprocessing, arguments["texts"])
        except FilmError as error:
            answers.append(str(error))
        else:
            answers.append([film.width, film.height, film.header])
            arrays.append(film.pixels)
    return {"films": answers}, arrays
