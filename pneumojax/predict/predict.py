"""Predicts any number of films of any kind, and writes a file of the answers.

Films are found, decoded a little ahead of the network, and written row by row, so that memory
grows with the number of films only by their names and digests.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pneumojax.data.naming import Columns
from pneumojax.errors import UserError
from pneumojax.files import printable, refuse_links_out
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict.answering import Answerer
from pneumojax.predict.destination import check_destination, make_new, user_path
from pneumojax.predict.output import PredictionFile
from pneumojax.predict.overlays import Overlays, check_folder
from pneumojax.predict.reading import Resumed, make_reader, reading_ahead
from pneumojax.predict.sources import DEFAULT_COLUMNS, Sources
from pneumojax.predict.terminal import FilmProgress, Summary
from pneumojax.terminal import say


@dataclass(frozen=True)
class FilesToPredict:
    """Films that exist, and the places for their answers, which can be written.

    output: CSV, or JSON lines if it ends in .jsonl; None means a new `predictions*.csv` in the
        folder of results. Films that it already holds are not predicted again.
    overlays: a folder for a picture of each film with its Grad-CAM map; None for no pictures.
    """

    sources: Sources
    output: Path | None
    overlays: Path | None

    @classmethod
    def checked(
        cls,
        films: Sequence[str],
        output: str | os.PathLike[str] | None,
        overlays: str | os.PathLike[str] | None,
        columns: Columns = DEFAULT_COLUMNS,
    ) -> "FilesToPredict":
        """Raises UserError for a name that cannot be used. Films are not counted yet.

        `columns` are the names of the columns of tables among the films.
        """
        sources = Sources(list(films), columns)
        path = user_path(os.fspath(output), "output") if output else None
        pictures = user_path(os.fspath(overlays), "overlays") if overlays else None
        if path is not None:
            check_destination(path)
        if pictures is not None:
            sources.refuse_inside(pictures)
            check_folder(pictures)
        return cls(sources, path, pictures)


@dataclass(frozen=True)
class PredictionsWritten:
    """The outcome of a prediction of files.

    file: where the answers are.
    unreadable: how many films in it have no probability, because they cannot be read.
    """

    file: Path
    unreadable: int


def predict_files(answerer: Answerer, files: FilesToPredict, results: Path) -> PredictionsWritten:
    """Predicts all films. A file that cannot be read never stops the others.

    Raises:
        UserError: there is no film, the output belongs to another run or cannot be written, a link
            leads out of `results`, or the network has no maps for overlays. Also, once all other
            films are predicted: films have changed since their rows were written, or the machine
            did not let a decoder finish.
    """
    if files.output is None:
        refuse_links_out(results)
    if (total := sum(1 for _ in files.sources.films())) == 0:
        raise UserError("predict: no film was found; name films, folders or patterns")
    answerer = answerer.for_films(total)
    drawn = None
    if files.overlays is not None:
        predictor = answerer.predictor
        predictor.check_explains()
        synthetic = predictor.first.meta["synthetic"]
        drawn = Overlays(files.overlays, predictor.identity, synthetic)
    for note in answerer.notes:
        say(note)
    path = files.output or make_new(results / "predictions.csv", "output")
    with FilmDecoder(total) as decoder:
        task = _Task(answerer, files.sources, path, drawn, decoder)
        return task.run(FilmProgress(total))


@dataclass(frozen=True)
class _Task:
    """A prediction of files, ready to run; see `predict_files`."""

    answerer: Answerer
    sources: Sources
    path: Path
    overlays: Overlays | None
    decoder: FilmDecoder

    def run(self, progress: FilmProgress) -> PredictionsWritten:
        """Writes the predictions and the overlays, and prints a summary."""
        shown = printable(str(self.path))
        summary = Summary(self.answerer.class_names.positive)
        with PredictionFile(self.path, self.answerer.stamp) as output:
            if output.done:
                say(f"continuing: {len(output.done):,} films are already in {shown}")
            resumed = Resumed(output, progress.skip)
            unfinished = self._answer(output, resumed, summary, progress)
            progress.close()
            unreadable = output.unreadable
        summary.show(self.answerer.stamp)
        if self.sources.ignored:
            say(f"other files in the folders, ignored: {self.sources.ignored:,}")
        say(f"written to {shown}")
        if self.overlays is not None:
            say(self.overlays.finish())
        resumed.refuse_changed(self.path)
        if unfinished:
            raise UserError(
                f"{unfinished:,} films have no row, because the machine was too busy or had too "
                f"little memory to decode them: predict them into {shown} again"
            )
        return PredictionsWritten(self.path, unreadable)

    def _answer(
        self, output: PredictionFile, resumed: Resumed, summary: Summary, progress: FilmProgress
    ) -> int:
        """Answers the films without a row; returns how many could not be decoded for now."""
        predictor, explain, unfinished = self.answerer.predictor, self.overlays is not None, 0
        read = make_reader(self.decoder, predictor.first.preprocessing, resumed.done, explain)
        wanted = resumed.wanted(self.sources.films())
        with reading_ahead(wanted, read, 2 * predictor.batch_size) as films:
            if not resumed.done:  # otherwise all films may have a row already
                predictor.prepare(explain=explain)
            for answered in self.answerer.answers(resumed.new(films), explain=explain):
                if self.overlays is not None:
                    self.overlays.add(answered)
                # A film without a row is tried again when the file is continued.
                output.append(a.prediction for a in answered if not a.film.unfinished)
                unfinished += sum(a.film.unfinished for a in answered)
                summary.add(a.prediction for a in answered)
                progress.update(len(answered))
        return unfinished
