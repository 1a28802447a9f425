"""Opens the trackers that `config.log.trackers` names, and closes them within a time limit."""

import importlib.util
import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ml_collections import ConfigDict

from pneumojax.config.check import wrong_value
from pneumojax.config.flat import flatten
from pneumojax.config.load import run_name
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.fields import Field, read_record
from pneumojax.files import write_json
from pneumojax.run.stored_config import is_synthetic
from pneumojax.tracking.messages import Begin
from pneumojax.tracking.relay import Relay
from pneumojax.tracking.tracker import Outcome, Recorders

TRACKING = "tracking.json"
_ID = Field(
    ("id",),
    lambda value: isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f]{32}", value)),
    "32 hex digits",
)


class Relays(Recorders[Relay]):
    """The trackers of a run that work in child processes. The end of a `with` block closes them.

    `seconds` is the longest time that closing takes, for all of them together.
    """

    def __init__(self, relays: Sequence[Relay], seconds: float):
        super().__init__(relays)
        self._seconds = seconds

    def close(self, outcome: Outcome) -> None:
        try:
            for relay in self._recorders:
                relay.end(outcome)
            deadline = time.monotonic() + self._seconds
            for relay in self._recorders:
                relay.wait(max(0.0, deadline - time.monotonic()))
        finally:  # a signal may have ended the waiting
            for relay in self._recorders:
                relay.kill()

    def __enter__(self) -> "Relays":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(Outcome.of(error))


def check_trackers(config: ConfigDict) -> None:
    """Raises UserError if the package of a tracker is not installed."""
    for name in config.log.trackers:
        if importlib.util.find_spec(name) is None:
            rule = f"{name} is not installed: `pip install -r requirements-{name}.txt` in a "
            rule += f'checkout, or `pip install "pneumojax[{name}]"`'
            raise UserError(wrong_value("log.trackers", config.log.trackers, rule))


def open_relays(workdir: Path, config: ConfigDict, resumed_step: int | None = None) -> Relays:
    """The trackers of a run, none by default. Raises UserError as `check_trackers` does.

    `resumed_step` is that of `Begin`.
    """
    seconds = config.log.tracker_seconds
    if not config.log.trackers:
        return Relays((), seconds)
    check_trackers(config)
    digest = run_name(config).rpartition("-")[2]
    tags = {"digest": digest, "synthetic": str(is_synthetic(config)), "notice": DISCLAIMER}
    # The folder of a fold has the same name in every cross-validation.
    name = f"{workdir.parent.name}/{workdir.name}" if config.data.folds else workdir.name
    run_id, params = _run_id(workdir), flatten(config)
    begins = (
        Begin(tracker, str(workdir), run_id, name, params, tags, resumed_step)
        for tracker in config.log.trackers
    )
    return Relays([Relay(begin) for begin in begins], seconds)


def network_files(workdir: Path) -> list[Path]:
    """The files that `predict` needs of a run, relative to its folder, and where it came from."""
    steps = [int(path.name) for path in workdir.glob("checkpoints/best/*") if path.name.isdigit()]
    best = [Path("checkpoints", "best", str(max(steps)))] if steps else []
    return [Path("config.json"), Path("provenance.json"), *best]


def report_files(folder: Path, workdir: Path) -> list[Path]:
    """The report of an evaluation in `folder`, relative to the run folder.

    predictions.csv is not among them, because it names every film and patient.
    """
    return [(folder / name).relative_to(workdir) for name in ("metrics.json", "report.html")]


def _run_id(workdir: Path) -> str:
    """The id of a run, which is drawn when the run is first tracked."""
    path = workdir / TRACKING
    if not path.exists():
        write_json(path, {"id": uuid.uuid4().hex})
    return read_record(path, (_ID,))["id"]
