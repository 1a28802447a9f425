"""Apache Beam itself: two workers, a worker that is killed, and the same results as without it.

Run it with `pytest -m beam tests/beam` in the environment of docs/beam.md.
"""

import pytest

from pneumojax.beam.engine import Engine
from pneumojax.beam.ingest import ingest
from pneumojax.beam.predict import Runs, predict_shards
from pneumojax.errors import UserError
from pneumojax.files import read_csv
from pneumojax.predict.sources import Sources
from tests.beam.conftest import InThisProcess
from tests.beam.counting import Counting

# Beam and the packages that it brings warn of their own deprecations.
pytestmark = [pytest.mark.beam, pytest.mark.filterwarnings("ignore")]

SHARDS = [str(number) for number in range(8)]


def workers_of(job):
    return {worker for _, worker in job.lines}


def test_two_workers_finish_each_shard_once(tmp_path):
    job = Counting(tmp_path)
    Engine(2).run(SHARDS, job)
    assert sorted(shard for shard, _ in job.lines) == SHARDS and len(workers_of(job)) == 2


def test_when_a_worker_is_killed_no_shard_is_lost_or_finished_twice(tmp_path, capsys):
    job = Counting(tmp_path, kills=1)
    Engine(2).run(SHARDS, job)
    assert sorted(shard for shard, _ in job.lines) == SHARDS
    # The killed worker may have finished a shard before, or none.
    assert (tmp_path / "kills").read_text() == "x"
    assert "a worker was killed" in capsys.readouterr().out


def test_workers_that_are_always_killed_end_the_job_with_one_line(tmp_path):
    job = Counting(tmp_path, kills=99)
    with pytest.raises(UserError, match="killed 3 times without finishing a shard"):
        Engine(2).run(["3"], job)


def test_the_error_of_a_worker_arrives_as_one_line(tmp_path):
    with pytest.raises(UserError) as error:
        Engine(2).run(SHARDS, Counting(tmp_path, refused="5"))
    assert str(error.value) == "shard 5 is refused; name another"


def test_two_workers_ingest_what_one_process_does(make_config, films_with_damage, tmp_path):
    config = make_config().unlock()
    config.data.root, config.data.max_rejected_fraction = str(films_with_damage), 0.1
    contents = []
    for cache, runner in (("two", Engine(2)), ("one", InThisProcess())):
        (place,) = ingest(config, None, tmp_path / cache, 16, runner)
        files = sorted(path for path in place.rglob("*") if path.is_file())
        contents.append([(path.relative_to(place), path.read_bytes()) for path in files])
    assert len(contents[0]) > 20 and contents[0] == contents[1]


def test_two_workers_predict_what_one_process_does(workdir, films_root, tmp_path, cache_dir):
    def predict(output, runner, suffix=".csv"):
        runs, sources = Runs((workdir,), False, cache_dir), Sources([str(films_root)])
        return predict_shards(
            runs, sources, tmp_path / output, films_per_shard=1, suffix=suffix, runner=runner
        ).files

    one = [file.read_bytes() for file in predict("one", InThisProcess())]
    assert [file.read_bytes() for file in predict("two", Engine(2))] == one and len(one) > 1


def test_parquet_has_the_rows_of_the_csv(workdir, films_with_damage, tmp_path, cache_dir):
    import pyarrow.parquet

    rows = {}
    for suffix in (".csv", ".parquet"):
        predicted = predict_shards(
            Runs((workdir,), False, cache_dir),
            Sources([str(films_with_damage / "train")]),
            tmp_path / suffix,
            films_per_shard=1,
            suffix=suffix,
            runner=InThisProcess(),
        )
        assert predicted.unreadable == 1
        rows[suffix] = predicted.files
    csv = [row for file in rows[".csv"] for row in read_csv(file)]
    table = pyarrow.parquet.read_table(list(map(str, rows[".parquet"])))
    assert table.column_names == list(csv[0])
    for ours, theirs in zip(table.to_pylist(), csv, strict=True):
        for name, text in theirs.items():
            value = ours[name]
            assert (
                (float(text or "nan") == value or not text)
                if isinstance(value, float)
                else ((value or "") == text)
            )
