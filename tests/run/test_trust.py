"""A stranger's run folder: the class that its config names is imported only if a user asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.inference.predictor import Predictor
from pneumojax.inference.trained_run import open_run
from pneumojax.run.begin import begin
from pneumojax.run.stored_config import read_config, refuse_foreign_network
from pneumojax.training.warm_start import read_source

ROOT = Path(__file__).parents[2]


@pytest.fixture
def theirs(tmp_path, config, monkeypatch):
    """A run folder with its own network class, whose file creates a marker when it is run."""
    folder = tmp_path / "theirs"
    begin(folder, config)
    values = json.loads((folder / "config.json").read_text())
    values["model"]["network"] = "theirs.payload:Network"
    (folder / "config.json").write_text(json.dumps(values))
    marker = tmp_path / "marker"
    (folder / "payload.py").write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).touch()\nclass Network: pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "theirs.payload", raising=False)
    return folder, marker


@pytest.mark.parametrize(
    "read",
    [open_run, read_source, lambda folder: Predictor.open([folder])],
    ids=["open_run", "read_source", "predictor"],
)
def test_a_network_of_elsewhere_is_not_imported(theirs, read):
    folder, marker = theirs
    with pytest.raises(UserError, match="'theirs.payload:Network', which is not .*--any_network"):
        read(folder)
    assert not marker.exists()


@pytest.mark.parametrize("network", [{}, {"a": 1}, "two\nlines"])
def test_a_network_that_is_no_name_is_refused_in_one_line(network, tmp_path):
    config = ConfigDict({"model": {"network": network}})
    with pytest.raises(UserError) as told:
        refuse_foreign_network(config, tmp_path)
    assert len(str(told.value).splitlines()) == 1


def test_it_is_where_a_user_says_so(theirs):
    folder, marker = theirs
    with pytest.raises(UserError):  # the class is not a network, but its file has run
        open_run(folder, any_network=True)
    assert marker.exists()


VERBS = ["evaluate", "predict", "serve", "summary", "profile", "preview"]


@pytest.mark.parametrize(
    "mode", [pytest.param(m, marks=[] if m == "predict" else pytest.mark.slow) for m in VERBS]
)
def test_every_verb_asks_for_the_flag(theirs, mode, tmp_path):
    folder, marker = theirs
    (tmp_path / "film.png").write_bytes(b"x")
    command = [sys.executable, "main.py", f"--mode={mode}", f"--workdir={folder}"]
    command += [f"--cache_dir={tmp_path}"] + (["--port=0"] if mode == "serve" else [])
    command += [str(tmp_path / "film.png")] if mode == "predict" else []
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    told = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and told.startswith("error: ") and "--any_network" in told
    assert "Traceback" not in done.stderr and not marker.exists()


@pytest.mark.parametrize(
    "text",
    ["[]", "3", "null", '{"data": 1}', '{"data": {}, "loss": [], "model": {}}', "{", "\xff", "{}"],
)
def test_a_config_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="config"):
        read_config(tmp_path)
