"""`--mode=predict`: a run's network on films of any kind, as many as there are.

Films are found, decoded by threads a little ahead of the network, and written row by row, so that
memory does not grow with their number.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pneumojax.data.decoding import Preprocessing
from pneumojax.data.scope import Scope, warnings_about
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.errors import UserError
from pneumojax.explain.gradcam import make_explainer
from pneumojax.isolation.films import FilmDecoder
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.predict.output import PredictionFile
from pneumojax.predict.overlays import Overlays
from pneumojax.predict.reading import Read, batched, make_reader, read_ahead
from pneumojax.predict.sources import Found, Sources
from pneumojax.predict.terminal import Progress, Summary, printable
from pneumojax.training.ensemble import Ensemble, Spread, open_ensemble, output_folder
from pneumojax.training.step import make_evaluation_step

CALLS = ("normal", "pneumonia")
LARGEST_BATCH = 64


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
        UserError: nothing to predict, no such run, or `output` is not one of this run.
    """
    sources = Sources(inputs)
    folder = results or output_folder(workdirs)
    path = Path(output).expanduser().resolve() if output else _free_name(folder)
    pictures = Path(overlays).expanduser().resolve() if overlays else None
    if pictures is not None:
        sources.refuse_inside(pictures, "--overlays")
    if (total := sources.count()) == 0:
        raise UserError("--mode=predict: no film there; name films, folders or patterns of films")
    with FilmDecoder(total) as decoder:  # its processes start while the network is opened
        ensemble = open_ensemble(workdirs, any_network=any_network)
        return _predict(ensemble, sources, total, path, pictures, decoder)


def _predict(
    ensemble: Ensemble,
    sources: Sources,
    total: int,
    path: Path,
    pictures: Path | None,
    decoder: FilmDecoder,
) -> int:
    """Writes the predictions to `path` and the overlays to `pictures`; see `predict_files`."""
    trained, decision = ensemble.first, ensemble.decision
    scope = Scope(**trained.meta["scope"]) if trained.meta.get("scope") else None
    if scope is None:
        print("note: this run does not know what its training films look like: no such warning")
    synthetic = trained.meta["synthetic"]
    of_run = {
        "threshold": decision.threshold,
        "trained_on": trained.trained_on,
        "checkpoint": _identity(ensemble),
        "disclaimer": f"{SYNTHETIC_STAMP}; {DISCLAIMER}" if synthetic else DISCLAIMER,
    }
    summary = Summary()
    with PredictionFile(path, of_run) as predictions:
        if predictions.done:
            print(f"going on: {len(predictions.done):,} files are in {printable(str(path))}")
        drawn = Overlays(pictures, synthetic) if pictures is not None else None
        progress = Progress(total)
        films = _new(sources, predictions.done, progress)
        preprocessing = Preprocessing(**trained.meta["preprocessing"])
        reading = make_reader(decoder, preprocessing, drawn is not None)
        network = Batches(ensemble, total, explain=drawn is not None)
        for batch, each, maps in network.run(read_ahead(films, reading, 2 * network.size)):
            logits, spread = ensemble.combine(each)
            probabilities = decision.probabilities(logits)
            calls = decision.calls(probabilities)
            warned = iter(warnings_about([read.film for read in batch if read.film], scope))
            rows = [
                _row(read, float(probabilities[i]), CALLS[calls[i]], next(warned), spread, i)
                if read.film
                else _unreadable(read)
                for i, read in enumerate(batch)
            ]
            if drawn is not None and maps is not None:
                for read, row, evidence in zip(batch, rows, maps, strict=False):
                    if read.preview is not None:
                        drawn.add(read.file, read.preview, evidence, row)
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
    return unreadable


class Batches:
    """The networks in batches of one shape, for which each is compiled once.

    Args:
        films: how many there are at most.
        explain: also where the evidence lies; of several networks the mean of their maps.
    """

    def __init__(self, ensemble: Ensemble, films: int, *, explain: bool):
        trained = ensemble.first
        devices = trained.mesh.size
        share = devices if films <= devices else FILMS_IN_CACHE * devices  # whole microbatches
        self.size = share * max(1, min(LARGEST_BATCH // share, math.ceil(films / share)))
        self._side = trained.meta["preprocessing"]["image_size"]
        make = make_explainer if explain else make_evaluation_step
        self._steps: list[Callable[[np.ndarray], Any]] = [
            partial(jax.jit(make(member.network, member.mesh)), member.params)
            for member in ensemble.members
        ]
        self._explains = explain

    def run(
        self, films: Iterable[Read]
    ) -> Iterator[tuple[list[Read], np.ndarray, np.ndarray | None]]:
        """Each batch with logits (members, size) and maps (size, h, w).

        The next batch is decoded meanwhile.
        """
        pending = None
        for batch in batched(films, self.size):
            images = np.zeros((self.size, self._side, self._side, 1), np.uint8)
            for i, read in enumerate(batch):
                if read.film is not None:
                    images[i, ..., 0] = read.film.pixels
            begun = batch, [step(images) for step in self._steps]
            if pending is not None:
                yield self._fetched(*pending)
            pending = begun
        if pending is not None:
            yield self._fetched(*pending)

    def _fetched(
        self, batch: list[Read], results: list[Any]
    ) -> tuple[list[Read], np.ndarray, np.ndarray | None]:
        found = jax.device_get(results)
        if not self._explains:
            return batch, np.stack(found), None
        logits, maps = zip(*found, strict=True)
        return batch, np.stack(logits), np.mean(maps, axis=0)


def _new(sources: Sources, done: set[str], progress: Progress) -> Iterator[Found]:
    """The films that are not done, each once."""
    for path, reason in sources.films():
        if str(path) in done:
            progress.skip()
            continue
        done.add(str(path))
        yield path, reason


def _row(
    read: Read, probability: float, call: str, warnings: list[str], spread: Spread | None, at: int
) -> dict[str, Any]:
    apart: dict[str, Any] = dict.fromkeys(Spread._fields)
    if spread is not None:
        apart = {name: float(f"{v[at]:.9g}") for name, v in spread._asdict().items()}
    return apart | {
        "file": str(read.file),
        "probability": float(f"{probability:.9g}"),
        "call": call,
        "note": "",
        "warnings": warnings,
    }


def _unreadable(read: Read) -> dict[str, Any]:
    unanswered: dict[str, Any] = {"probability": None, "call": "", "warnings": []}
    unanswered |= dict.fromkeys(Spread._fields)
    return {"file": str(read.file), "note": read.note} | unanswered


def _identity(ensemble: Ensemble) -> str:
    """The checkpoint's step, and 12 hex digits of all that makes a row: it tells runs apart."""
    meta = ensemble.first.meta
    if len(ensemble.members) == 1:
        weights = meta["digests"]["params"]
    else:
        weights = [
            (member.meta["digests"]["params"], decision)
            for member, decision in zip(ensemble.members, ensemble.decisions, strict=True)
        ]
    parts = [weights, meta["preprocessing"], ensemble.decision, meta.get("scope")]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{meta['step']}-{digest[:12]}"


def _free_name(folder: Path) -> Path:
    names = (f"predictions{suffix}.csv" for suffix in ("", *(f"-{i}" for i in range(2, 10_000))))
    return next(folder / name for name in names if not (folder / name).exists())
