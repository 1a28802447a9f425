"""Training and evaluation from Python: the files of the command line, without its output."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import pneumojax
from pneumojax.api.figures import Figure
from pneumojax.api.load import load, train
from pneumojax.api.model import Evaluated
from pneumojax.api.training import checked
from pneumojax.cli import commands
from pneumojax.cli.parsing import parse
from pneumojax.cli.verbs import VERBS
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError

# Times and the machine's load differ between two runs of one config.
_MEASURED = ("seconds_per_step", "data_wait")


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory, cache_dir):
    """A run that was trained by the Python interface for one epoch."""
    config = make_config().copy_and_resolve_references()
    config.unlock()
    config.epochs = 1
    folder = tmp_path_factory.mktemp("trained") / "run"
    return train(config, folder, cache_dir=cache_dir), folder, config


def history_of(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in _MEASURED} for line in lines]


@pytest.mark.slow
def test_a_run_is_that_of_the_command_line(trained, films_root, tmp_path, cache_dir, monkeypatch):
    model, folder, config = trained
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import json\nfrom ml_collections import ConfigDict\n"
        "from pneumojax.run.stored_config import completed\n"
        f"def get_config():\n    return completed(json.loads({config.to_json()!r})).unlock()\n"
    )
    arguments = ["train", "--config=mine.py", "--workdir=cli", f"--cache_dir={cache_dir}"]
    commands.train(parse(arguments, tuple(VERBS)))
    assert history_of(tmp_path / "cli") == history_of(folder)
    for file in ("config.json", "films.csv", "evaluation/val/predictions.csv"):
        assert (tmp_path / "cli" / file).read_bytes() == (folder / file).read_bytes()
    films = films_root / "test"
    assert np.array_equal(
        load(tmp_path / "cli").predict(films).probability, model.predict(films).probability
    )


@pytest.mark.slow
def test_an_evaluation_gives_the_figures_of_its_report(trained, films_root, tmp_path, capfd):
    model, folder, _ = trained
    capfd.readouterr()
    evaluated = model.evaluate(films_root, split="test", output=tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    record = json.loads((evaluated.folder / "metrics.json").read_text())
    assert evaluated.films == record["n"] == 14 and evaluated.report.is_file()
    assert evaluated.folder.is_relative_to(tmp_path / "out")
    assert evaluated.figures["auroc"].value == record["auroc"]["value"]
    (few,) = evaluated.warnings
    assert "fewer than 20 films of NORMAL" in few
    assert model.info.figures["auroc"].value == pytest.approx(
        json.loads((folder / "evaluation/val/metrics.json").read_text())["auroc"]["value"]
    )


@pytest.mark.slow
def test_an_evaluation_of_training_films_warns_as_its_report_does(trained, tmp_path):
    evaluated = trained[0].evaluate(split="train", output=tmp_path)
    (seen, *_) = evaluated.warnings
    assert f"was trained on {evaluated.films} of these {evaluated.films} films" in seen
    report = evaluated.report.read_text()
    for line in evaluated.warnings:
        assert line in repr(evaluated).splitlines() and line[1:] in report


def test_an_evaluation_shows_its_figures_with_its_warnings():
    figures = {"auroc": Figure(0.9, 0.8, 0.95)}
    shown = repr(Evaluated(5, figures, Path("out"), ("warning: seen\x1b[2J",))).splitlines()
    assert shown == [
        "5 films: out/report.html",
        "auroc: 0.900 (0.800 to 0.950)",
        r"warning: seen\x1b[2J",
        DISCLAIMER,
    ]


@pytest.mark.slow
def test_a_run_whose_rule_has_changed_is_loaded_with_a_new_decision(trained, tmp_path, cache_dir):
    model, folder, _ = trained
    changed = shutil.copytree(folder, tmp_path / "changed")
    values = json.loads((changed / "config.json").read_text())
    values["decision"] |= {"rule": "cost", "cost_ratio": 50.0}
    (changed / "config.json").write_text(json.dumps(values))
    found = load(changed, cache_dir=cache_dir)
    stored = json.loads((changed / "decision.json").read_text())["decision"]
    assert stored["rule"] == "cost" and stored["threshold"] == found.threshold != model.threshold
    assert load(changed, cache_dir=tmp_path / "another").threshold == found.threshold


def test_a_config_is_found_by_name_and_can_be_changed():
    config = pneumojax.get_config("reference")
    config.epochs = 3
    assert config.epochs == 3 and pneumojax.get_config("reference").epochs == 32
    with pytest.raises(UserError, match="'referense' is neither a file nor a config.* quick"):
        pneumojax.get_config("referense")


def test_a_wrong_config_is_refused_before_anything_is_written(tmp_path):
    config = pneumojax.get_config("quick")
    config.epochs = 0
    with pytest.raises(UserError, match="config.epochs"):
        train(config, tmp_path / "run")
    with pytest.raises(UserError, match="config is dict; pass a ConfigDict"):
        checked({"epochs": 1})
    assert not (tmp_path / "run").exists()
