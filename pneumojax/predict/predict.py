"""The verb predict: predicts any number of films of any kind, and writes a file of them.

Films are found, decoded a little ahead of the network, and written row by row, so that memory
grows with the number of films only by their names and digests.
"""

from collections.abc import Sequence
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.files import printable, refuse_links_out
from pneumojax.inference.ensemble import output_folder
from pneumojax.inference.predictor import Predictor
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict.answering import Answerer
from pneumojax.predict.destination import check_destination, make_new, user_path
from pneumojax.predict.output import PredictionFile
from pneumojax.predict.overlays import Overlays, check_folder
from pneumojax.predict.reading import Resumed, make_reader, reading_ahead
from pneumojax.predict.sources import Sources
from pneumojax.predict.terminal import FilmProgress, Summary


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
            written, a link leads out of `results`, or the network has no maps for `overlays`.
            Also, once all other films are predicted: films have changed since their rows were
            written, or the machine did not let a decoder finish.
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
        answerer = Answerer.of(Predictor.open(workdirs, any_network=any_network)).for_films(total)
        predictor, drawn = answerer.predictor, None
        if pictures is not None:
            predictor.check_explains()
            drawn = Overlays(pictures, predictor.identity, predictor.first.meta["synthetic"])
        for note in answerer.notes:
            print(note)
        path = path or make_new(results / "predictions.csv", "--output")
        return _predict(answerer, sources, total, path, drawn, decoder)


def _predict(
    answerer: Answerer,
    sources: Sources,
    total: int,
    path: Path,
    overlays: Overlays | None,
    decoder: FilmDecoder,
) -> int:
    """Writes the predictions to `path`, and the overlays; see `predict_files`."""
    predictor, shown = answerer.predictor, printable(str(path))
    summary = Summary(answerer.class_names.positive)
    progress, unfinished = FilmProgress(total), 0
    with PredictionFile(path, answerer.stamp) as output:
        if output.done:
            print(f"continuing: {len(output.done):,} films are already in {shown}")
        resumed = Resumed(output, progress.skip)
        preprocessing = predictor.first.preprocessing
        read = make_reader(decoder, preprocessing, resumed.done, overlays is not None)
        wanted = resumed.wanted(sources.films())
        with reading_ahead(wanted, read, 2 * predictor.batch_size) as films:
            if not resumed.done:
                predictor.prepare(explain=overlays is not None)
            for answered in answerer.answers(resumed.new(films), explain=overlays is not None):
                predictions = [each.prediction for each in answered]
                if overlays is not None:
                    overlays.add(answered)
                # A film without a row is tried again when the file is continued.
                finished = [each.prediction for each in answered if not each.film.unfinished]
                output.append(finished)
                unfinished += len(predictions) - len(finished)
                summary.add(predictions)
                progress.update(len(predictions))
        progress.close()
        unreadable = output.unreadable
    summary.show(answerer.stamp)
    if sources.ignored:
        print(f"other files in the folders, ignored: {sources.ignored:,}")
    print(f"written to {shown}")
    if overlays is not None:
        print(overlays.finish())
    resumed.refuse_changed(path)
    if unfinished:
        raise UserError(
            f"{unfinished:,} films have no row, because the machine was too busy or had too little "
            f"memory to decode them: --output={shown} tries them again"
        )
    return unreadable
