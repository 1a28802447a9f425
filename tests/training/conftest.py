"""One finished run for all tests that need one."""

import contextlib
import io
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from pneumojax.training.loop import train


@dataclass(frozen=True)
class FinishedRun:
    """A run of two epochs in `folder`, with the lines that it printed and that JAX logged."""

    config: ConfigDict
    folder: Path
    out: str
    log: list[str]


@pytest.fixture(scope="session")
def finished_run(make_config, cache_dir, tmp_path_factory) -> FinishedRun:
    """A run that no test may change; `run_copy` is a copy for those that do."""
    config, folder = make_config(), tmp_path_factory.mktemp("finished") / "run"
    out, log = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("jax").addHandler(handler)
    try:
        with jax.log_compiles(), contextlib.redirect_stdout(out):
            train(config, folder, cache_dir)
    finally:
        logging.getLogger("jax").removeHandler(handler)
    return FinishedRun(config, folder, out.getvalue(), log.getvalue().splitlines())


@pytest.fixture
def run_copy(finished_run, tmp_path) -> Path:
    """A copy of the finished run's folder."""
    return shutil.copytree(finished_run.folder, tmp_path / "run")
