"""Small training runs in processes of their own, which tests stop, kill or deprive of space."""

import contextlib
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
    """`(workdir, *more flags) -> a command` that trains a small network with batch norm."""

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
    """`(command) -> the completed process`, with its output as text."""

    def run(line, **options):
        return subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, timeout=300, **options
        )

    return run


def free_port(begin: int = 0, end: int = 1) -> int:
    """A free port in `range(begin, end)`; for port 0 the system chooses one."""
    for port in range(begin, end):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("localhost", port))
            return free.getsockname()[1]
    raise OSError(f"no free port from {begin} to {end}")


@pytest.fixture(scope="session")
def cluster_variables() -> Callable[[str, int], Callable[[int, int], dict[str, str]]]:
    """`("SLURM" or "Open MPI", job) -> (count, process) -> its environment variables`.

    JAX turns the job number into one of the last 4,096 ports.
    """

    def slurm(job, count, process):
        of_all = {"SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": count}
        return of_all | {"SLURM_PROCID": process, "SLURM_LOCALID": process}

    def open_mpi(job, count, process):
        of_all = {"OMPI_COMM_WORLD_SIZE": count}
        of_all["OMPI_MCA_orte_hnp_uri"] = f"{job * 4096}.0;tcp://127.0.0.1,10.0.0.1:34911"
        names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
        return of_all | dict.fromkeys(names, process)

    def variables(kind, job):
        make = {"SLURM": slurm, "Open MPI": open_mpi}[kind]
        return lambda count, process: {k: str(v) for k, v in make(job, count, process).items()}

    return variables


@pytest.fixture
def free_job() -> int:
    """A job number from which JAX derives a free port."""
    return free_port(65_536 - 4_096, 65_536) % 4_096


@pytest.fixture
def start_processes(tmp_path) -> Callable[..., list[subprocess.Popen]]:
    """`(command, count) -> processes` of one job on this machine, each with a log in tmp_path.

    `variables` are added to the environment. `cluster`, a function of (count, process), gives the
    variables of a cluster, which replace the flags.
    """
    started: list[subprocess.Popen] = []

    def start(line, count, *, variables=None, cluster=None):
        port = free_port()
        job = []
        for i in range(count):
            flags = [f"--coordinator=localhost:{port}", f"--processes={count}", f"--process={i}"]
            own = cluster(count, i) if cluster else {}
            with open(tmp_path / f"process-{i}.log", "w") as log:
                job.append(
                    subprocess.Popen(
                        [*line, "--distributed", *([] if cluster else flags)],
                        cwd=ROOT,
                        stdout=log,
                        stderr=log,
                        env=os.environ | (variables or {}) | {"PYTHONPATH": "."} | own,
                    )
                )
        started.extend(job)
        return job

    yield start
    for process in started:
        process.kill()
        process.wait()
