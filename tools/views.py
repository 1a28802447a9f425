"""Copies a joined run with test-time views, whose logits are averaged with those of the film.

Command:   python -m tools.views <run> --views=flip,zoom --films=<folder with train/> --to=<folder>
The run is one that `tools.join` made, or a published one such as models/reference; --films is
needed only for the latter, which does not know where its films are. The parameters stay the same.
The decision is fitted again on the validation films, because views change the logits.
"""

import argparse
import json
import sys
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.inference.trained_run import open_run
from tools.join import write_run


def with_views(
    folder: Path, views: tuple[str, ...], target: Path, cache_dir: Path, films: Path | None = None
) -> int:
    """Writes the run with these views, and returns on how many films its decision was fitted.

    Raises:
        UserError: the run was not joined, has no validation films, or the folder is taken.
    """
    run = open_run(folder)
    if (joined := folder / "joined.json").exists():
        origins = json.loads(joined.read_text())
    elif not (origins := run.meta.get("lineage", {}).get("networks")):
        raise UserError(f"{folder.name!r} was not made by tools.join")
    config = run.config.copy_and_resolve_references().unlock()
    config.test_time.views = views
    if films:
        config.data.root = str(films)
    return write_run(target, config.lock(), run.params, run.meta, origins, cache_dir)


def main() -> None:
    """Copies the run that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--views", required=True, type=lambda text: tuple(text.split(",")))
    parser.add_argument("--films", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    given = parser.parse_args()
    films = given.films and given.films.expanduser().resolve()
    cache_dir = given.cache_dir.expanduser().resolve()
    try:
        fitted = with_views(given.run.resolve(), given.views, given.to.resolve(), cache_dir, films)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"the decision was fitted on {fitted} films")


if __name__ == "__main__":
    main()
