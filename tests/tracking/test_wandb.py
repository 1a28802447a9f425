"""A run in W&B's offline mode, read back as records of W&B's own."""

import json
import struct
import subprocess
import sys

import pytest

from pneumojax.config.flat import flatten
from pneumojax.tracking.relays import open_relays, report_files
from pneumojax.tracking.tracker import Record

BLOCK = 32_768  # bytes of a block in LevelDB's log format, which W&B's files have after 7 bytes


def records_of(path):
    """All records in the file of an offline run, as W&B's own classes."""
    from wandb.proto.wandb_internal_pb2 import Record as WandbRecord

    data, place, parts, records = path.read_bytes(), 7, b"", []
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if (left := BLOCK - place % BLOCK) < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(WandbRecord.FromString(parts))
            parts = b""
    return records


def of_kind(kind, records):
    return [getattr(each, kind) for each in records if each.WhichOneof("record_type") == kind]


@pytest.mark.slow
def test_an_offline_run_holds_the_config_each_step_and_the_report(
    tracked, tmp_path, monkeypatch, capsys
):
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    workdir, config = tmp_path / "run", tracked("wandb", seconds=240)
    report = workdir / "evaluation" / "val"
    report.mkdir(parents=True)
    for name in ("metrics.json", "report.html"):
        (report / name).write_text("{}")
    with open_relays(workdir, config, 0) as relays:
        for step in (1, 2):
            relays.write(Record("step", step, 1, {"loss": 0.5 / step}))
        relays.write(Record("epoch", 2, 1, {"val_loss": 0.125}))
        relays.keep("evaluation-val", report_files(report, workdir))
    assert "warning" not in capsys.readouterr().out
    (path,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    found = records_of(path)
    (run,) = of_kind("run", found)
    sent = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert {name: sent[name] for name in flatten(config)} == flatten(config)
    assert run.run_id == json.loads((workdir / "tracking.json").read_text())["id"]
    rows = [
        {item.nested_key[0]: json.loads(item.value_json) for item in row.item}
        for row in of_kind("history", found)
    ]
    assert [row["_step"] for row in rows] == [1, 2]
    assert [row["step/loss"] for row in rows] == [0.5, 0.25] and rows[1]["epoch/val_loss"] == 0.125
    (artifact,) = of_kind("artifact", found)
    assert (artifact.type, artifact.name) == ("report", f"evaluation-val-{run.run_id}")
    files = {entry.path for entry in artifact.manifest.contents}
    assert files == {"evaluation/val/metrics.json", "evaluation/val/report.html"}
    assert [ended.exit_code for ended in of_kind("exit", found)] == [0]
    # W&B's own command takes the folder for a run to upload.
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", str(path.parent)]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0 and run.run_id in told.stdout + told.stderr
