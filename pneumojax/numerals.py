"""Reads numbers from text that people or other programs wrote."""

import re

# float() also accepts "0_1", "nan", "infinity", surrounding blanks and digits of other scripts.
# Each digit can match in one way only, or refusing a long row of digits would take quadratic time.
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def decimal(text: str) -> float:
    """The value of a plain decimal numeral such as "1e-7"; raises ValueError for any other text."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is not a plain decimal number")
    return float(text)


def probability(text: str) -> float:
    """As `decimal`, between 0 and 1."""
    value = decimal(text)
    if not 0 <= value <= 1:
        raise ValueError(f"{text!r} is not between 0 and 1")
    return value
