"""The process that a command runs in, and the other processes of a job where there are several.

Every process of a job runs the same program on its share of each batch. One of them, the leader,
writes and prints for all.
"""

import os
import platform
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pneumojax.errors import UserError

# Seconds without a sign of life after which a process is taken for lost, and the job ends.
HEARTBEAT = 20
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def with_tunables(environment: Mapping[str, str], pages: str) -> dict[str, str] | None:
    """The environment in which glibc's malloc suits training steps, or None where it is that.

    A step needs gigabytes for a while. In pages of 4 kB, cleared one at a time when they are first
    written to, that is a sixth of the time of Inception-v3's step, so pages of 2 MB are asked for.
    And small freed blocks join their neighbours at once, where glibc would keep those of up to
    1 kB apart for reuse: one of them at the end of a step's memory would leave the next step
    without (`training/heap.py`).

    Args:
        pages: what Linux says of itself in `HUGE_PAGES`.
    """
    given = environment.get("GLIBC_TUNABLES", "")
    wanted = ["glibc.malloc.tcache_max=24", "glibc.malloc.mxfast=24"]
    if "[madvise]" in pages:
        wanted.append("glibc.malloc.hugetlb=1")
    chosen = {tunable.partition("=")[0] for tunable in given.split(":")}
    added = [tunable for tunable in wanted if tunable.partition("=")[0] not in chosen]
    if not added:
        return None
    return {**environment, "GLIBC_TUNABLES": ":".join([*filter(None, [given]), *added])}


def tune_malloc() -> None:
    """Starts this program again, once, since glibc reads its environment when a process starts."""
    pages = HUGE_PAGES.read_text() if HUGE_PAGES.exists() else ""
    if platform.libc_ver()[0] == "glibc" and (environment := with_tunables(os.environ, pages)):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def prepare(cache_dir: Path, *, deterministic: bool) -> None:
    """Sets what JAX reads from the environment when it is imported.

    Args:
        cache_dir: a second start takes its compiled steps from there.
        deterministic: on GPUs only operations, and only choices between them, whose results do not
            depend on timing, at some cost in speed. CPUs and TPUs have no others.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_dir / "xla"))
    # A step that cannot be stored there, or was stored in part on a full disk, is compiled again:
    # time is all that it costs, and JAX would tell of each with the lines of its own source.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    if deterministic:
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{given} --xla_gpu_deterministic_ops=true".strip()


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Makes this process one of a job's, before anything asks JAX for its devices.

    Args:
        coordinator: host:port of the process 0; None, as the others, where the cluster tells:
            SLURM, Open MPI and Cloud TPU do.

    Raises:
        UserError: the cluster does not tell, or the others did not come within five minutes.
    """
    import jax

    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"--distributed: {reason}. Where the cluster does not tell, give --coordinator="
            "<host:port of process 0>, --processes=<how many> and --process=<which, from 0>"
        ) from error
    if not is_leader():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def is_multiprocess() -> bool:
    """Whether this is a job of several processes."""
    import jax

    return jax.process_count() > 1


def is_leader() -> bool:
    """Whether this process writes and prints; the only one of a job of one does."""
    import jax

    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes of the job are here."""
    if is_multiprocess():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def gathered(array: Any) -> Any:
    """An array's values on the host, from all processes' devices; all of them must ask."""
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(array, tiled=True)


@contextmanager
def leader_first(name: str) -> Iterator[None]:
    """The leader runs what is within, then the others do, and find what it has made."""
    if not is_leader():
        barrier(name)
    yield
    if is_leader():
        barrier(name)


def leave() -> None:
    """Takes this process out of the job, when all have come to its end."""
    import jax

    jax.distributed.shutdown()


def is_of_another_process(error: Exception) -> bool:
    """Whether an error says that this job's processes cannot reach each other any more."""
    signs = ("Gloo", "NCCL", "UNAVAILABLE", "heartbeat", "coordination", "DEADLINE_EXCEEDED")
    return is_multiprocess() and any(sign in str(error) for sign in signs)


def end(status: int) -> NoReturn:
    """Ends this process of a job after an error, without waiting for the others to end too."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
