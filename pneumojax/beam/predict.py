"""Predicts films on Apache Beam, into a folder with a file for each shard of them.

The answers are those of the verb `predict` to the last digit: films are answered by the same
`Answerer`, in the same batches.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pneumojax import runtime
from pneumojax.beam.job import Runner
from pneumojax.beam.lists import ShardLists
from pneumojax.beam.prediction_files import FORMATS, read_calls
from pneumojax.errors import UserError
from pneumojax.files import printable, replacing, write_json
from pneumojax.inference.predictor import Predictor
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict.answering import Answerer
from pneumojax.predict.prediction import Prediction
from pneumojax.predict.reading import ReadFilm, make_reader, reading_ahead
from pneumojax.predict.sources import Sources
from pneumojax.terminal import say

_JOB = "job.json"
_NAMES = {  # how a message names predictions for which an entry of the file differs
    "checkpoint": "another network",
    "films": "other films",
    "films_per_shard": "another --shard_films",
}


@dataclass(frozen=True)
class Runs:
    """The runs that answer, see `Predictor.open`."""

    workdirs: tuple[Path, ...]
    any_network: bool
    cache_dir: Path

    def open(self) -> Predictor:
        runtime.use_compilation_cache(self.cache_dir)
        return Predictor.open(self.workdirs, any_network=self.any_network, cache_dir=self.cache_dir)


@dataclass(frozen=True)
class PredictJob:
    """The work of a prediction, as workers get it.

    films: the number of all films, which decides the size of batches.
    suffix: of the files, a key of `FORMATS`.
    decoders: child processes of each worker.
    """

    runs: Runs
    output: Path
    films: int
    suffix: str
    decoders: int

    @property
    def lists(self) -> ShardLists:
        return ShardLists(self.output / "lists")

    def file(self, name: str) -> Path:
        return self.output / f"predictions-{name}{self.suffix}"

    def is_finished(self, shard: str) -> bool:
        return self.file(shard).exists()

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[str], None]]:
        """Opens and compiles the networks, by which a shard becomes a file of predictions."""
        answerer = Answerer.of(self.runs.open()).for_films(self.films)
        answerer.predictor.prepare()
        with FilmDecoder(self.decoders) as decoder:
            read = make_reader(decoder, answerer.predictor.first.preprocessing, (), False)

            def finish(shard: str) -> None:
                rows = self._answered(shard, answerer, read)
                contents = FORMATS[self.suffix](rows, answerer.stamp)
                with replacing(self.file(shard)) as temporary:
                    temporary.write_bytes(contents)
                say(f"shard {shard}: {len(rows):,} films")

            yield finish

    def _answered(
        self, shard: str, answerer: Answerer, read: Callable[[ReadFilm], ReadFilm]
    ) -> list[Prediction]:
        films = (
            ReadFilm(file, path, note=note, patient=patient)
            for file, path, note, patient, *_ in self.lists.read(shard)
        )
        with reading_ahead(films, read, 2 * answerer.predictor.batch_size) as ahead:
            answered = [film for batch in answerer.answers(ahead) for film in batch]
        unfinished = sum(each.film.unfinished for each in answered)
        if unfinished:
            raise UserError(
                f"shard {shard}: {unfinished:,} films could not be decoded, because the machine "
                "was too busy or had too little memory; the same command tries the shard again"
            )
        return [each.prediction for each in answered]


@dataclass(frozen=True)
class PredictedShards:
    """The outcome of a prediction on Beam.

    films: the number of films in all files.
    unreadable: how many of them have no probability, because they cannot be read.
    """

    files: tuple[Path, ...]
    films: int
    unreadable: int


def predict_shards(
    runs: Runs,
    sources: Sources,
    output: Path,
    *,
    films_per_shard: int,
    suffix: str,
    runner: Runner,
) -> PredictedShards:
    """Predicts all films into `predictions-<number>-of-<count>.csv` or `.parquet` in a folder.

    A file appears complete or not at all, and the same call does not predict its films again.
    Shards are filled up to whole batches.

    Raises:
        UserError: there is no film, or the folder holds the predictions of another network or of
            other films.
    """
    total, digest = _counted(sources)
    if not total:
        raise UserError("no film was found; name films, folders or patterns")
    answerer = Answerer.of(runs.open()).for_films(total)
    for note in answerer.notes:
        say(note)
    batch = answerer.predictor.batch_size
    size = batch * math.ceil(films_per_shard / batch)
    job = PredictJob(runs, output, total, suffix, runner.decoders)
    wanted: dict[str, str | int] = {
        "checkpoint": answerer.stamp.checkpoint,
        "films": digest,
        "films_per_shard": size,
    }
    if not _is_begun(job, wanted):
        shutil.rmtree(job.lists.folder, ignore_errors=True)  # of a call that was stopped here
        job.lists.write(_listed(sources), total, size, "output")
        write_json(output / _JOB, wanted)
    names = job.lists.names
    runner.run(names, job)
    for abandoned in output.glob(".predictions-*"):  # of workers that were killed
        abandoned.unlink(missing_ok=True)
    files = tuple(job.file(name) for name in names)
    unreadable = sum(not call for file in files for call in read_calls(file))
    say(f"{total:,} films in {len(files):,} files in {printable(str(output))}")
    say(answerer.stamp.disclaimer)
    return PredictedShards(files, total, unreadable)


def _is_begun(job: PredictJob, wanted: Mapping[str, str | int]) -> bool:
    """Whether the folder holds a job; raises UserError if it is not the wanted one."""
    path = job.output / _JOB
    if not path.exists():
        return False
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{str(path)!r} cannot be read ({error}); name another folder", flag="output"
        ) from error
    for name, told in _NAMES.items():
        if not isinstance(stored, dict) or stored.get(name) != wanted[name]:
            raise UserError(
                f"{str(job.output)!r} holds predictions of {told}; name another folder",
                flag="output",
            )
    return True


def _counted(sources: Sources) -> tuple[int, str]:
    """The number of films, and a digest of their names, sizes and times."""
    count, digest = 0, hashlib.sha256()
    for film in _listed(sources):
        count += 1
        digest.update(json.dumps(film).encode())
    return count, digest.hexdigest()


def _listed(sources: Sources) -> Iterator[list[str | int]]:
    """Each film once: name, resolved path, reason why it cannot be read, patient, size and time."""
    met: set[str] = set()
    for found in sources.films():
        film = ReadFilm.of_file(found)
        if film.path in met:
            continue
        met.add(film.path)
        size = time = 0
        with contextlib.suppress(OSError):  # reading it will tell the reason
            status = os.stat(film.path)
            size, time = status.st_size, status.st_mtime_ns
        yield [film.file, film.path, film.note, film.patient, size, time]
