"""The card of an export: the facts that a program needs to use it without PneumoJAX."""

from dataclasses import asdict, dataclass
from typing import Any

import pneumojax
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.export.answer import INPUT, OUTPUTS
from pneumojax.inference.predictor import Predictor

CARD = "export.json"


@dataclass(frozen=True)
class Card:
    """Facts about an exported network.

    dtype: the type that its weights are stored in and its layers compute in.
    classes: the names of class 0 and class 1; the probability is that of class 1.
    threshold: the probability from which a film is called class 1.
    image_size, resize, reduced_decode: how a film becomes the input, see `Preprocessing`.
    networks: the names of the run folders.
    identity: the same as in predictions of the original.
    """

    format: str
    dtype: str
    classes: tuple[str, str]
    threshold: float
    image_size: int
    resize: str
    reduced_decode: bool
    networks: tuple[str, ...]
    identity: str
    input: str = INPUT
    outputs: tuple[str, ...] = OUTPUTS
    pneumojax: str = pneumojax.__version__
    disclaimer: str = DISCLAIMER

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


def card_of(predictor: Predictor, form: str, dtype: str) -> Card:
    """The card of a predictor's export in the format `form`."""
    preprocessing = predictor.first.preprocessing
    negative, positive = predictor.first.class_names.words  # as in predictions
    return Card(
        format=form,
        dtype=dtype,
        classes=(negative, positive),
        threshold=predictor.decision.threshold,
        image_size=preprocessing.image_size,
        resize=preprocessing.resize,
        reduced_decode=preprocessing.reduced_decode,
        networks=tuple(workdir.name for workdir in predictor.workdirs),
        identity=predictor.identity,
    )
