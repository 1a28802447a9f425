"""A run in a real MLflow server with a SQLite store, read back with MLflow's client."""

import pytest

from pneumojax.api.training import evaluate_trained
from pneumojax.config.flat import flatten
from pneumojax.config.load import run_name
from pneumojax.run.seal import digest
from pneumojax.tracking.files import MetricsFile
from pneumojax.tracking.logbook import Logbook
from pneumojax.tracking.relays import open_relays
from pneumojax.tracking.tracker import Record
from pneumojax.training.loop import train
from pneumojax.training.step_monitor import StepMonitor
from tests.tracking.conftest import best_params, figures_of, mlflow_server

ALLOWED = 600  # seconds; a machine that is busy with other work takes minutes to import MLflow


@pytest.mark.slow
# MLflow's client uses names that its own dependencies call deprecated.
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_is_one_run_with_each_figure_once_its_network_and_its_report(
    tracked, tmp_path, cache_dir, monkeypatch, capsys
):
    config = tracked("mlflow", seconds=ALLOWED).unlock()
    config.checkpoint.every_steps = 0  # so that steps 5 and 6 are sent, lost and sent again
    config.lock()
    workdir, dispatched = tmp_path / "run", StepMonitor.dispatched

    def interrupted(self, call):
        dispatched(self, call)
        if call.numbers[-1] == 7:  # an epoch has 4 steps
            raise KeyboardInterrupt

    with mlflow_server(tmp_path) as (_, address):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        from mlflow import MlflowClient

        client = MlflowClient(address)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(StepMonitor, "dispatched", interrupted)
            train(config, workdir, cache_dir)
        (experiment,) = [e for e in client.search_experiments() if e.name == "pneumojax"]
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.info.status == "KILLED"
        sent = client.get_metric_history(run.info.run_id, "step/loss")
        assert [metric.step for metric in sent] == [1, 2, 3, 4, 5, 6]

        train(config, workdir, cache_dir)
        evaluate_trained(config, workdir, cache_dir)
        assert "warning: mlflow" not in capsys.readouterr().out
        (run,) = client.search_runs([experiment.experiment_id])
        run_id = run.info.run_id
        assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
        assert run.data.tags["pneumojax.digest"] == run_name(config).rpartition("-")[2]
        assert run.data.params == {name: str(value) for name, value in flatten(config).items()}
        figures = figures_of(workdir)
        times = {"epoch/seconds_per_step", "epoch/data_wait"}
        assert set(run.data.metrics) == {*figures, *times} and len(figures["step/loss"]) == 8
        for name in figures:
            history = client.get_metric_history(run_id, name)
            assert sorted((metric.step, metric.value) for metric in history) == figures[name]

        sent_late(client, tmp_path / "late", config)
        copy = tmp_path / "downloaded"
        copy.mkdir()
        client.download_artifacts(run_id, "", str(copy))
    assert digest(best_params(copy, config)) == digest(best_params(workdir, config))
    report = {path.name for path in (copy / "evaluation" / "val").iterdir()}
    assert report == {"metrics.json", "report.html"}  # predictions.csv names the patients


def sent_late(client, workdir, config):
    """Checks that the figures of a run that was not tracked before are sent."""
    workdir.mkdir()
    with Logbook([MetricsFile(workdir, 0, {})]) as book:
        for step in (1, 2):
            book.write(Record("step", step, 1, {"loss": 0.5 / step}))
    with open_relays(workdir, config):
        pass
    experiments = [each.experiment_id for each in client.search_experiments()]
    (run,) = client.search_runs(experiments, "attributes.run_name = 'late'")
    sent = client.get_metric_history(run.info.run_id, "step/loss")
    assert sorted((metric.step, metric.value) for metric in sent) == [(1, 0.5), (2, 0.25)]
    assert run.info.status == "FINISHED"
