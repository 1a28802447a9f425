"""Reads the labels of a table as classes."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from pneumojax.data.classes import Classes
from pneumojax.errors import UserError

# Ways to write class 0 and class 1, beside the names of the classes. They count only if the config
# names no classes of its own: the 1 of another table may mean anything.
_PLAIN_WAYS = (
    Classes(("0",), ("1",)),
    Classes(("no",), ("yes",)),
    Classes(("false",), ("true",)),
)
_WHOLE = re.compile(r"\d+\.0*")  # as pandas writes whole numbers if some are missing
_SHOWN = 6  # labels in a message


def read_labels(texts: Iterable[str], classes: Classes, where: str) -> dict[str, int | None]:
    """The class of each distinct label, None if it has none.

    Raises:
        UserError: no label is a class, or labels are written in two ways, such as 0/1 and yes/no.
    """
    counts = Counter(texts)
    ways = [classes, *_PLAIN_WAYS] if classes.are_default else [classes]
    read = {
        "/".join(way.listed): {
            text: label for text in counts if (label := way.label_of(_shortened(text))) is not None
        }
        for way in ways
    }
    used = [name for name, labels in read.items() if labels]
    if len(used) > 1:
        raise UserError(
            f"{where} mixes labels {used[0]} and {used[1]} (found {_listed(counts)}); write all "
            "labels in one way, or name them with config.data.negative and config.data.positive"
        )
    if not used:
        raise UserError(
            f"{where}: no label is {' or '.join(classes.listed)} (found {_listed(counts)}); name "
            "the labels of the classes with --config.data.negative=<label> and "
            "--config.data.positive=<label>"
        )
    return {text: read[used[0]].get(text) for text in counts}


def _shortened(label: str) -> str:
    return label.partition(".")[0] if _WHOLE.fullmatch(label) else label


def _listed(counts: Mapping[str, int]) -> str:
    most = sorted(counts, key=lambda text: (-counts[text], text))
    shown = ", ".join(f"{text[:40]!r} {counts[text]:,} times" for text in most[:_SHOWN])
    return shown + ", ..." * (len(most) > _SHOWN)
