"""Decodes films into the cache on Apache Beam: into shards that a training streams.

The films, their order and their pixels equal those of the ordinary cache bit for bit, because both
call `build_entry` and `decode_training_film`.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from ml_collections import ConfigDict

from pneumojax.beam.job import Runner
from pneumojax.beam.lists import ShardLists
from pneumojax.data.cache import FilmCache
from pneumojax.data.cache_build import REJECTED, Decoding, build_entry
from pneumojax.data.cache_places import cache_places
from pneumojax.data.dicom_metadata import HeaderCollector
from pneumojax.data.films import FilmFile, FilmFolder
from pneumojax.data.ingested import INDEX, SHARDS, ShardPixelStore, is_ingested, write_index
from pneumojax.data.naming import FilmNaming
from pneumojax.data.splits import (
    configured_folder,
    load_configured,
    load_splits,
    preprocessing_of,
)
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.files import printable, write_csv
from pneumojax.isolation.films import FilmDecoder
from pneumojax.run.film_list import write_films
from pneumojax.terminal import say

MOST_SHARDS = 256  # a training keeps each of them open
_MOST_NAMED = 10  # rejected films on the terminal


@dataclass(frozen=True)
class IngestJob:
    """The work of an ingest, as workers get it.

    place: the folder of the ingested split in the cache, see `data/ingested.py`.
    cache: the folder of --cache_dir, which has the secret for the hashes of patients.
    decoders: child processes of each worker.
    """

    root: Path
    named_by: str
    naming: FilmNaming
    preprocessing: Preprocessing
    place: Path
    cache: Path
    decoders: int

    @property
    def lists(self) -> ShardLists:
        return ShardLists(self.place / "lists")

    def folder(self, name: str) -> FilmFolder:
        """The films of one shard."""
        files = tuple(FilmFile(*film) for film in self.lists.read(name))
        return FilmFolder(self.root, files, self.named_by, naming=self.naming)

    def entry(self, name: str) -> Path:
        return self.place / SHARDS / name

    def is_finished(self, shard: str) -> bool:
        return self.entry(shard).is_dir()

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], None]]:
        """Starts a decoder, by which the films of a shard become an entry of their own."""
        with FilmDecoder(self.decoders) as decoder:
            decoding = Decoding(self.preprocessing, decoder)

            def finish(shard: str) -> None:
                folder = self.folder(shard)
                headers = HeaderCollector(self.naming.dicom_metadata, self.cache)
                entry = self.entry(shard)
                build_entry(entry, folder, decoding, ShardPixelStore, headers, _nowhere)
                say(f"shard {shard}: {len(folder.files):,} films")

            yield finish


def ingest(
    config: ConfigDict, split: str | None, cache_dir: Path, films_per_shard: int, runner: Runner
) -> list[Path]:
    """Ingests the films of a config, and returns the folder of each split in the cache.

    Without a `split` these are the films that a training reads, and the folder of its training
    films gets `films.csv` with the division into training and validation films by patient. A
    training with the same films and preprocessing finds the folders by itself. Every folder gets
    `rejected_films.csv`. Shards that are finished are not decoded again.

    Raises:
        UserError: there are no such films; or more of them are rejected than a training accepts,
            once all others are ingested.
    """
    folder = configured_folder(config, cache_dir)
    of_training = ["train", "val"] if config.data.val == "folder" else ["train"]
    wanted = of_training if split is None else [split]
    places = [
        _ingest_split(config, folder.of_split(name), cache_dir, films_per_shard, runner)
        for name in wanted
    ]
    if split is None:
        write_films(places[0], load_splits(config, cache_dir))
        say(f"the division by patient is in {printable(str(places[0] / 'films.csv'))}")
    else:
        load_configured(config, folder, split, FilmCache(cache_dir, config.data.max_cache_gb))
    return places


def _ingest_split(
    config: ConfigDict, folder: FilmFolder, cache_dir: Path, films_per_shard: int, runner: Runner
) -> Path:
    preprocessing = preprocessing_of(config)
    headers = HeaderCollector(folder.naming.dicom_metadata, cache_dir)
    place = cache_places(folder, preprocessing, cache_dir, headers).ingested
    job = IngestJob(
        folder.root,
        folder.named_by,
        folder.naming,
        preprocessing,
        place,
        cache_dir,
        runner.decoders,
    )
    count = len(folder.files)
    if is_ingested(place, folder.files, preprocessing):
        say(f"{count:,} films are already in {printable(str(place))}")
    else:
        if not job.lists.exist:
            size = max(films_per_shard, math.ceil(count / MOST_SHARDS))
            job.lists.write(map(astuple, folder.files), count, size, "cache_dir")
        names = job.lists.names
        runner.run(names, job)
        write_index(place, names, folder.naming.dicom_metadata)
        shutil.rmtree(job.lists.folder)
        say(f"{count:,} films are in {len(names):,} shards in {printable(str(place))}")
    _list_rejected(place)
    return place


def _list_rejected(place: Path) -> None:
    rejected = json.loads((place / INDEX / REJECTED).read_text())
    path = place / "rejected_films.csv"
    write_csv(path, ("file", "reason"), rejected)
    for film, reason in rejected[:_MOST_NAMED]:
        say(f"rejected: {printable(film)}: {printable(reason)}")
    if rejected:
        say(f"files that are not readable films: {len(rejected):,}; see {printable(str(path))}")


def _nowhere(line: str) -> None:
    """Takes the progress of a shard: several workers would write over each other's."""
