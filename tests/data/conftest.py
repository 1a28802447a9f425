"""Drawn films for several test files, and a decoder without child processes."""

import pytest

from pneumojax.data import cache_build
from pneumojax.data.phantom import draw_film
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_training_film


@pytest.fixture(scope="session")
def drawings():
    """260 drawn films of as many patients, as (pathogen, uint8 (height, width))."""
    pathogens = ["none"] * 120 + ["bacteria"] * 60 + ["virus"] * 60 + ["none", "virus"] * 10
    return [(kind, draw_film(5, patient, 1, kind)) for patient, kind in enumerate(pathogens)]


class InThisProcess:
    """Replaces `FilmDecoder`, whose child processes take a second to start; see tests/isolation."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def decode_for_training(self, files, preprocessing, texts=()):
        return [self._decode(file, preprocessing, texts) for file in files]

    def _decode(self, file, preprocessing, texts):
        try:
            return decode_training_film(file, preprocessing, texts)
        except FilmError as error:
            return error


@pytest.fixture(autouse=True)
def decoding_in_this_process(monkeypatch):
    monkeypatch.setattr(cache_build, "FilmDecoder", InThisProcess)
