"""A run in MLflow, in the child process of its tracker.

MLFLOW_TRACKING_URI names the server or the SQLite file, and MLflow reads its credentials from the
environment too, so that neither stands in a run folder.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from pneumojax.run.history import read_lines
from pneumojax.tracking.messages import Begin
from pneumojax.tracking.tracker import Outcome, Record

_EXPERIMENT = "pneumojax"  # unless MLFLOW_EXPERIMENT_NAME names another
# Limits of MLflow for one request, and for the value of a parameter.
_MOST_METRICS = 1_000
_MOST_PARAMS = 100
_LONGEST_VALUE = 6_000
_NOT_FIGURES = ("kind", "step", "epoch", "synthetic")  # in a line of metrics.jsonl
_STATUS = {
    Outcome.FINISHED: "FINISHED",
    Outcome.STOPPED: "KILLED",
    Outcome.FAILED: "FAILED",
    Outcome.KILLED: "KILLED",
}


class MlflowRun:
    """Records a run in MLflow, each figure once.

    The run is found by its tag "pneumojax.id", on whichever server. If it was there before, steps
    that the server has are not sent again, and those of metrics.jsonl that it lacks are sent.
    """

    def __init__(self, begin: Begin):
        self._client = MlflowClient()
        self._folder = Path(begin.workdir)
        self._unsent: list[Metric] = []
        self._sent: dict[str, set[int]] = {}  # by kind, the steps that the server has
        experiment = self._experiment()
        tags = {f"pneumojax.{name}": text for name, text in {"id": begin.id, **begin.tags}.items()}
        run = self._find(experiment, begin.id)
        self._is_new = run is None
        if run is None:
            tags["mlflow.note.content"] = begin.tags["notice"]
            run = self._client.create_run(experiment, tags=tags, run_name=begin.name)
        self._run_id: str = run.info.run_id
        self._sets_status = begin.is_training or self._is_new
        if self._sets_status:
            self._client.update_run(self._run_id, status="RUNNING")
        self._send_params(begin, run)
        self._send_lines(begin)

    def write(self, record: Record) -> None:
        if record.step in self._steps_sent(record):
            return
        if len(self._unsent) + len(record.figures) > _MOST_METRICS:
            self.flush()
        milliseconds = int(record.time * 1_000)
        self._unsent += [
            Metric(f"{record.kind}/{name}", value, milliseconds, record.step)
            for name, value in record.figures.items()
        ]

    def keep(self, name: str, paths: Sequence[Path]) -> None:
        """Stores each file under its path in the run folder; MLflow needs no further name."""
        for path in paths:
            if (self._folder / path).is_dir():
                self._client.log_artifacts(self._run_id, str(self._folder / path), str(path))
            else:
                parent = None if path.parent == Path() else str(path.parent)
                self._client.log_artifact(self._run_id, str(self._folder / path), parent)

    def flush(self) -> None:
        if self._unsent:
            self._client.log_batch(self._run_id, metrics=self._unsent)
            self._unsent = []

    def close(self, outcome: Outcome) -> None:
        self.flush()
        if self._sets_status:
            self._client.set_terminated(self._run_id, _STATUS[outcome])

    def _experiment(self) -> str:
        """The id of the experiment, which is made if there is none of its name."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found: Experiment | None = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # Another run has made it at the same time.
            found = self._client.get_experiment_by_name(name)
            assert found is not None
        return found.experiment_id

    def _find(self, experiment: str, run_id: str) -> Run | None:
        runs = self._client.search_runs(
            [experiment], f"tags.`pneumojax.id` = '{run_id}'", max_results=1
        )
        return runs[0] if runs else None

    def _send_params(self, begin: Begin, run: Run) -> None:
        """Sends the config; a field that has changed is a tag, since MLflow changes no parameter.

        Such a tag is named "config.<field>".
        """
        texts = {name: str(value)[:_LONGEST_VALUE] for name, value in begin.params.items()}
        before = run.data.params
        new = [Param(name, text) for name, text in texts.items() if name not in before]
        for first in range(0, len(new), _MOST_PARAMS):
            self._client.log_batch(self._run_id, params=new[first : first + _MOST_PARAMS])
        changed = {name: text for name, text in texts.items() if before.get(name, text) != text}
        if changed:
            tags = [RunTag(f"config.{name}", text) for name, text in changed.items()]
            self._client.log_batch(self._run_id, tags=tags)

    def _send_lines(self, begin: Begin) -> None:
        """Sends the lines of metrics.jsonl that the server lacks, as after an interruption."""
        last = math.inf if begin.resumed_step is None else begin.resumed_step
        for line in read_lines(self._folder / "metrics.jsonl"):
            if line["step"] <= last:
                self.write(Record(line["kind"], line["step"], line["epoch"], _figures(line)))
        self.flush()

    def _steps_sent(self, record: Record) -> set[int]:
        """The steps of this kind of record that the server had when this process began.

        One request holds all figures of a record, so the first of them tells for all.
        """
        if self._is_new:
            return set()
        if record.kind not in self._sent:
            name = f"{record.kind}/{next(iter(record.figures))}"
            history = self._client.get_metric_history(self._run_id, name)
            self._sent[record.kind] = {metric.step for metric in history}
        return self._sent[record.kind]


def _figures(line: dict[str, Any]) -> dict[str, float]:
    """The figures in a line of metrics.jsonl, in which null stands for one that is not finite."""
    found = {name: value for name, value in line.items() if name not in _NOT_FIGURES}
    return {name: math.nan if value is None else value for name, value in found.items()}
