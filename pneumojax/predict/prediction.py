"""One row of a prediction file: a film's answer, or the reason why there is none."""

from dataclasses import dataclass

CALLS = ("normal", "pneumonia")


@dataclass(frozen=True)
class Prediction:
    """The answer to one film.

    file: its name in the column `file`, which no other row has.
    path: absolute, with links resolved.
    sha256: of the file's bytes, in hexadecimal digits; "" if they cannot be read.
    probability: calibrated probability of pneumonia; None if the film cannot be read.
    call: one of `CALLS`; "" if the film cannot be read.
    note: the reason why the film cannot be read, or "".
    warnings: reasons why the probability may mean nothing.
    deviation, lowest, highest: of the members' probabilities; None with a single network.
    """

    file: str
    path: str
    sha256: str
    probability: float | None = None
    call: str = ""
    note: str = ""
    warnings: tuple[str, ...] = ()
    deviation: float | None = None
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class RunStamp:
    """The columns that are the same in every row of one run's predictions.

    threshold: calibrated probability from which a film is called pneumonia.
    trained_on: name of the folder of training films.
    checkpoint: identity of the networks and of everything else that decides an answer.
    """

    threshold: float
    trained_on: str
    checkpoint: str
    disclaimer: str
