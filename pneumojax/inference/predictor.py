"""The predictor: one trained run, or several that answer together."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.errors import UserError
from pneumojax.inference.decision import Decision
from pneumojax.inference.ensemble import (
    Spread,
    check_alike,
    combine,
    mean_decision,
    resolve_members,
)
from pneumojax.inference.forward import (
    Films,
    Forward,
    Images,
    MeshStep,
    Step,
    in_turn,
    make_forward,
    outputs_of,
)
from pneumojax.inference.network import program_key
from pneumojax.inference.trained_run import TrainedRun, decided, open_run
from pneumojax.isolation.films import FilmDecoder
from pneumojax.nn.ops import FILMS_IN_CACHE

T = TypeVar("T")
Output = Literal["logits", "maps"]


class Answer(NamedTuple):
    """The networks' answer to n films."""

    logits: NDArray[np.float32]  # (members, n)
    maps: NDArray[np.float32] | None  # (n, h, w) in [0, 1], the mean of the members' Grad-CAM maps


@dataclass(frozen=True)
class Predictor:
    """One run or several that answer together: films in, logits, probabilities or maps out."""

    members: tuple[TrainedRun, ...]  # at least one run; several see the same pixels
    workdirs: tuple[Path, ...]
    decisions: tuple[Decision, ...]  # each member's own, which calibrates its logits
    decision: Decision  # calibrates the logits that `combine` returns, and makes calls of them
    batch_size: int  # a multiple of the devices; each network is compiled once for it
    # The jitted functions, which keep what they compiled for each batch size. Predictors that
    # `in_batches_of` made from one another share them.
    _steps: dict[Output, list[MeshStep]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        workdirs: Sequence[Path],
        *,
        any_network: bool = False,
        cache_dir: Path | None = None,
    ) -> "Predictor":
        """Opens one run folder, several, or the folder of a cross-validation for all its folds.

        A cross-validation makes calls by the common decision of its folds, other ensembles at the
        mean of their members' thresholds. `any_network` is that of `open_run`. With `cache_dir`,
        the folder of decoded films, a run whose decision rule has changed gets a new decision, see
        `decided`; without it such a run is refused.
        """
        folders, common = resolve_members([workdir.absolute() for workdir in workdirs])
        members = tuple(open_run(folder, any_network=any_network) for folder in folders)
        check_alike(members, folders)
        if cache_dir is not None and common is None:
            members = tuple(map(decided, members, folders, repeat(cache_dir)))
        decisions = tuple(common or member.decision for member in members)
        decision = decisions[0] if len(members) == 1 else mean_decision(decisions, common)
        batch_size = FILMS_IN_CACHE * members[0].mesh.size
        return cls(members, tuple(folders), decisions, decision, batch_size)

    def in_batches_of(self, films: int) -> "Predictor":
        """The same predictor with another batch size."""
        return replace(self, batch_size=films)

    @property
    def first(self) -> TrainedRun:
        """The only member, or the first of several, for everything that they have in common."""
        return self.members[0]

    @property
    def name(self) -> str:
        return ", ".join(workdir.name for workdir in self.workdirs)

    @property
    def identity(self) -> str:
        """The first member's step, and 12 hex digits of everything that decides an answer."""
        parts = [[m.answers for m in self.members], self.decisions, self.decision]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return f"{self.first.meta['step']}-{digest[:12]}"

    @property
    def explains(self) -> bool:
        """Whether `explain` works: a network of the user's own may lack what Grad-CAM needs."""
        return all(member.network.explains for member in self.members)

    def check_explains(self) -> None:
        """Raises UserError if a network cannot be explained."""
        for member in self.members:
            if not member.network.explains:
                raise UserError(
                    f"{member.config.model.network} has no Grad-CAM maps, because it lacks the "
                    "methods `features` and `logits`; predict without them",
                    flag="overlays",
                )

    def read(self, files: Sequence[Path]) -> NDArray[np.uint8]:
        """Decodes films of any format in child processes to uint8 (n, side, side).

        A UserError names a file that cannot be read.
        """
        preprocessing = self.first.preprocessing
        side = preprocessing.image_size

        def read(file: Path) -> NDArray[np.uint8]:
            try:
                return decoder.decode(read_bytes(file), preprocessing).film.pixels
            except FilmError as error:
                raise UserError(f"{str(file)!r}: {error}") from error

        with FilmDecoder(len(files)) as decoder, ThreadPoolExecutor(os.cpu_count()) as threads:
            return np.array(list(threads.map(read, files)), np.uint8).reshape(-1, side, side)

    def logits(self, films: Films) -> NDArray[np.float32]:
        """Each member's logits (members, n) of a `FilmSet` or of an array that `read` returned."""
        self._check_films(films)
        return np.stack(outputs_of(self._score, films, self.batch_size))

    def combine(self, logits: NDArray) -> tuple[NDArray, Spread | None]:
        """The members' logits (members, n) -> one logit per film (n,), and the members' spread.

        The logits of a single member stay as they are, and have no spread.
        """
        if len(self.members) == 1:
            return logits[0], None
        return combine(logits, self.decisions)

    def probabilities(self, films: Films) -> NDArray[np.float64]:
        """Calibrated probabilities of pneumonia (n,); `decision.calls` turns them into calls."""
        return self.decision.probabilities(self.combine(self.logits(films))[0])

    def explain(self, films: Films) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (members, n) and Grad-CAM maps (n, h, w), if the predictor `explains`."""
        self.check_explains()
        self._check_films(films)
        return _with_maps(outputs_of(self._explain, films, self.batch_size))

    def prepare(self, *, explain: bool = False) -> None:
        """Compiles the networks for the batch size, so that films can be read in the meantime."""
        side = self.first.preprocessing.image_size
        steps = self._mesh_steps("maps" if explain else "logits")
        for step, member in zip(steps, self.members, strict=True):
            step.compile(member.params, (self.batch_size, side, side, 1))

    def stream(
        self, batches: Iterable[tuple[T, Images]], *, explain: bool = False
    ) -> Iterator[tuple[T, Answer]]:
        """Answers batches one by one, so that films may come from an endless source.

        Each batch is a pair: a tag of the caller's, such as a name, which is yielded with the
        answer, and images, uint8 (batch_size, h, w, 1).
        """
        if explain:
            self.check_explains()
        step = self._explain if explain else self._score
        for tag, outputs in in_turn(step, batches):
            if explain:
                yield tag, Answer(*_with_maps(outputs))
            else:
                yield tag, Answer(np.stack(outputs), None)

    def _check_films(self, films: Films) -> None:
        """Raises ValueError for an array of another type or size, whose logits would be wrong."""
        side = self.first.preprocessing.image_size
        if isinstance(films, np.ndarray) and (
            films.dtype != np.uint8 or films.shape[1:] != (side, side)
        ):
            raise ValueError(
                f"films must be uint8 (n, {side}, {side}), not {films.dtype} {films.shape}; "
                "Predictor.read makes them from files"
            )

    @property
    def _score(self) -> Step:
        return self._step("logits")

    @property
    def _explain(self) -> Step:
        return self._step("maps")

    def _step(self, output: Output) -> Step:
        """A function from images to the outputs of every member."""
        steps = self._mesh_steps(output)
        params = [member.params for member in self.members]
        return lambda images: [step(p, images) for step, p in zip(steps, params, strict=True)]

    def _mesh_steps(self, output: Output) -> list[MeshStep]:
        """Each member's forward pass to this output, which is made once."""
        if output not in self._steps:
            self._steps[output] = [
                MeshStep(
                    partial(_forward, member, output),
                    member.mesh,
                    program_key(member.config, output),
                )
                for member in self.members
            ]
        return self._steps[output]


def _forward(member: TrainedRun, output: Output) -> Forward:
    if output == "logits":
        return make_forward(member.network, member.mesh)
    from pneumojax.inference.gradcam import make_explainer

    return make_explainer(member.network, member.mesh)


def _with_maps(outputs: list[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    logits, maps = zip(*outputs, strict=True)
    return np.stack(logits), np.mean(maps, axis=0)
