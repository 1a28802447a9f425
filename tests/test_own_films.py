"""Films under other names and in tables, from the listing to the last page that shows them."""

import hashlib
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from pneumojax.api.load import load
from pneumojax.configs import base
from pneumojax.data.naming import KERMANY
from pneumojax.data.splits import load_splits
from pneumojax.data.table_writing import write_table
from pneumojax.errors import UserError
from pneumojax.evaluation.evaluate import evaluate_run
from pneumojax.evaluation.films import FilmChoice, choose_films
from pneumojax.run.stored_config import completed
from pneumojax.training.loop import train


@pytest.fixture
def as_table(make_config, films_root, tmp_path):
    """The config of the films as a table, whose paths begin at their folder."""
    write_table(films_root, tmp_path / "films.csv", KERMANY)
    config = make_config()
    with config.unlocked():
        config.data.table = str(tmp_path / "films.csv")
    return config


def test_a_folder_written_as_a_table_is_divided_in_the_same_way(config, as_table, cache_dir):
    folder, table = (load_splits(each, cache_dir) for each in (config, as_table))
    for one, other in ((folder.train, table.train), (folder.validation, table.validation)):
        for name in ("paths", "digests", "patients", "patients_known"):
            assert list(getattr(one, name)) == list(getattr(other, name))
        np.testing.assert_array_equal(one.labels, other.labels)
        every = np.arange(len(one))
        np.testing.assert_array_equal(one.pixels(every), other.pixels(every))
    assert folder.audit == table.audit


def test_a_table_without_splits_has_no_test_films(as_table, cache_dir, tmp_path):
    table = tmp_path / "films.csv"
    rows = [line.rsplit(",", 1)[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(rows))
    of_this_config = SimpleNamespace(first=SimpleNamespace(config=as_table))
    with pytest.raises(UserError, match="has no column 'split'.*--films=") as error:
        choose_films(FilmChoice("test"), of_this_config, cache_dir)
    assert error.value.flag == "split" and "\n" not in str(error.value)


@pytest.mark.slow
def test_a_folder_written_as_a_table_trains_to_the_same_bits(config, as_table, cache_dir, tmp_path):
    digests = []
    for name, each in (("folder", config), ("table", as_table)):
        train(each, tmp_path / name, cache_dir)
        meta = next((tmp_path / name / "checkpoints" / "best").glob("*/meta/metadata"))
        digests.append(json.loads(meta.read_text())["digests"])
    assert digests[0] == digests[1]
    table = tmp_path / "films.csv"
    recorded = json.loads((tmp_path / "table" / "provenance.json").read_text())["table"]
    assert recorded["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()


@pytest.mark.slow
def test_every_output_shows_the_names_of_the_runs_own_classes(
    config, films_root, cache_dir, tmp_path, capsys
):
    for split in ("train", "test"):
        for name, own in (("NORMAL", "clear"), ("PNEUMONIA", "Opacity")):
            shutil.copytree(films_root / split / name, tmp_path / "films" / split / own)
    with config.unlocked():
        config.data.root = str(tmp_path / "films")
        config.data.negative, config.data.positive = ("clear",), ("opacity",)
    run = tmp_path / "run"
    train(config, run, cache_dir)
    evaluate_run([run], cache_dir, FilmChoice("test"))
    film = next((tmp_path / "films" / "test" / "Opacity").iterdir())
    load(run).predict_files(film, tmp_path / "p.csv", progress=True)
    written = [run / "evaluation" / "test" / name for name in ("report.md", "predictions.csv")]
    texts = [path.read_text() for path in (*written, tmp_path / "p.csv")]
    for text in (*texts, capsys.readouterr().out):
        assert "opacity" in text
        # Names of files begin with NORMAL2.
        assert not re.search(r"pneumonia|PNEUMONIA|\bNORMAL\b", text)
    with config.unlocked():
        config.data.positive = ("clear",)
        config.data.negative = ("opacity",)
    (run / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(UserError, match="config.data.negative and positive"):
        evaluate_run([run], cache_dir)


def test_a_run_of_an_earlier_version_goes_on_ignoring_other_folders():
    stored = base.get_config().to_dict()
    del stored["data"]["ignored"], stored["data"]["negative"]
    config = completed(stored)
    assert (config.data.ignored, config.data.negative) == (("*",), ("NORMAL",))
