"""`--mode=predict`: a run's network on films of any kind, as many as there are.

Films are found, decoded a little ahead of the network, and written row by row, so that memory
grows with the number of films by their names and digests alone.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.out_of_distribution import TrainingDistribution, warnings_about
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.errors import UserError
from pneumojax.files import refuse_links_out
from pneumojax.inference.ensemble import Spread, output_folder
from pneumojax.inference.predictor import Predictor
from pneumojax.isolation.films import FilmDecoder
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.predict.destination import check_destination, make_new, user_path
from pneumojax.predict.output import PredictionFile, Row
from pneumojax.predict.overlays import Overlays, check_folder
from pneumojax.predict.reading import Read, batched, make_reader, read_ahead
from pneumojax.predict.resuming import Resumed
from pneumojax.predict.sources import Sources
from pneumojax.predict.terminal import Progress, Summary, printable
from pneumojax.run.seen_films import CANNOT_TELL, SeenFilms

CALLS = ("normal", "pneumonia")
LARGEST_BATCH = 64


class _Places(NamedTuple):
    """Where predictions and overlays go; the first free name in `results` where none is given."""

    output: Path | None
    results: Path
    overlays: Path | None


def predict_files(
    workdirs: Sequence[Path],
    inputs: list[str],
    output: str | None = None,
    overlays: str | None = None,
    results: Path | None = None,
    any_network: bool = False,
) -> int:
    """Predicts every film that is named; a bad file never stops the others.

    Args:
        workdirs: the run folder, or those of an ensemble, absolute.
        inputs: files, folders and patterns.
        output: CSV, or JSON lines by its suffix .jsonl; by default the first free
            `predictions*.csv` in `results`. Films that it holds already are not done again.
        overlays: folder for a picture of each film with the evidence on it.
        results: where it is None the run folder, or one of this ensemble beside its first run.
        any_network: as in `open_run`.

    Returns:
        How many files in the output could not be read.

    Raises:
        UserError: nothing to predict, no such run, `output` is not one of this run or cannot be
            written, a link leads out of `results`, or films have changed since `output` was
            written; the others are done.
    """
    sources = Sources(inputs)
    places = _Places(
        user_path(output, "--output") if output else None,
        results or output_folder(workdirs),
        user_path(overlays, "--overlays") if overlays else None,
    )
    # Both are checked again when they are opened; here, so that it is told at once.
    if places.output is not None:
        check_destination(places.output)
    else:
        refuse_links_out(places.results)
    if places.overlays is not None:
        sources.refuse_inside(places.overlays, "--overlays")
        check_folder(places.overlays)
    if (total := sources.count()) == 0:
        raise UserError("--mode=predict: no film there; name films, folders or patterns of films")
    with FilmDecoder(total) as decoder:  # its processes start while the network is opened
        predictor = Predictor.open(workdirs, any_network=any_network)
        return _predict(predictor, sources, total, places, decoder)


def _predict(
    predictor: Predictor, sources: Sources, total: int, places: _Places, decoder: FilmDecoder
) -> int:
    """Writes the predictions and the overlays; see `predict_files`."""
    trained, decision = predictor.first, predictor.decision
    row_maker = _RowMaker(predictor)
    of_run = _of_run(predictor)
    drawn = None
    if places.overlays is not None:
        drawn = Overlays(places.overlays, of_run["checkpoint"], trained.meta["synthetic"])
    path = places.output or make_new(places.results)
    summary = Summary()
    with PredictionFile(path, of_run) as predictions:
        if predictions.done:
            print(f"going on: {len(predictions.done):,} files are in {printable(str(path))}")
        progress = Progress(total)
        resumed = Resumed(predictions, progress.skip)
        reading = make_reader(decoder, trained.preprocessing, drawn is not None)
        predictor = predictor.in_batches_of(_batch_size(total, trained.mesh.size))
        films = read_ahead(resumed.wanted(sources.films()), reading, 2 * predictor.batch_size)
        batches = _batches(resumed.new(films), predictor)
        for batch, answer in predictor.stream(batches, explain=drawn is not None):
            rows = row_maker.rows(batch, answer.logits)
            if drawn is not None and answer.maps is not None:
                for read, row, evidence in zip(batch, rows, answer.maps, strict=False):
                    if read.preview is not None:
                        drawn.add(read.preview, evidence, row)
            predictions.append(rows)
            for row in rows:
                summary.add(row)
            progress.update(len(rows))
        progress.close()
        unreadable = predictions.unreadable
    summary.show(trained.trained_on, decision.threshold)
    if sources.ignored:
        print(f"passed over in the folders, no films: {sources.ignored:,}")
    print(f"written to {printable(str(path))}")
    if drawn is not None:
        print(drawn.finish())
    resumed.refuse_changed(path)
    return unreadable


def _batch_size(films: int, devices: int) -> int:
    """One film per device for a few films; else whole microbatches, at most `LARGEST_BATCH`."""
    unit = devices if films <= devices else FILMS_IN_CACHE * devices
    return unit * max(1, min(LARGEST_BATCH // unit, math.ceil(films / unit)))


def _batches(
    films: Iterable[Read], predictor: Predictor
) -> Iterator[tuple[list[Read], NDArray[np.uint8]]]:
    """The films in batches, each with its pixels; those of an unreadable film are 0."""
    side = predictor.first.preprocessing.image_size
    for batch in batched(films, predictor.batch_size):
        images = np.zeros((predictor.batch_size, side, side, 1), np.uint8)
        for i, read in enumerate(batch):
            if read.film is not None:
                images[i, ..., 0] = read.film.pixels
        yield batch, images


class _RowMaker:
    """Makes the rows of a batch, with what makes an answer doubtful as warnings."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        meta = predictor.first.meta
        self._scope = TrainingDistribution.from_meta(meta)
        if self._scope is None:
            print("note: this run does not know what its training films look like: no such warning")
        self._seen = SeenFilms.of_runs(predictor.workdirs)
        if not self._seen.known:
            print(CANNOT_TELL)

    def rows(self, batch: list[Read], each: np.ndarray) -> list[Row]:
        """Makes rows from films and the logits (members, at least as many) of the networks."""
        logits, spread = self._predictor.combine(each)
        probabilities = self._predictor.decision.probabilities(logits)
        calls = self._predictor.decision.calls(probabilities)
        warned = iter(warnings_about([read.film for read in batch if read.film], self._scope))
        rows = []
        for i, read in enumerate(batch):
            row: Row = {"file": read.file, "path": read.path, "sha256": read.sha256}
            row |= {"note": read.note, "probability": None, "call": "", "warnings": []}
            row |= dict.fromkeys(Spread._fields)
            if read.film:
                row["probability"] = float(f"{probabilities[i]:.9g}")
                row["call"] = CALLS[calls[i]]
                row["warnings"] = self._seen_before(read) + next(warned)
                if spread is not None:
                    row |= {name: float(f"{v[i]:.9g}") for name, v in spread._asdict().items()}
            rows.append(row)
        return rows

    def _seen_before(self, read: Read) -> list[str]:
        """The warning that comes first, since it makes a probability worthless."""
        # A link may bear another name than the film that it leads to.
        notes = (self._seen.note(name, read.sha256) for name in (read.file, read.path))
        return [note for note in notes if note][:1]


def _of_run(predictor: Predictor) -> Row:
    """The columns that are the same in every row."""
    synthetic = predictor.first.meta["synthetic"]
    return {
        "threshold": predictor.decision.threshold,
        "trained_on": predictor.first.trained_on,
        "checkpoint": predictor.identity,
        "disclaimer": f"{SYNTHETIC_STAMP}; {DISCLAIMER}" if synthetic else DISCLAIMER,
    }
