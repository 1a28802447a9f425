"""`--mode=predict`: a run's network on any number of films of any kind.

Films are found, decoded a little ahead of the network, and written row by row, so that memory
grows with the number of films only by their names and digests.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.out_of_distribution import TrainingDistribution, warnings_about
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.errors import UserError
from pneumojax.files import printable, refuse_links_out
from pneumojax.inference.ensemble import output_folder
from pneumojax.inference.predictor import Answer, Predictor
from pneumojax.isolation.films import FilmDecoder
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.predict.destination import check_destination, make_new, user_path
from pneumojax.predict.output import CALLS, Prediction, PredictionFile, RunStamp
from pneumojax.predict.overlays import Overlays, check_folder
from pneumojax.predict.reading import ReadFilm, Resumed, make_reader, read_ahead
from pneumojax.predict.sources import Sources
from pneumojax.predict.terminal import FilmProgress, Summary
from pneumojax.run.film_list import CANNOT_TELL, SeenFilms

LARGEST_BATCH = 64


def predict_files(
    workdirs: Sequence[Path],
    inputs: list[str],
    output: str | None = None,
    overlays: str | None = None,
    results: Path | None = None,
    any_network: bool = False,
) -> int:
    """Predicts every film that is named. An unreadable file never stops the others.

    Args:
        workdirs: the run folder, or those of an ensemble, absolute.
        inputs: files, folders and patterns.
        output: CSV, or JSON lines if it ends in .jsonl. The default is the first free
            `predictions*.csv` in `results`. Films that it already holds are not predicted again.
        overlays: folder for a picture of each film with its Grad-CAM map.
        results: None means the run folder, or a folder of this ensemble beside its first run.
        any_network: as in `Predictor.open`.

    Returns:
        The number of unreadable files in the output.

    Raises:
        UserError: there is no film or no run, `output` belongs to another run or cannot be
            written, a link leads out of `results`, the network has no maps for `overlays`, or
            films have changed since their rows were written (the others are predicted).
    """
    sources = Sources(inputs)
    path = user_path(output, "--output") if output else None
    results = results or output_folder(workdirs)
    pictures = user_path(overlays, "--overlays") if overlays else None
    # Places that cannot be written are refused before the network is loaded.
    if path is not None:
        check_destination(path)
    else:
        refuse_links_out(results)
    if pictures is not None:
        sources.refuse_inside(pictures, "--overlays")
        check_folder(pictures)
    if (total := sum(1 for _ in sources.films())) == 0:
        raise UserError("predict: no film was found; name films, folders or patterns")
    with FilmDecoder(total) as decoder:  # its processes start while the network is opened
        predictor = Predictor.open(workdirs, any_network=any_network)
        predictor = predictor.in_batches_of(_batch_size(total, predictor.first.mesh.size))
        drawn = None
        if pictures is not None:
            predictor.check_explains()
            drawn = Overlays(pictures, predictor.identity, predictor.first.meta["synthetic"])
        judge = _Judge(predictor)
        path = path or make_new(results / "predictions.csv", "--output")
        return _predict(judge, sources, total, path, drawn, decoder)


def _predict(
    judge: "_Judge",
    sources: Sources,
    total: int,
    path: Path,
    overlays: Overlays | None,
    decoder: FilmDecoder,
) -> int:
    """Writes the predictions to `path`, and the overlays; see `predict_files`."""
    predictor, shown = judge.predictor, printable(str(path))
    stamp = _stamp_of(predictor)
    summary, progress = Summary(), FilmProgress(total)
    with PredictionFile(path, stamp) as output:
        if output.done:
            print(f"continuing: {len(output.done):,} films are already in {shown}")
        resumed = Resumed(output, progress.skip)
        preprocessing = predictor.first.preprocessing
        read = make_reader(decoder, preprocessing, resumed.done, overlays is not None)
        films = read_ahead(resumed.wanted(sources.films()), read, 2 * predictor.batch_size)
        batches = _batches(resumed.new(films), predictor)
        for batch, answer in predictor.stream(batches, explain=overlays is not None):
            predictions = judge.predictions(batch, answer)
            if overlays is not None and answer.maps is not None:
                overlays.add(batch, predictions, answer.maps)
            output.append(predictions)
            summary.add(predictions)
            progress.update(len(predictions))
        progress.close()
        unreadable = output.unreadable
    summary.show(stamp)
    if sources.ignored:
        print(f"other files in the folders, ignored: {sources.ignored:,}")
    print(f"written to {shown}")
    if overlays is not None:
        print(overlays.finish())
    resumed.refuse_changed(path)
    return unreadable


def _batch_size(films: int, devices: int) -> int:
    """One film per device for a few films; else whole microbatches, at most `LARGEST_BATCH`."""
    unit = devices if films <= devices else FILMS_IN_CACHE * devices
    return unit * max(1, min(LARGEST_BATCH // unit, math.ceil(films / unit)))


def _batches(
    films: Iterator[ReadFilm], predictor: Predictor
) -> Iterator[tuple[list[ReadFilm], NDArray[np.uint8]]]:
    """The films in batches, each with its pixels; those of an unreadable film are 0."""
    side = predictor.first.preprocessing.image_size
    while batch := list(itertools.islice(films, predictor.batch_size)):
        images = np.zeros((predictor.batch_size, side, side, 1), np.uint8)
        for i, read in enumerate(batch):
            if read.film is not None:
                images[i, ..., 0] = read.film.pixels
        yield batch, images


class _Judge:
    """Makes predictions of the networks' logits, with warnings where a probability is doubtful."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor
        self._distribution = TrainingDistribution.from_meta(predictor.first.meta)
        if self._distribution is None:
            print(
                "note: this run does not store the distribution of its training films, so films "
                "unlike them get no warning"
            )
        self._seen = SeenFilms.of_runs(predictor.workdirs)
        if not self._seen.known:
            print(CANNOT_TELL)

    def predictions(self, batch: list[ReadFilm], answer: Answer) -> list[Prediction]:
        """The rows of a batch; the answer may also hold padding, which is ignored."""
        decision = self.predictor.decision
        logits, spread = self.predictor.combine(answer.logits)
        probabilities = decision.probabilities(logits)
        calls = decision.calls(probabilities)
        films = [read.film for read in batch if read.film]
        unusual = iter(warnings_about(films, self._distribution))
        rows = []
        for i, read in enumerate(batch):
            row = Prediction(read.file, read.path, read.sha256, note=read.note)
            if read.film:
                row = replace(
                    row,
                    probability=_rounded(probabilities[i]),
                    call=CALLS[calls[i]],
                    warnings=(*self._seen_before(read), *next(unusual)),
                )
                if spread is not None:
                    row = replace(
                        row,
                        deviation=_rounded(spread.deviation[i]),
                        lowest=_rounded(spread.lowest[i]),
                        highest=_rounded(spread.highest[i]),
                    )
            rows.append(row)
        return rows

    def _seen_before(self, read: ReadFilm) -> list[str]:
        """The warning that comes first, because it makes a probability worthless."""
        # A link may have another name than the film that it leads to.
        notes = (self._seen.note(name, read.sha256) for name in (read.file, read.path))
        return [note for note in notes if note][:1]


def _rounded(value: float) -> float:
    """Nine significant digits, which tell all float32 numbers apart."""
    return float(f"{value:.9g}")


def _stamp_of(predictor: Predictor) -> RunStamp:
    trained = predictor.first
    disclaimer = f"{SYNTHETIC_STAMP}; {DISCLAIMER}" if trained.meta["synthetic"] else DISCLAIMER
    return RunStamp(
        predictor.decision.threshold, trained.trained_on, predictor.identity, disclaimer
    )
