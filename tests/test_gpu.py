"""A smoke test for whoever has a GPU: training, resuming, evaluation and a profile on it.

python -m pytest tests/test_gpu.py
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.evaluation.evaluate import evaluate_run
from pneumojax.inference.network import make_network
from pneumojax.profiling.profile import profile
from pneumojax.run.history import read_history, read_lines
from pneumojax.training.loop import train
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state


@pytest.fixture(autouse=True)
def on_gpu():
    """Skips where JAX sees no GPU."""
    if jax.default_backend() != "gpu":
        pytest.skip("JAX sees no GPU here")


def of(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    config.batch_size = 8 * jax.device_count()
    return config.lock()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_trains_resumes_and_is_evaluated(config, tmp_path, cache_dir, dtype):
    config = of(config, model__dtype=dtype, epochs=2)
    train(config, tmp_path / "run", cache_dir)
    train(config, tmp_path / "run", cache_dir)  # a finished run is restored and left alone
    steps = [line for line in read_lines(tmp_path / "run" / "metrics.jsonl") if line["step"]]
    assert all(np.isfinite(line["loss"]) for line in steps if line["kind"] == "step")
    assert len(read_history(tmp_path / "run")) == 2
    evaluate_run([tmp_path / "run"], cache_dir)
    assert (tmp_path / "run" / "evaluation" / "val" / "metrics.json").exists()


def test_logits_on_the_gpu_are_the_cpus(config):
    network = make_network(config)
    cpu = jax.devices("cpu")[0]
    films = np.random.default_rng(0).random((8, 32, 32, 1), np.float32)
    with jax.default_device(cpu):
        params = initial_state(config, make_optimizer(config, 1)).params
        expected = network.logits(params, jnp.asarray(films))["auxiliary"]
    found = jax.jit(network.logits)(jax.device_put(params, jax.devices()[0]), films)["auxiliary"]
    # TF32 keeps ten bits: 2^-11 a rounding, some ten roundings a value, logits below one.
    np.testing.assert_allclose(found, expected, atol=0.005)


def test_a_profile_reads_the_streams_and_the_memory_of_the_gpu(config, tmp_path, cache_dir):
    profile(of(config), tmp_path / "profile", cache_dir)
    result = json.loads((tmp_path / "profile" / "profile.json").read_text())
    assert result["memory_bytes"]["device_peak_bytes_in_use"][0] > 0
    assert any(row["direction"] == "backward" for row in result["operations"])
    assert 0 < result["speed"]["share_of_peak"] < 1
