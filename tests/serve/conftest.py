"""An untrained network of a small run, and a real server that serves it."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from pneumojax.data.splits import preprocessing_of
from pneumojax.inference.decision import Decision
from pneumojax.run.begin import begin
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state

ROOT = Path(__file__).parents[2]
DECISION = Decision("youden", 2.0, 0.4, 10, "")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A folder in which the first test makes a run for all of them."""
    return tmp_path_factory.mktemp("serve") / "small-run"


@pytest.fixture
def workdir(run_folder, config):
    """The run folder of a small random network that calls some films PNEUMONIA."""
    folder = run_folder
    if folder.exists():
        return folder
    begin(folder, config)
    state = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))()
    rng = np.random.default_rng([0])
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape), state.params)
    meta = {
        "config": config.to_dict(),
        "class_names": ["NORMAL", "PNEUMONIA"],
        "preprocessing": preprocessing_of(config).as_dict(),
        "synthetic": False,
        "decision": DECISION._asdict(),
        "scope": None,
    }
    params = jax.tree.map(lambda new, old: new.astype(old.dtype), params, state.params)
    Checkpoints(folder / "checkpoints").save_best(1, params, meta)
    return folder


class Server(NamedTuple):
    """A server in its own process."""

    process: subprocess.Popen
    host: str
    port: int
    temporary: Path

    @property
    def address(self):
        return f"http://{self.host}:{self.port}"


@contextlib.contextmanager
def serving(workdir, temporary):
    """Runs a server whose temporary files would appear in a folder of the test."""
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "main.py", "--mode=serve", f"--workdir={workdir}", "--port=0"],
        cwd=ROOT,
        env=dict(os.environ, TMPDIR=str(temporary), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        host, port = re.search(r"http://(\S+):(\d+)", said).groups()
        yield Server(process, host, int(port), temporary)
    finally:
        process.kill()
        if not process.stdout.closed:  # a test has read all output
            os.set_blocking(process.stdout.fileno(), True)
            process.communicate()


def children_of(process):
    """The process numbers of the children of all threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for path in tasks for child in path.read_text().split()]


@pytest.fixture(scope="session")
def _servers():
    with contextlib.ExitStack() as stack:
        yield {}, stack


@pytest.fixture
def server(workdir, tmp_path_factory, _servers):
    """One server for all tests, after each of which it still runs and has printed nothing."""
    started, stack = _servers
    if "server" not in started:
        temporary = tmp_path_factory.mktemp("server") / "temporary"
        started["server"] = stack.enter_context(serving(workdir, temporary))
    server = started["server"]
    os.set_blocking(server.process.stdout.fileno(), False)
    yield server
    assert server.process.poll() is None
    assert not server.process.stdout.buffer.raw.read()  # None stands for no output yet
    assert not list(server.temporary.iterdir())
