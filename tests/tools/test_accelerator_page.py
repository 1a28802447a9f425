"""The page of the accelerator benchmark shows what a record holds, and what it lacks."""

import json

from tools.docs import accelerator

IDENTITY = {"card": "Some GPU", "devices": 1, "driver": "999", "jax": "0.12", "torch": ""}
IDENTITY |= {"python": "3.12", "host": "16 cores"}
STEP = {
    "films": 64,
    "median_seconds": 0.002,
    "p90_seconds": 0.003,
    "films_per_second": 32000.0,
    "flops_per_second": 5e13,
    "share_of_ceiling": 0.25,
    "share_of_roofline": 0.5,
    "compiled_from_cache": True,
    "compile_seconds": 1.0,
}


def test_a_record_is_rendered_with_what_failed_and_what_is_missing(tmp_path):
    record = {"identity": IDENTITY, "missing": ["resume/quick"]}
    record["cases"] = {
        "training/base/bfloat16/16": {"result": STEP},
        "profile/base/bfloat16": {"error": "MemoryError: too large"},
    }
    path = tmp_path / "some-gpu.json"
    path.write_text(json.dumps(record))
    text = accelerator.render(path)
    row = "| base/bfloat16/16 | 64 | 2 | 3 | 32,000 | 50 | 25 % | 50 % | cached |"
    assert row in text.splitlines()
    assert "Failed: `profile/base/bfloat16`: MemoryError: too large." in text
    assert "Not measured: resume/quick." in text


def test_smoke_runs_are_no_results(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "STORED", tmp_path)
    (tmp_path / "some-gpu-smoke.json").write_text("{}")
    assert accelerator.rendered() == accelerator.NONE
