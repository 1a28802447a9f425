"""Lets the site show the files outside docs/ that its pages link to.

`mkdocs.yml` names this module as a hook. The pages link to records, notebooks and the pages at the
root by relative paths, which work in a checkout. MkDocs knows only docs/, so the linked files are
added to the site under their path from the root, and the links are changed to that.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the tests of the links need no MkDocs
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_TARGET = re.compile(r"(?<=\]\()(?!https?://|mailto:|#)([^)#\s]+)")


def linked_from(path: str, text: str) -> Iterator[str]:
    """Yields the paths, from the root of the checkout, that a page links to.

    path: the page, from the root of the checkout, as "docs/data.md".
    text: its Markdown.
    """
    for target in _TARGET.findall(text):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def site_path(path: str) -> str:
    """Returns the place in the site of a file of the checkout; the README is its first page."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def with_links_of_the_site(path: str, text: str) -> str:
    """Returns a page with links that hold in the site, for a page at `path` in the checkout."""
    place = posixpath.dirname(site_path(path))

    def replaced(match: re.Match[str]) -> str:
        (target,) = linked_from(path, f"]({match[0]}")
        return posixpath.relpath(site_path(target), place or ".")

    return _TARGET.sub(replaced, text)


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Adds the pages at the root, and the files outside docs/ that any page links to."""
    from mkdocs.structure.files import File

    pages = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    found = {path.name for path in ROOT.glob("*.md")}
    while pages or found:
        for path in sorted(found):
            if not path.startswith("docs/") and path != "README.md" and path not in files.src_uris:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
                pages += [path] if path.endswith(".md") else []
        found = {path for page in pages for path in linked_from(page, (ROOT / page).read_text())}
        pages = []
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Changes the links of a page before it is rendered."""
    source = Path(str(page.file.abs_src_path)).relative_to(ROOT)
    return with_links_of_the_site(source.as_posix(), markdown)
