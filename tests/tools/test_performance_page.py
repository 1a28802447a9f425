"""The counted layers do the work of the network, and the page names the figures of the record."""

import json
from pathlib import Path

import pytest

from benchmarks import roofline
from pneumojax.configs import base
from pneumojax.inference.network import make_network
from pneumojax.profiling.work import count_work
from tools.docs import profiles

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "roofline.md").read_text()
STORED = json.loads(roofline.STORED.read_text())


def test_layers_do_the_work_that_the_network_does():
    config = base.get_config()
    work = count_work(make_network(config), config.data.image_size)
    products = [layer for layer in roofline.layers(config) if layer.weights]
    assert sum(layer.flops("forward", 1) for layer in products) == 2 * work.forward
    assert sum(layer.flops("backward", 1) for layer in products) == 2 * work.backward


def test_bytes_are_each_tensor_read_or_written_once():
    (layer,) = [each for each in roofline.layers(base.get_config()) if each.name == "stem2"]
    before, after, weights = 74 * 74 * 32, 72 * 72 * 32, 9_248
    assert layer.bytes("forward", 64, 2) == 64 * 2 * (before + after) + 4 * weights
    # Gradient of the output, saved output and input, gradient of the input; weights and gradients.
    assert layer.bytes("backward", 64, 2) == 64 * 2 * 2 * (before + after) + 2 * 4 * weights


def test_the_stored_roofline_is_that_of_the_code_on_the_measured_machine():
    assert json.loads(json.dumps(roofline.roofline(STORED["cpu"]))) == STORED


@pytest.mark.parametrize("batch", ["64", "256"])
def test_a_layer_is_bound_by_the_longer_of_its_two_times(batch):
    for row in STORED["batches"][batch]:
        for entry in (row["forward"], row["backward"]):
            for name in ("H100 TF32", "this CPU"):
                limit = STORED["limits"][name]
                balance = limit["flops_per_second"] / limit["bytes_per_second"]
                bound = "compute" if entry["intensity"] > balance else "memory"
                assert entry["bound"][name] == bound


def test_numbers_in_the_text_are_those_of_the_roofline():
    assert STORED["command"] in PAGE
    highest = max(
        row[direction]["intensity"]
        for row in STORED["batches"]["64"]
        for direction in roofline.PASSES
    )
    tf32 = STORED["limits"]["H100 TF32"]
    balance = tf32["flops_per_second"] / tf32["bytes_per_second"]
    assert f"at most {highest:.0f} operations for each byte" in PAGE
    assert f"an H100 needs {balance:.0f} to be busy" in PAGE
    for name in ("H100 TF32", "H100 bfloat16"):
        rows = STORED["batches"]["64"]
        total, memory = roofline.step_seconds(rows, name)
        assert memory == total  # "every layer is bounded by memory"


def test_a_stored_profile_names_no_folder_of_a_machine():
    for name, row in profiles.load().items():
        assert row["command"].startswith("python main.py --mode=profile"), name
        assert not Path(row["config"]["data"]["root"]).is_absolute()
