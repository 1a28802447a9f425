"""The logbook of a run: all its trackers, which are written and closed together."""

import contextlib
from pathlib import Path
from types import TracebackType

from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.errors import UserError
from pneumojax.run.stored_config import is_synthetic
from pneumojax.tracking.files import EventFiles, MetricsFile
from pneumojax.tracking.relays import open_relays
from pneumojax.tracking.tracker import Outcome, Recorders, Tracker


class Logbook(Recorders[Tracker]):
    """Passes everything to each of its trackers. The end of a `with` block closes them."""

    def close(self, outcome: Outcome) -> None:
        """Closes all trackers, even if one of them cannot write its file."""
        with contextlib.ExitStack() as closing:
            for tracker in reversed(self._recorders):
                closing.callback(tracker.close, outcome)

    def __enter__(self) -> "Logbook":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A disk that is full ends the block with an error, and closing would only repeat it.
        with contextlib.suppress(UserError) if error else contextlib.nullcontext():
            self.close(Outcome.of(error))


def open_logbook(workdir: Path, resumed_step: int, config: ConfigDict) -> Logbook:
    """The logbook of a run that trains on after a step.

    Only the leader of a job of several processes writes anything.
    """
    if not runtime.is_leader():
        return Logbook()
    stamp = {"synthetic": True} if is_synthetic(config) else {}
    trackers: list[Tracker] = [MetricsFile(workdir, resumed_step, stamp)]
    if config.log.tensorboard:
        trackers.append(EventFiles(workdir, resumed_step, stamp))
    return Logbook([*trackers, open_relays(workdir, config, resumed_step)])
