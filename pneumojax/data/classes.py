"""The two classes of a data set: the folder names or labels that count as each, and their names."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pneumojax.config.rules import ANY_OTHER, plain


class ClassNames(NamedTuple):
    """The names of class 0 and class 1 in tables, charts, pages and CSV files."""

    negative: str = "NORMAL"
    positive: str = "PNEUMONIA"

    @property
    def words(self) -> "ClassNames":
        """The names within a sentence: "normal" and "pneumonia", but other names unchanged."""
        return ClassNames("normal", "pneumonia") if self == CLASS_NAMES else self


CLASS_NAMES = ClassNames()  # of the embedded data sets, and of every run that names no others


@dataclass(frozen=True)
class Classes:
    """The folder names or labels of each class, and those that belong to neither.

    The names are those of `config.data.negative`, `positive` and `ignored`; "*" in `ignored` stands
    for every other name.
    """

    negative: tuple[str, ...] = (CLASS_NAMES.negative,)
    positive: tuple[str, ...] = (CLASS_NAMES.positive,)
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> ClassNames:
        """The name of each class; several names are joined, as in "PNEUMONIA or COVID"."""
        return ClassNames(" or ".join(self.negative), " or ".join(self.positive))

    @property
    def are_default(self) -> bool:
        return self.names == CLASS_NAMES

    @property
    def listed(self) -> tuple[str, ...]:
        """All names of both classes, for messages."""
        return (*self.negative, *self.positive)

    def label_of(self, name: str) -> int | None:
        """0 or 1 for a name of a class in any spelling, None for any other name."""
        for label, names in enumerate((self.negative, self.positive)):
            if plain(name) in map(plain, names):
                return label
        return None

    def is_listed(self, name: str) -> bool:
        """Whether a name is that of a class, or is left out by `config.data.ignored`."""
        ignored = ANY_OTHER in self.ignored or plain(name) in map(plain, self.ignored)
        return ignored or self.label_of(name) is not None


def quoted(names: Iterable[str]) -> str:
    """Names in a message, as in "'a', 'b'"."""
    return ", ".join(map(repr, names))
