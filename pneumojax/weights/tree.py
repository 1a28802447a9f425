"""Arrays by their place in a network's tree, from wherever they come."""

from dataclasses import dataclass

from numpy.typing import NDArray

Arrays = dict[tuple, NDArray]


@dataclass(frozen=True)
class Source:
    """Arrays of another run or file.

    arrays: by place, such as ("stem1", "kernel").
    kind: "run", "Keras" or "torchvision".
    path: where they were.
    """

    arrays: Arrays
    kind: str
    path: str
