"""Run folders to track, and servers that are whole or broken."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest


@pytest.fixture
def tracked(config):
    """`(*trackers, seconds) -> a config` of a small run that these trackers record."""

    def make(*trackers, seconds):
        changed = config.copy_and_resolve_references()
        changed.log.trackers, changed.log.tracker_seconds = trackers, float(seconds)
        return changed.lock()

    return make


@pytest.fixture
def listening():
    """A socket on loopback to which clients can connect, and from which no answer comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def mlflow_server(folder):
    """A real server with a SQLite store in a folder; gives its process and its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"),
        *(f"--backend-store-uri=sqlite:///{folder}/mlflow.db", "--workers=1"),
        f"--artifacts-destination={folder}/artifacts",
    ]
    less = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | less, start_new_session=True, **quiet
    )
    try:
        until_healthy(process, address)
        yield process, address
    finally:
        stop(process)


def until_healthy(process, address):
    deadline = time.monotonic() + 600  # on a machine that is busy with other work
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(address)


def stop(process):
    """Kills a server and the processes that it started, which share its session."""
    subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], stderr=subprocess.DEVNULL)
    process.wait()


def best_params(workdir, config):
    """The parameters of a run's best checkpoint."""
    from pneumojax.inference.network import make_network
    from pneumojax.run.checkpoint import Checkpoints
    from pneumojax.sharding import make_mesh, placed

    abstract = placed(make_network(config).abstract_params, make_mesh())
    return Checkpoints(workdir / "checkpoints").restore_best(abstract)[0]


def figures_of(workdir):
    """{"step/loss": [(step, value), ...]} of all figures in metrics.jsonl except times."""
    from pneumojax.run.history import read_lines

    found = {}
    for line in read_lines(workdir / "metrics.jsonl"):
        for name in line.keys() - {"kind", "step", "epoch", "seconds_per_step", "data_wait"}:
            found.setdefault(f"{line['kind']}/{name}", []).append((line["step"], line[name]))
    return found
