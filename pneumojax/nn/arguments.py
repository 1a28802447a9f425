"""Checks of the arguments that networks are built with.

Messages begin with the argument's name, so that a caller can say where the value came from.
"""

from collections.abc import Collection


def check_known(argument: str, value: str, known: Collection[str]) -> None:
    """Raises ValueError unless `value` is one of the `known` names."""
    if value not in known:
        raise ValueError(f"{argument} is {value!r}: use one of {', '.join(known)}")
