"""Training with an MLflow server that hangs, refuses or dies is training without one."""

import time

import pytest

from pneumojax.run.seal import digest
from pneumojax.tracking.relays import Relays, open_relays
from pneumojax.tracking.tracker import Record
from pneumojax.training.loop import train
from pneumojax.training.step_monitor import StepMonitor
from tests.tracking.conftest import best_params, figures_of, free_port, mlflow_server, stop

WAIT = 3.0  # seconds that the end of these runs may wait
SLACK = 5.0  # seconds to kill a process and to be scheduled on a busy machine
LONGEST = 600  # seconds to import MLflow on a busy machine


@pytest.fixture(scope="module")
def untracked(make_config, cache_dir, tmp_path_factory):
    """The folder of a run without trackers."""
    folder = tmp_path_factory.mktemp("untracked") / "run"
    train(make_config(), folder, cache_dir)
    return folder


@pytest.fixture
def trained(tracked, tmp_path, cache_dir, monkeypatch):
    """`(address) -> (folder, seconds that its end waited)` of a run that MLflow should record."""
    waited, close = [], Relays.close

    def timed(self, outcome):
        began = time.monotonic()
        close(self, outcome)
        waited.append(time.monotonic() - began)

    def run(address):
        monkeypatch.setattr(Relays, "close", timed)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        train(tracked("mlflow", seconds=WAIT), tmp_path / "run", cache_dir)
        return tmp_path / "run", *waited

    return run


def is_as_without(untracked, folder, config):
    """Whether a run has the bits of one without a tracker, in its network and its figures."""
    first, second = (digest(best_params(path, config)) for path in (untracked, folder))
    return first == second and figures_of(untracked) == figures_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize("server", ["hangs", "refuses"])
def test_a_server_that_gives_no_answer_changes_no_bit_and_delays_the_end_by_the_limit(
    untracked, trained, config, listening, capsys, server
):
    port = listening.getsockname()[1] if server == "hangs" else free_port()
    folder, waited = trained(f"http://me:swordfish@127.0.0.1:{port}")
    assert waited < WAIT + SLACK
    assert is_as_without(untracked, folder, config)
    out = capsys.readouterr().out
    assert out.count("warning: mlflow: ") == 1 and "swordfish" not in out
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files and not [path for path in files if b"swordfish" in path.read_bytes()]


@pytest.mark.slow
# MLflow's client uses names that its own dependencies call deprecated.
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_dies_during_a_run_changes_no_bit_and_delays_the_end_by_the_limit(
    untracked, trained, config, tmp_path, monkeypatch, capsys
):
    from mlflow import MlflowClient

    dispatched = StepMonitor.dispatched
    with mlflow_server(tmp_path) as (process, address):
        client = MlflowClient(address)

        def until_recorded(self, call):
            dispatched(self, call)
            if call.numbers[-1] == 3:
                deadline = time.monotonic() + LONGEST
                while not recorded(client) and time.monotonic() < deadline:
                    time.sleep(0.2)
                assert recorded(client)
                stop(process)

        monkeypatch.setattr(StepMonitor, "dispatched", until_recorded)
        folder, waited = trained(address)
    assert waited < WAIT + SLACK
    assert is_as_without(untracked, folder, config)
    assert capsys.readouterr().out.count("warning: mlflow: ") == 1


def recorded(client):
    """Whether a run has figures on the server."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    return any(run.data.metrics for run in client.search_runs(experiments))


@pytest.mark.slow
def test_a_refusal_is_told_without_the_password_of_the_address(
    tracked, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:swordfish@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with open_relays(tmp_path, tracked("mlflow", seconds=LONGEST), 0) as relays:
        relays.write(Record("step", 1, 1, {"loss": 0.5}))
    out = capsys.readouterr().out
    assert out.startswith("warning: mlflow: tracking has ended (MlflowException: ")
    assert "refused" in out and "swordfish" not in out and out.count("\n") == 1
