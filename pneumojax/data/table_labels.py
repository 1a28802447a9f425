"""Reads the labels of a table as classes."""

import difflib
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pneumojax.config.rules import plain
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
        example = "--config.data.negative=<label> and --config.data.positive=<label>"
        if flags := _naming_flags(counts, list(counts), classes):
            example = " ".join(flags)
        raise UserError(
            f"{where}: no label is {' or '.join(classes.listed)} (found {_listed(counts)}); name "
            f"the labels of the classes with {example}"
        )
    return {text: read[used[0]].get(text) for text in counts}


def labels_advice(texts: Iterable[str], classes: Classes, rejected: int) -> str:
    """The labels of a table, and what to do about those that are none of the config's.

    "" if they are less than half of the `rejected` rows, or if the table writes its classes as 0
    and 1 or the like.
    """
    counts = Counter(filter(None, texts))
    unlisted = [text for text in counts if not classes.is_listed(text)]
    if not unlisted or 2 * sum(counts[text] for text in unlisted) < rejected:
        return ""
    if not any(classes.label_of(text) is not None for text in counts):
        return ""
    flags = _naming_flags(counts, unlisted, classes)
    if flags:
        advice = "correct the label, or name it"
    else:
        advice = "correct the label, or leave its films out"
        most = max(unlisted, key=lambda text: counts[text])
        flags = [shlex.quote(f"--config.data.ignored={most}")]
    return f"the labels are {_listed(counts)}; {advice}: {' '.join(flags)}"


def _naming_flags(
    counts: Mapping[str, int], unlisted: Sequence[str], classes: Classes
) -> list[str]:
    """Flags that give a class the label of its closest spelling, or the only one that is left."""
    flags, found = [], {classes.label_of(text) for text in counts}
    spelled = {plain(text): text for text in unlisted}
    for number, names in enumerate((classes.negative, classes.positive)):
        near = [
            spelled[match]
            for name in names
            for match in difflib.get_close_matches(plain(name), spelled, n=1)
        ]
        if not near and number not in found and len(unlisted) == 1 and len(counts) > 1:
            near = list(unlisted)
        if near:
            value = ",".join([*(names if number in found else ()), near[0]])
            field = ("negative", "positive")[number]
            flags.append(shlex.quote(f"--config.data.{field}={value}"))
    return flags


def _shortened(label: str) -> str:
    return label.partition(".")[0] if _WHOLE.fullmatch(label) else label


def _listed(counts: Mapping[str, int]) -> str:
    most = sorted(counts, key=lambda text: (-counts[text], text))
    shown = ", ".join(f"{text[:40]!r} {counts[text]:,} times" for text in most[:_SHOWN])
    return shown + ", ..." * (len(most) > _SHOWN)
