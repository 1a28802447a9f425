"""The network of docs/extending.md that is no Inception, from its file to every verb."""

import csv
import json
import re
from pathlib import Path

import pytest

from pneumojax.cli.program import main

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()


@pytest.fixture
def run(tmp_path, monkeypatch, films_root):
    """`command -> None` runs a command of the page on small films, beside the page's file."""
    (source,) = (text for text in _blocks("python") if "class ResNet" in text)
    assert len([line for line in source.splitlines() if line]) <= 40
    (tmp_path / "my_resnet.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("films").symlink_to(films_root / "test")
    small = [f"--config.data.root={films_root}", "--config.data.image_size=32"]
    small += ["--config.batch_size=16", "--config.epochs=2", f"--cache_dir={tmp_path / 'cache'}"]

    def run(command):
        main(command.removeprefix("python main.py").split() + small)

    return run


@pytest.mark.slow
def test_the_resnet_of_the_page_is_trained_predicted_evaluated_profiled_and_exported(run):
    (commands,) = (text for text in _blocks("bash") if "my_resnet" in text)
    assert len(commands.splitlines()) == 5
    for command in commands.splitlines():
        run(command)
    folder = Path("runs", "resnet")
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in losses if line["kind"] == "epoch"] == [1, 2]
    with open(folder / "predictions.csv") as file:
        assert len(list(csv.DictReader(file))) == 14
    metrics = json.loads((folder / "evaluation" / "test" / "metrics.json").read_text())
    assert metrics["n"] == 14
    assert Path("resnet_onnx", "model.onnx").is_file()


@pytest.mark.slow
def test_the_resnet_of_the_page_is_crossvalidated_and_its_folds_predict(run):
    folds = "--config=my_resnet.py --workdir=runs/folds --config.data.folds=2"
    run(f"crossvalidate {folds}")
    run(f"predict {folds} films --output=folds.csv")
    assert len(Path("folds.csv").read_text().splitlines()) == 15


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
