"""Sharded predictions are those of the verb predict; a stopped job goes on by shard."""

import shutil

import pytest

from pneumojax.beam.predict import Runs, predict_shards
from pneumojax.errors import UserError
from pneumojax.inference.predictor import Predictor
from pneumojax.predict.answering import Answerer
from pneumojax.predict.predict import FilesToPredict, predict_files
from pneumojax.predict.sources import Sources
from tests.beam.conftest import InThisProcess


@pytest.fixture
def runs(workdir, cache_dir):
    return Runs((workdir,), False, cache_dir)


def shards(runs, films, output, runner=None, size=1):
    return predict_shards(
        runs,
        Sources([str(films)]),
        output,
        films_per_shard=size,
        suffix=".csv",
        runner=runner or InThisProcess(),
    )


@pytest.mark.slow
def test_the_shards_together_hold_the_rows_of_one_prediction(runs, films_with_damage, tmp_path):
    written = shards(runs, films_with_damage, tmp_path / "out")
    files = FilesToPredict.checked([str(films_with_damage)], tmp_path / "one.csv", None)
    predict_files(Answerer.of(Predictor.open(runs.workdirs)), files, tmp_path)
    header, *rows = (tmp_path / "one.csv").read_bytes().splitlines()
    parts = [file.read_bytes().splitlines() for file in written.files]
    assert len(parts) > 1 and all(part[0] == header for part in parts)
    assert [row for part in parts for row in part[1:]] == rows
    assert (written.films, written.unreadable) == (85, 1)


@pytest.mark.slow
def test_a_stopped_prediction_goes_on_with_the_shards_that_are_left(runs, films_root, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        shards(runs, films_root, tmp_path / "out", InThisProcess(stop_after=1))
    (whole,) = (tmp_path / "out").glob("*.csv")
    before = whole.stat().st_mtime_ns, whole.stat().st_ino
    later = InThisProcess()
    written = shards(runs, films_root, tmp_path / "out", later)
    assert len(later.finished) == len(written.files) - 1
    assert (whole.stat().st_mtime_ns, whole.stat().st_ino) == before


@pytest.mark.slow
def test_a_folder_of_other_predictions_is_refused(runs, films_root, tmp_path):
    films = shutil.copytree(films_root / "test", tmp_path / "films")
    shards(runs, films, tmp_path / "out")
    next(films.rglob("*.jpeg")).touch()
    with pytest.raises(UserError, match="holds predictions of other films; name another folder"):
        shards(runs, films, tmp_path / "out")
