"""A step's memory stays with the process from one step to the next, with glibc on one CPU."""

import platform
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from pneumojax.sharding import make_mesh, replicated
from pneumojax.training import heap
from pneumojax.training.compiling import compile_step

ROOT = Path(__file__).resolve().parents[2]
MB = 1 << 20
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")

# The intermediate product of 6,000 by 6,000 float32 takes 144 MB.
STEPS = """
import jax
import jax.numpy as jnp
from pneumojax.sharding import make_mesh
from pneumojax.training import heap

make_mesh()
x = jnp.ones((6_000, 8))
step = jax.jit(lambda x: x @ x.T @ x).lower(x).compile()
size = step.memory_analysis().temp_size_in_bytes
for _ in range({times}):
    heap.reserve(size)
for _ in range(3):
    step(x).block_until_ready()
with open("/proc/self/statm") as pages:
    addresses, resident = (4096 * int(count) for count in pages.read().split()[:2])
print(size, addresses, resident)
"""


def after_steps(times: int) -> tuple[int, int, int]:
    """Three sizes in bytes: the step's temporary memory, and the process's addresses and memory."""
    run = subprocess.run(
        [sys.executable, "-c", STEPS.replace("{times}", str(times))],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    size, addresses, resident = map(int, run.stdout.split())
    return size, addresses, resident


@pytest.mark.slow
@GLIBC
def test_what_steps_wrote_to_stays_with_the_process_and_is_no_more_than_one_needs():
    size, _, given_back = after_steps(0)
    assert size > 100 * MB
    _, _, kept = after_steps(1)
    assert kept - given_back == pytest.approx(size, abs=20 * MB)  # other allocations


@pytest.mark.slow
@GLIBC
def test_steps_that_are_compiled_again_take_turns_with_one_block():
    (size, once, kept), (_, often, still_kept) = after_steps(1), after_steps(4)
    assert often - once < size / 8
    assert still_kept == pytest.approx(kept, abs=20 * MB)


@pytest.mark.parametrize("size, library", [(heap.LARGE - 1, "glibc"), (heap.LARGE, "")])
def test_small_steps_and_other_allocators_are_left_alone(size, library, monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: (library, ""))
    monkeypatch.delattr(heap, "ctypes")
    heap.reserve.cache_clear()
    heap.reserve(size)
    heap.reserve.cache_clear()


def test_a_step_on_one_cpu_reserves_the_memory_that_it_needs(config, monkeypatch):
    def step(state, batch):
        films = batch["image"].reshape(len(batch["label"]), -1).astype(jnp.float32)
        return state + 1, {"loss": jnp.sum(jnp.sin(films.T @ films) @ films.T)}

    asked = []
    monkeypatch.setattr(heap, "reserve", asked.append)
    mesh = make_mesh()
    state = jax.device_put(jnp.float32(0), replicated(mesh))
    compiled = compile_step(step, state, config, mesh)
    assert asked == [compiled.memory_analysis().temp_size_in_bytes]
    assert asked[0] > 0
