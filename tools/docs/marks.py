"""Text between marks on a page, and tables in Markdown."""

from collections.abc import Mapping, Sequence


def placed(page: str, texts: Mapping[str, str]) -> str:
    """Replaces the text between `<!-- begin: name -->` and `<!-- end: name -->` for each name.

    Raises:
        ValueError: the page does not have both marks of a name exactly once.
    """
    for name, text in texts.items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->\n"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"the page needs {begin.strip()} and {end.strip()}, once each")
        before, rest = page.split(begin)
        page = before + begin + "\n" + text + "\n" + end + rest.split(end)[1]
    return page


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Renders a table; short rows are filled up with empty cells."""
    full = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    lines = [header, ["---"] * len(header), *full]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def percent(share: float, digits: int = 0) -> str:
    """Writes a share of 1 as "12 %"."""
    return f"{100 * share:.{digits}f} %"
