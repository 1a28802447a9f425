"""Small trainings in processes of their own, to be stopped, killed and starved."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def small(films_root, cache_dir) -> Callable[..., list[str]]:
    """`(workdir, *more flags) -> the command` of a small network's training, batch norm in it."""

    def command(workdir, *more):
        return [
            *(sys.executable, "main.py", "--config=configs/quick.py"),
            *(f"--config.data.root={films_root}", f"--cache_dir={cache_dir}"),
            *("--config.data.image_size=32", "--config.data.val_fraction=0.2"),
            *("--config.model.stem=(4,4,8)", "--config.model.modules=((4,4,8,2,4,4),)"),
            *("--config.model.norm=batch", "--config.batch_size=16", "--config.epochs=2"),
            *(f"--workdir={workdir}", *map(str, more)),
        ]

    return command


@pytest.fixture(scope="session")
def run_command() -> Callable[..., subprocess.CompletedProcess]:
    """`(command) -> what came of it`, with its text."""

    def run(line, **options):
        return subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, timeout=300, **options
        )

    return run


@pytest.fixture
def start_processes(tmp_path) -> Callable[[list[str], int], list[subprocess.Popen]]:
    """`(command, count) -> processes` of one job on this machine, each with a log in tmp_path."""
    started: list[subprocess.Popen] = []

    def start(line, count):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        job = []
        for i in range(count):
            flags = (f"--coordinator=localhost:{port}", f"--processes={count}", f"--process={i}")
            with open(tmp_path / f"process-{i}.log", "w") as log:
                job.append(
                    subprocess.Popen(
                        [*line, "--distributed", *flags],
                        cwd=ROOT,
                        stdout=log,
                        stderr=log,
                        env=dict(os.environ, PYTHONPATH="."),
                    )
                )
        started.extend(job)
        return job

    yield start
    for process in started:
        process.kill()
        process.wait()
