"""Where the stored figures stand in docs/performance.md: between a pair of marks for each."""

from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def placed(page: str, texts: Mapping[str, str]) -> str:
    """The page with what stands between the markers of each name replaced."""
    for name, text in texts.items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->\n"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"the page needs {begin.strip()} and {end.strip()}, once each")
        before, rest = page.split(begin)
        page = before + begin + "\n" + text + "\n" + end + rest.split(end)[1]
    return page
