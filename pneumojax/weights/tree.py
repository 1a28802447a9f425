"""The arrays of a run or file, by parameter path."""

from dataclasses import dataclass

from numpy.typing import NDArray

ParameterPath = tuple[str | int, ...]  # such as ("modules", 0, "branch1", "kernel")
Arrays = dict[tuple, NDArray]


@dataclass(frozen=True)
class Source:
    """Arrays to start from.

    arrays: by the path that each has in our network.
    kind: "run", "Keras" or "torchvision".
    path: the folder or file that they came from.
    """

    arrays: Arrays
    kind: str
    path: str
