"""Full and read-only disks and damaged files give one clear line, and lose nothing."""

import shutil
import subprocess

import numpy as np
import pytest

from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.tracking.files import MetricsFile
from pneumojax.tracking.tracker import Outcome, Record

pytestmark = pytest.mark.fault


@pytest.fixture
def small_disk(tmp_path):
    """`(kilobytes) -> a folder on a disk of that size`; a second call changes the size."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = []

    def sized(kilobytes, options=""):
        how = f"size={kilobytes}k{options}" + (",remount" if mounted else "")
        result = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(disk)], capture_output=True
        )
        if result.returncode:
            pytest.skip("no right to mount a small disk here")
        mounted.append(disk)
        return disk

    yield sized
    if mounted:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def only_line(result):
    """The one line that a failing command must print."""
    assert result.returncode == 1, result.stdout
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def undisturbed(small, run_command, tmp_path_factory):
    """The predictions of a run with enough space."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    result = run_command(small(run))
    assert result.returncode == 0, result.stderr
    return (run / "evaluation" / "val" / "predictions.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [20, 60, 700, 1100])
def test_a_full_disk_ends_a_run_with_one_line_and_with_room_it_goes_on(
    small, run_command, small_disk, undisturbed, kilobytes
):
    """At these sizes the list of films, the metrics or a checkpoint is what does not fit."""
    run = small_disk(kilobytes) / "run"
    assert "No space left on device" in only_line(run_command(small(run)))
    small_disk(50_000)
    result = run_command(small(run))
    assert result.returncode == 0, result.stderr
    assert (run / "evaluation" / "val" / "predictions.csv").read_text() == undisturbed
    assert not [path for path in run.rglob("*") if "tmp" in path.name]


@pytest.mark.slow
def test_a_read_only_file_system_is_one_line_for_run_and_cache(small, run_command, small_disk):
    disk = small_disk(1_000)
    small_disk(1_000, ",ro")
    assert "Read-only file system" in only_line(run_command(small(disk / "run")))
    line = [flag for flag in small(disk / "run") if not flag.startswith("--cache_dir")]
    assert "Read-only file system" in only_line(run_command([*line, f"--cache_dir={disk / 'c'}"]))


def load(root, cache_dir, log=lambda line: None, max_gb=0.0):
    cache = FilmCache(cache_dir, max_gb, log=log)
    return load_split(find_films(root), "train", Preprocessing(32), cache, max_rejected_fraction=0)


def test_a_full_disk_under_the_cache_is_one_line_and_leaves_nothing(films_root, small_disk):
    disk = small_disk(40)
    with pytest.raises(
        UserError, match="more than 90% of the .* free in the cache folder; in shards"
    ):
        load(films_root, disk)
    assert list(disk.iterdir()) == []
    with pytest.raises(UserError, match="^cannot write .*No space left on device"):
        load(films_root, disk, max_gb=1.0)
    assert list((disk / "films").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["images.npy", "films.bin", "paths.bin", "rejected.json", "checksums.json"]
)
def test_a_flipped_byte_in_the_cache_is_seen_and_the_films_are_decoded_again(
    films_root, tmp_path, name
):
    films = load(films_root, tmp_path)
    pixels = films.pixels(np.arange(len(films)))
    (entry,) = (tmp_path / "films").iterdir()
    data = bytearray((entry / name).read_bytes())
    data[len(data) // 2] ^= 1
    (entry / name).write_bytes(data)
    told = []
    again = load(films_root, tmp_path, told.append)
    assert "is damaged; decoding its films again" in told[0]
    assert np.array_equal(again.pixels(np.arange(len(again))), pixels)
    assert load(films_root, tmp_path, told.append).paths == again.paths
    assert sum("damaged" in line for line in told) == 1


@pytest.mark.parametrize("checksums", ["{}", "[]", "null", '{"images.npy": 0}', "[" * 100_000])
def test_a_list_of_checksums_that_leaves_files_out_does_not_vouch_for_them(
    films_root, tmp_path, checksums
):
    films = load(films_root, tmp_path)
    pixels = films.pixels(np.arange(len(films)))
    (entry,) = (tmp_path / "films").iterdir()
    with open(entry / "images.npy", "r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x7f")
    (entry / "checksums.json").write_text(checksums)
    told = []
    again = load(films_root, tmp_path, told.append)
    assert "is damaged; decoding its films again" in told[0]
    assert np.array_equal(again.pixels(np.arange(len(again))), pixels)


@pytest.mark.slow
def test_a_damaged_shard_ends_a_run_with_one_line_and_verified_it_goes_on(
    small, run_command, tmp_path, undisturbed
):
    streamed = ("--config.data.max_cache_gb=0.000001", f"--cache_dir={tmp_path / 'cache'}")
    assert run_command(small(tmp_path / "first", *streamed)).returncode == 0
    (shard,) = (tmp_path / "cache" / "shards").glob("*/*.array_record-*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    failed = run_command(small(tmp_path / "second", *streamed))
    line = failed.stderr.splitlines()[-1]  # TensorFlow prints a line before
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert line.startswith("error: --cache_dir: the shards in ") and "--verify_films" in line
    assert run_command(small(tmp_path / "second", *streamed, "--verify_films")).returncode == 0
    predictions = tmp_path / "second" / "evaluation" / "val" / "predictions.csv"
    assert predictions.read_text() == undisturbed


def test_films_that_vanish_while_they_are_decoded_are_told_and_leave_no_entry(
    films_root, tmp_path, monkeypatch
):
    from pneumojax.data import cache_build

    root = shutil.copytree(films_root, tmp_path / "films")
    read = cache_build.read_bytes

    def vanishing(path):
        if path.name.startswith("person"):
            shutil.rmtree(root / "train" / "PNEUMONIA", ignore_errors=True)
        return read(path)

    monkeypatch.setattr(cache_build, "read_bytes", vanishing)
    with pytest.raises(UserError, match="the folder changed or vanished while its films were"):
        load(root, tmp_path / "cache")
    assert list((tmp_path / "cache" / "films").iterdir()) == []


@pytest.mark.slow
def test_a_film_that_was_replaced_between_two_starts_is_refused(
    small, run_command, films_root, tmp_path
):
    root = shutil.copytree(films_root, tmp_path / "films")
    line = small(tmp_path / "run", f"--config.data.root={root}")
    assert run_command(line).returncode == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    first, second = sorted((root / "train" / "NORMAL").iterdir())[:2]
    shutil.copyfile(second, first)
    assert "have changed since" in only_line(run_command(line))
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_file_where_a_checkpoint_folder_should_be_is_one_line(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(
        UserError, match="cannot write .*checkpoints.: (Not a directory|File exists)"
    ):
        Checkpoints(tmp_path / "checkpoints").save_best(1, {"w": np.ones(3)}, {})


def test_metrics_that_cannot_be_written_are_one_line(small_disk):
    disk = small_disk(12)
    lines = MetricsFile(disk, 0, {})
    with pytest.raises(UserError, match="No space left on device"):
        for step in range(1000):
            lines.write(Record("step", step, 1, {"loss": 0.5}))
    small_disk(100)
    lines.close(Outcome.FAILED)
