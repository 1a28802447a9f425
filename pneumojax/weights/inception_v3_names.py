"""Names of Inception-v3's 94 convolutions: ours, torchvision's, and their order in Keras files."""

from collections.abc import Iterator

from pneumojax.weights.shapes import ParameterPath

# For each kind of block, our name and torchvision's name of each convolution. The order is that in
# which Keras builds them; older Keras files number them in this order.
STEM = (
    ("stem1", "Conv2d_1a_3x3"),
    ("stem2", "Conv2d_2a_3x3"),
    ("stem3", "Conv2d_2b_3x3"),
    ("stem4", "Conv2d_3b_1x1"),
    ("stem5", "Conv2d_4a_3x3"),
)
MODULE35 = (
    ("branch1", "branch1x1"),
    ("branch5_narrow", "branch5x5_1"),
    ("branch5", "branch5x5_2"),
    ("branch3_narrow", "branch3x3dbl_1"),
    ("branch3_first", "branch3x3dbl_2"),
    ("branch3_second", "branch3x3dbl_3"),
    ("branch_pool", "branch_pool"),
)
REDUCTION35 = (
    ("branch3", "branch3x3"),
    ("double_narrow", "branch3x3dbl_1"),
    ("double_first", "branch3x3dbl_2"),
    ("double_second", "branch3x3dbl_3"),
)
MODULE17 = (
    ("branch1", "branch1x1"),
    ("branch7_narrow", "branch7x7_1"),
    ("branch7_row", "branch7x7_2"),
    ("branch7_column", "branch7x7_3"),
    ("double_narrow", "branch7x7dbl_1"),
    ("double_column1", "branch7x7dbl_2"),
    ("double_row1", "branch7x7dbl_3"),
    ("double_column2", "branch7x7dbl_4"),
    ("double_row2", "branch7x7dbl_5"),
    ("branch_pool", "branch_pool"),
)
REDUCTION17 = (
    ("branch3_narrow", "branch3x3_1"),
    ("branch3", "branch3x3_2"),
    ("branch7_narrow", "branch7x7x3_1"),
    ("branch7_row", "branch7x7x3_2"),
    ("branch7_column", "branch7x7x3_3"),
    ("branch7", "branch7x7x3_4"),
)
MODULE8 = (
    ("branch1", "branch1x1"),
    ("branch3_narrow", "branch3x3_1"),
    ("branch3_row", "branch3x3_2a"),
    ("branch3_column", "branch3x3_2b"),
    ("double_narrow", "branch3x3dbl_1"),
    ("double", "branch3x3dbl_2"),
    ("double_row", "branch3x3dbl_3a"),
    ("double_column", "branch3x3dbl_3b"),
    ("branch_pool", "branch_pool"),
)
MODULES = (
    *(("Mixed_5b", MODULE35), ("Mixed_5c", MODULE35), ("Mixed_5d", MODULE35)),
    ("Mixed_6a", REDUCTION35),
    *(("Mixed_6b", MODULE17), ("Mixed_6c", MODULE17), ("Mixed_6d", MODULE17)),
    *(("Mixed_6e", MODULE17), ("Mixed_7a", REDUCTION17)),
    *(("Mixed_7b", MODULE8), ("Mixed_7c", MODULE8)),
)

# For each kind of block, the indices of its convolutions in the order of Keras's list of layers,
# in which newer files number them. Keras sorts that list by the distance from the network's
# output, so long branches come first. A test compares it with Keras's own list.
_SORTED = {
    MODULE35: (3, 1, 4, 0, 2, 5, 6),
    REDUCTION35: (1, 2, 0, 3),
    MODULE17: (4, 5, 1, 6, 2, 7, 0, 3, 8, 9),
    REDUCTION17: (2, 3, 0, 4, 1, 5),
    MODULE8: (4, 1, 5, 2, 3, 6, 7, 0, 8),
}


def convolutions() -> Iterator[tuple[ParameterPath, str]]:
    """Our path and torchvision's name of each convolution, in the order in which Keras builds."""
    for ours, theirs in STEM:
        yield (ours,), theirs
    for index, (module, names) in enumerate(MODULES):
        for ours, theirs in names:
            yield ("modules", index, ours), f"{module}.{theirs}"


def sorted_by_keras() -> list[ParameterPath]:
    """Our path of each convolution, in the order of Keras's list of layers."""
    paths: list[ParameterPath] = [(ours,) for ours, _ in STEM]
    for index, (_, names) in enumerate(MODULES):
        paths += [("modules", index, names[number][0]) for number in _SORTED[names]]
    return paths
