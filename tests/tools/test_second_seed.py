"""The table of two seeds shows each part's figure with the one and with the other."""

from tools.docs.second_seed import COLUMNS, PARTS, second_seed


def test_each_cell_has_the_first_seeds_figure_and_then_the_seconds():
    def figures(tenth):
        return {
            part: {name: {"value": tenth + i / 100 + j / 1000} for j, name in enumerate(COLUMNS)}
            for i, part in enumerate(PARTS)
        }

    first, second = figures(0.7), figures(0.8)
    lines = second_seed(first, second).splitlines()
    assert lines[2].startswith("| from random weights | 0.700, 0.800 | 0.701, 0.801 |")
    assert lines[5].endswith("| 0.734, 0.834 | 0.735, 0.835 |")
    assert len(lines) == 2 + len(PARTS)
