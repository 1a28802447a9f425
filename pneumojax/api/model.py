"""A trained network, or several that answer together, for use from Python."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pneumojax.api.describing import description_of
from pneumojax.api.figures import Figure, figures_in
from pneumojax.api.info import Info, info_of
from pneumojax.api.inputs import films_of
from pneumojax.api.predictions import Explanation, Explanations, Predictions
from pneumojax.api.quiet import quiet
from pneumojax.data.naming import Columns, naming_of
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.files import printable
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict.answering import AnsweredFilm, Answerer
from pneumojax.predict.predict import FilesToPredict, PredictionsWritten, predict_files
from pneumojax.predict.prediction import Prediction
from pneumojax.predict.reading import ReadFilm, make_reader, reading_ahead
from pneumojax.predict.terminal import FilmProgress
from pneumojax.run.film_list import banner, is_seen

if TYPE_CHECKING:
    from pneumojax.api.inputs import Films

Range = tuple[float, float]
AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class Evaluated:
    """The outcome of an evaluation.

    films: how many films were scored.
    figures: metrics with their 95 % intervals, by name.
    folder: the folder of metrics.json, predictions.csv and the report.
    warnings: reasons why the figures may mean nothing, such as that the network was trained on
        these films.
    """

    films: int
    figures: dict[str, Figure]
    folder: Path
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [
            f"{self.films:,} films: {self.report}",
            *(f"{name}: {figure}" for name, figure in self.figures.items()),
            *self.warnings,
            DISCLAIMER,
        ]
        return "\n".join(map(printable, lines))

    @property
    def report(self) -> Path:
        """The page with all results."""
        return self.folder / "report.html"


@dataclass(frozen=True)
class Places:
    """The folders that a model uses besides its run folders.

    results: where evaluations and predictions are written unless the caller names a place.
    cache: decoded films and compiled steps.
    """

    results: Path
    cache: Path


class Model:
    """One trained network, or several that answer together; `load` opens it.

    Films are paths, folders, patterns such as "films/*.dcm", arrays, PIL pictures, pydicom data
    sets, or a list or generator of these. An array has the shape (h, w), (n, h, w), (h, w, 3) or
    (n, h, w, 1 or 3), and is uint8, uint16, or of floats with `value_range`, the values of black
    and of white. It is answered as a PNG of the same pixels would be, whatever its size.

    Numbers are those of the command line for the same films, to the last bit. They may differ in
    the last digits if the films are passed in parts, since batches then have another size.
    """

    def __init__(self, answerer: Answerer, places: Places):
        self._answerer = answerer
        self._places = places

    def __repr__(self) -> str:
        return repr(self.info)

    @property
    def info(self) -> Info:
        """The films it was trained on, how it was validated, its licence and its limits."""
        return info_of(self._answerer.predictor)

    @property
    def threshold(self) -> float:
        """The calibrated probability from which a film is called class 1."""
        return self._answerer.predictor.decision.threshold

    @property
    def _columns(self) -> Columns:
        """The names of a table's columns in the run's config."""
        return naming_of(self._answerer.predictor.first.config).columns

    def predict(
        self, films: "Films", *, value_range: Range | None = None, progress: bool = False
    ) -> Predictions:
        """Answers films in their order.

        A film that cannot be read is a row with its error and without a probability. `progress`
        shows on standard error how far it is. Raises UserError for paths that do not exist and for
        arrays that are not of films.
        """
        answered = self._answers(films_of(films, value_range, self._columns), progress=progress)
        return self._predictions([each.prediction for each in answered])

    def explain(
        self, films: "Films", *, value_range: Range | None = None, progress: bool = False
    ) -> Explanations:
        """Answers films, with a Grad-CAM map of each, as `predict --overlays` does.

        Raises UserError as `predict` does, and if the network has no maps.
        """
        self._answerer.predictor.check_explains()
        found = films_of(films, value_range, self._columns)
        answered = self._answers(found, explain=True, progress=progress)
        rows = [Explanation(a.prediction, a.evidence, a.film.preview) for a in answered]
        return Explanations(tuple(rows), self._predictions([row.prediction for row in rows]))

    def logits(self, films: "Films", *, value_range: Range | None = None) -> NDArray:
        """One logit per film (n,), before calibration.

        It is float32. Several networks give the logit of the mean of their calibrated
        probabilities, float64. Raises UserError as `predict` does, and for a film that cannot be
        read.
        """
        found = films_of(films, value_range, self._columns)
        predictor = self._answerer.for_films(len(found)).predictor
        with quiet(), self._reading(found, explain=False) as read:
            pixels = np.array([self._pixels(film) for film in read])
            return predictor.combine(predictor.logits(pixels))[0]

    def predict_files(
        self,
        films: AnyPath | Sequence[AnyPath],
        output: AnyPath | None = None,
        *,
        overlays: AnyPath | None = None,
        progress: bool = False,
    ) -> PredictionsWritten:
        """Predicts any number of files, and writes a row for each as soon as it is answered.

        It is the command `predict`: if it is stopped, the same call goes on from there.

        Args:
            films: a path, a folder, a table, a pattern, or a list of these.
            output: a CSV file, or JSON lines if the name ends in .jsonl; None means a new
                predictions.csv in the run folder, or in runs/<name> for a published network.
            overlays: a folder for a picture of each film with its Grad-CAM map.
            progress: prints what the command line prints.

        Raises UserError for a name that cannot be used, and if the network has no maps for
        overlays. Also, once all other films are predicted, for films that have changed since their
        rows were written, or that the machine was too busy to decode.
        """
        named = [films] if isinstance(films, str | os.PathLike) else films
        if not all(isinstance(name, str | os.PathLike) for name in named):
            raise UserError("predict_files takes paths alone; predict takes films in memory too")
        files = FilesToPredict.checked(
            [os.fspath(name) for name in named], output, overlays, self._columns
        )
        with quiet(progress=progress):
            return predict_files(self._answerer, files, self._places.results)

    def evaluate(
        self,
        films: AnyPath | None = None,
        *,
        split: str | None = None,
        output: AnyPath | None = None,
        data: Mapping[str, Any] | None = None,
        verify_films: bool = False,
        progress: bool = False,
    ) -> Evaluated:
        """Scores labelled films, audits the network on them and writes a report.

        Args:
            films: a folder with a folder for each class, or a table; None means the run's own.
            split: "train", "val" or "test"; None means "val" for the run's own films, and the only
                split of others.
            output: the folder in which `evaluation/` is made; None means the run folder, or
                runs/<name> for a published network.
            data: fields of `config.data` that describe the films, where they differ from the run's,
                such as {"positive": ("sick",), "columns.label": "diagnosis"}.
            verify_films: whether to hash every film again before trusting the cache.
            progress: prints what the command line prints.
        """
        from pneumojax.evaluation.evaluate import evaluate_predictor
        from pneumojax.evaluation.films import FilmChoice

        results = Path(output).expanduser().absolute() if output else self._places.results
        root = None if films is None else str(Path(films).expanduser().resolve())
        config = self._answerer.predictor.first.config
        naming = None if data is None else description_of(data, config)
        choice = FilmChoice(split, root, verify_films, naming)
        with quiet(progress=progress):
            evaluation = evaluate_predictor(
                self._answerer.predictor, self._places.cache, choice, results
            )
        folder = results / "evaluation" / evaluation.facts.split
        figures, warnings = figures_in(evaluation.record()), tuple(evaluation.cautions)
        return Evaluated(evaluation.summary.n, figures, folder, warnings)

    def _answers(
        self, found: list[ReadFilm], *, explain: bool = False, progress: bool
    ) -> Iterator[AnsweredFilm]:
        answerer = self._answerer.for_films(len(found))
        with quiet(progress=progress), self._reading(found, explain=explain) as films:
            shown = FilmProgress(len(found))
            answerer.predictor.prepare(explain=explain)
            for answered in answerer.answers(films, explain=explain):
                yield from answered
                shown.update(len(answered))
            shown.close()

    @contextmanager
    def _reading(self, found: list[ReadFilm], *, explain: bool) -> Iterator[Iterator[ReadFilm]]:
        """A block in which child processes decode films, a little ahead of the network."""
        predictor = self._answerer.for_films(len(found)).predictor
        with FilmDecoder(len(found)) as decoder:
            read = make_reader(decoder, predictor.first.preprocessing, (), explain)
            with reading_ahead(found, read, 2 * predictor.batch_size) as films:
                yield films

    def _predictions(self, rows: list[Prediction]) -> Predictions:
        seen = sum(is_seen(row.warnings) for row in rows)
        warning = banner(seen, sum(row.probability is not None for row in rows))
        notes = filter(None, (warning, *self._answerer.notes))
        name = self._answerer.class_names.positive
        return Predictions(tuple(rows), self._answerer.stamp, name, tuple(notes))

    @staticmethod
    def _pixels(read: ReadFilm) -> NDArray[np.uint8]:
        if read.film is None:
            raise UserError(f"{read.file!r}: {read.note}")
        return read.film.pixels
