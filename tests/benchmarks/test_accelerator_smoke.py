"""The accelerator benchmark as a user runs it, on a CPU with tiny shapes."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A process in which only these packages, and those they need themselves, can be imported.
ALLOWED = ("jax", "flax", "optax", "orbax-checkpoint", "ml_collections", "numpy", "pillow")
ONLY_ALLOWED = f"""
import importlib.metadata as metadata, re, runpy, sys

allowed, waiting = {{"pneumojax"}}, list({ALLOWED!r}) + ["matplotlib"]
while waiting:
    name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
    if name not in allowed:
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        allowed.add(name)
        waiting += [re.match(r"[\\w.-]+", line)[0] for line in needed if "extra ==" not in line]
owners = metadata.packages_distributions()


class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        packages = [re.sub(r"[-_.]+", "-", package).lower() for package in owners.get(top, [])]
        if packages and not allowed & set(packages):
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)


sys.meta_path.insert(0, Blocked())
sys.argv = ["benchmarks.accelerator", *sys.argv[1:]]
runpy.run_module("benchmarks.accelerator", run_name="__main__")
"""


def smoke(output, *flags, devices=1):
    """The command of a smoke run without packages that it must not need, and its environment."""
    line = [sys.executable, "-c", ONLY_ALLOWED, "--smoke", f"--output={output}", *flags]
    variables = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(output / "xla"),
    }
    if devices > 1:
        variables["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    return {"args": line, "cwd": ROOT, "env": variables, "text": True}


def run(output, *flags, **options):
    ended = subprocess.run(**smoke(output, *flags, **options), capture_output=True)
    assert ended.returncode == 0, ended.stderr
    (path,) = output.glob("*.json")
    return json.loads(path.read_text()), ended.stdout


@pytest.mark.slow
def test_the_ceilings_are_measured_and_stored(tmp_path):
    record, shown = run(tmp_path, "--only=ceilings")
    found = record["cases"]["ceilings"]["result"]
    assert set(found["flops_per_second"]) == {"tf32", "bfloat16", "float32"}
    assert record["identity"]["platform"] == "cpu" and record["identity"]["smoke"] is True
    assert "complete" in shown and "GB/s" in shown


def test_a_package_that_must_not_be_needed_is_blocked(tmp_path):
    program = ONLY_ALLOWED.replace('runpy.run_module("benchmarks', 'import tensorflow  # ("')
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "tensorflow is blocked" in ended.stderr


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A smoke run that was killed twice at random moments, and was then left to its end.

    Returns its folder, the finished cases after each start, and its record.
    """
    output, rng, finished = tmp_path_factory.mktemp("killed"), random.Random(0), []
    for _ in range(2):
        child = subprocess.Popen(
            **smoke(output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(5, 40))
        child.send_signal(signal.SIGKILL)
        child.wait()
        for path in output.glob("*.json"):
            cases = json.loads(path.read_text())["cases"]
            finished.append({name for name, case in cases.items() if "result" in case})
    record, _ = run(output)
    return output, [*finished, set(record["cases"])], record


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_instant_goes_on_and_loses_no_case(killed):
    output, finished, _ = killed
    assert len(finished) > 1
    assert all(earlier <= later for earlier, later in itertools.pairwise(finished))
    assert not list(output.glob(".*"))


@pytest.mark.slow
def test_a_smoke_run_ends_with_every_case(killed):
    output, _, record = killed
    assert record["missing"] == [] and record["begun"] == {}
    cases = record["cases"]
    assert all("result" in case for case in cases.values())
    parts = {name.split("/")[0] for name in cases}
    assert parts == {"ceilings", "correctness", "training", "pytorch", "inference", "profile"}
    errors = cases["correctness/reference"]["result"]["errors"]
    assert (
        errors["tf32"] == errors["float32"]
        and "CPU" in cases["correctness/reference"]["result"]["note"]
    )
    # float32 keeps 24 bits; cancellation in small gradients costs some of them.
    assert errors["float32"]["by_tensor"]["loss"] < 1e-5 < errors["bfloat16"]["by_tensor"]["loss"]
    step = cases["training/base/bfloat16/16"]["result"]
    assert step["steps_per_call"] == 16 and step["films_per_second"] > 0
    assert (output / cases["profile/base/bfloat16"]["result"]["trace"]).exists()
    assert cases["profile/base/bfloat16"]["result"]["kernels"]


@pytest.mark.slow
def test_several_devices_report_how_they_scale(tmp_path):
    record, _ = run(tmp_path, "--only=scaling", devices=2)
    found = record["cases"]["scaling/base/bfloat16"]["result"]
    assert [point["devices"] for point in found["weak"]] == [1, 2]
    assert [point["films"] for point in found["weak"]] == [4, 8]
    assert [point["films"] for point in found["strong"]] == [4, 4]
    assert found["weak"][0]["efficiency"] == found["strong"][0]["efficiency"] == 1
