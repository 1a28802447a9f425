"""The process that a command runs in, and the other processes of a distributed job.

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

# The folder of decoded films and compiled steps, which all runs and programs of a user share.
CACHE_DIR = os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "pneumojax")
HEARTBEAT = 20  # seconds without a sign of life after which a process counts as lost
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def with_tunables(environment: Mapping[str, str], pages: str) -> dict[str, str] | None:
    """The environment in which glibc's malloc suits training steps; None if it is that already.

    A step needs gigabytes for a short time. The system clears new memory page by page, and with
    pages of 4 kB this takes a sixth of the time of an Inception-v3 step, so huge pages are
    requested. glibc also keeps small freed blocks apart for reuse. One of them after a step's
    memory would make the free block too small for the next step (`training/heap.py`), so only the
    smallest blocks are kept apart. `pages` are the contents of `HUGE_PAGES`.
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
    """Starts this program again, once, because glibc reads its tunables when a process starts."""
    pages = HUGE_PAGES.read_text() if HUGE_PAGES.exists() else ""
    if platform.libc_ver()[0] == "glibc" and (environment := with_tunables(os.environ, pages)):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def use_compilation_cache(cache_dir: Path) -> None:
    """Lets JAX store what it compiles, unless a cache was chosen, so that a second start is faster.

    JAX reads the variable when it is imported, and a program may have imported it already.
    """
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_dir / "xla"))
    if "jax" in sys.modules:
        import jax

        if jax.config.jax_compilation_cache_dir is None:
            jax.config.update("jax_compilation_cache_dir", folder)
    # If a compiled step cannot be stored or read, for instance on a full disk, it is compiled
    # again, which only costs time. JAX would warn about each one with lines of its own source.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


def prepare(cache_dir: Path, *, deterministic: bool) -> None:
    """Prepares a process before JAX is imported.

    `deterministic` restricts GPUs to operations whose results do not depend on timing, at some
    cost; CPUs and TPUs have no others.
    """
    use_compilation_cache(cache_dir)
    if deterministic:
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{given} --xla_gpu_deterministic_ops=true".strip()


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Adds this process to a job; call it before anything asks JAX for its devices.

    Each argument is None if the cluster provides it, as SLURM, Open MPI and Cloud TPU do.
    """
    import jax

    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"--distributed: {reason}. Outside a cluster that JAX knows, give --coordinator="
            "<host:port of process 0>, --processes=<how many> and --process=<this one, from 0>"
        ) from error
    if not is_leader():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def is_multiprocess() -> bool:
    """Whether this job has several processes."""
    import jax

    return jax.process_count() > 1


def is_leader() -> bool:
    """Whether this process writes and prints; a process alone always does."""
    import jax

    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes of the job have reached the barrier of this name."""
    if is_multiprocess():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def gathered(array: Any) -> Any:
    """The values of an array from all processes' devices; all processes must call this."""
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(array, tiled=True)


@contextmanager
def leader_first(name: str) -> Iterator[None]:
    """Runs a block in the leader first, so that the other processes find its results."""
    if not is_leader():
        barrier(name)
    yield
    if is_leader():
        barrier(name)


def leave() -> None:
    """Takes this process out of the job, once all processes have called this."""
    import jax

    jax.distributed.shutdown()


def is_of_another_process(error: Exception) -> bool:
    """Whether an error means that the processes of this job can no longer reach each other."""
    signs = ("Gloo", "NCCL", "UNAVAILABLE", "heartbeat", "coordination", "DEADLINE_EXCEEDED")
    return is_multiprocess() and any(sign in str(error) for sign in signs)


def end(status: int) -> NoReturn:
    """Ends this process of a job after an error, without waiting for the others to end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
