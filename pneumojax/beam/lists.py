"""The lists of films that make up the shards of a job.

Each list is a file that every worker can read, so the pipeline itself carries only the names of the
shards, and its memory does not grow with the number of films.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumojax.files import failing_clearly

_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class ShardLists:
    """A folder with a file for each shard, which has a line of JSON for each film."""

    folder: Path

    @property
    def exist(self) -> bool:
        return self.folder.is_dir()

    @property
    def names(self) -> list[str]:
        """The names of all shards in their order, such as "00003-of-00020"."""
        return sorted(path.stem for path in self.folder.glob(f"*{_SUFFIX}"))

    def write(self, films: Iterable[Any], count: int, films_per_shard: int, flag: str) -> None:
        """Divides `count` films, each of them JSON values, into shards of consecutive films.

        The folder appears complete or not at all. If another process writes it first, that one's is
        kept. `flag` is the flag that names the folder in the UserError if it cannot be written.
        """
        building = self.folder.with_name(f"{self.folder.name}.building-{os.getpid()}")
        shards = -(-count // films_per_shard)
        with failing_clearly(self.folder.parent, flag, "make room or name another folder"):
            building.mkdir(parents=True)
            for number, group in enumerate(_groups(films, films_per_shard)):
                path = building / f"{number:05d}-of-{shards:05d}{_SUFFIX}"
                path.write_text("".join(json.dumps(film) + "\n" for film in group))
            try:
                building.rename(self.folder)
            except OSError:
                shutil.rmtree(building)
                if not self.exist:
                    raise

    def read(self, name: str) -> Iterator[Any]:
        """The films of one shard."""
        with open(self.folder / f"{name}{_SUFFIX}") as stream:
            yield from map(json.loads, stream)


def _groups(films: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(films)
    while group := list(itertools.islice(rest, size)):
        yield group
