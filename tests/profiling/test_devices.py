"""Known devices have published peaks; those of all others are measured."""

from types import SimpleNamespace

import pytest

from benchmarks.roofline import measured_bandwidth
from pneumojax.profiling import devices


def of(kind, count=1, platform="gpu"):
    return [SimpleNamespace(device_kind=kind, platform=platform)] * count


@pytest.fixture
def measured(monkeypatch):
    """A matrix product that always reaches 7 GFLOP/s."""
    monkeypatch.setattr(devices, "measured_peak", lambda dtype: 7e9)


def test_a_known_device_answers_with_its_datasheet_and_in_the_unit_that_jax_uses():
    found = devices.peak(of("NVIDIA H100 80GB HBM3", 2), "float32")
    assert found.flops == 2 * 494.7e12 and "TF32" in found.source and "2 x" in found.source
    assert devices.peak(of("TPU v6 lite"), "float32").flops == 918e12


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("NVIDIA L40S", "float32"), ("Tesla T4", "bfloat16"), ("NVIDIA H100 80GB HBM3", "float64")],
)
def test_a_device_or_dtype_without_a_figure_is_measured(measured, kind, dtype):
    found = devices.peak(of(kind), dtype)
    assert found.flops == 7e9 and "measured" in found.source


def test_devices_of_a_cpu_share_its_cores(measured):
    assert devices.peak(of("cpu", 8, "cpu"), "float32").flops == 7e9
    assert devices.peak(of("NVIDIA L40S", 8), "float32").flops == 8 * 7e9


def test_measurements_are_of_a_plausible_size():
    # From a slow single core to a large server; a factor of 1,000 off would fail.
    assert 1e8 < devices.measured_peak("float32", size=256, seconds=0.05) < 1e14
    assert 1e8 < measured_bandwidth(megabytes=16, seconds=0.05) < 1e13
