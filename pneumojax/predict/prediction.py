"""The answer to one film, and what is the same for all films that one network answers."""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Prediction:
    """A film's answer, or the reason why there is none.

    file: the film's name, which no other row of a prediction file has.
    path: absolute, with links resolved; "" for a film that is not a file.
    sha256: of the film's bytes, in hexadecimal digits; "" if they cannot be read.
    probability: calibrated probability of class 1; None if the film cannot be read.
    call: the name of the class; "" if the film cannot be read.
    note: the reason why the film cannot be read, or "".
    warnings: reasons why the probability may mean nothing.
    deviation, lowest, highest: of the members' probabilities; None with a single network.
    threshold: the probability from which a film is called class 1.
    """

    file: str
    path: str = field(repr=False)
    sha256: str = field(repr=False)
    probability: float | None = None
    call: str = ""
    note: str = ""
    warnings: tuple[str, ...] = ()
    deviation: float | None = None
    lowest: float | None = None
    highest: float | None = None
    threshold: float = math.nan

    @property
    def errors(self) -> tuple[str, ...]:
        """The reason why the film cannot be read; () if it was read."""
        return (self.note,) if self.note else ()


@dataclass(frozen=True)
class RunStamp:
    """The columns that are the same in every row of one run's predictions.

    trained_on: name of the folder of training films.
    checkpoint: identity of the networks and of everything else that decides an answer.
    """

    threshold: float
    trained_on: str
    checkpoint: str
    disclaimer: str
