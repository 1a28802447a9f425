"""Predictions are written to regular files only, and a full disk destroys no row."""

import os
import resource
import signal

import pytest

from pneumojax.errors import UserError
from pneumojax.predict.destination import check_destination, make_new
from pneumojax.predict.output import COLUMNS, PredictionFile
from pneumojax.predict.prediction import RunStamp
from tests.predict.test_output import OF_RUN, ROWS, each_kind, prediction, written


@pytest.fixture
def bounded_files():
    """`(bytes)`: no file of this process may grow beyond."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_only_a_regular_file_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "null", "/dev/full", "/proc/self/comm", tmp_path):
        for check in (check_destination, lambda path: written(path)):
            with pytest.raises(UserError, match="is (not a regular file|a folder)"):
                check((tmp_path / path).resolve())


@each_kind
def test_a_full_disk_is_one_line_and_leaves_whole_rows(tmp_path, bounded_files, name):
    path = tmp_path / name
    written(path, ROWS[:1])
    size = path.stat().st_size
    bounded_files(size + 50)  # the disk is full in the middle of the next row
    with (
        pytest.raises(UserError, match="^cannot write .*File too large"),
        PredictionFile(path, RunStamp(**OF_RUN)) as predictions,
    ):
        predictions.append(map(prediction, ROWS[1:2]))
    assert path.stat().st_size == size
    bounded_files(1 << 30)
    written(path)
    whole = tmp_path / f"whole{path.suffix}"
    written(whole)
    assert path.read_bytes() == whole.read_bytes()


@each_kind
def test_a_file_of_an_earlier_version_is_refused_and_left_alone(tmp_path, name):
    path = tmp_path / name
    columns = [column for column in COLUMNS if column not in ("path", "sha256")]
    text = ",".join(columns) + "\r\n"
    if name == "p.jsonl":
        text = "{" + ", ".join(f'"{column}": ""' for column in columns) + "}\n"
    path.write_bytes(text.encode())
    with pytest.raises(UserError, match="an earlier version wrote it"):
        written(path)
    assert path.read_bytes() == text.encode()


def test_a_large_file_of_zeros_is_refused_without_being_read(tmp_path):
    with open(tmp_path / "p.csv", "wb") as stream:
        stream.truncate(1 << 40)  # a sparse file, which takes no space
    with pytest.raises(UserError, match="its first line is not"):
        written(tmp_path / "p.csv")


@pytest.mark.parametrize("value", ["0_1", "nan", " 0.5", "٠.٥", "2", "[1]"])
def test_a_row_with_no_plain_number_is_refused(tmp_path, value):
    path = tmp_path / "p.csv"
    written(path, ROWS[:1])
    path.write_bytes(path.read_bytes().replace(b"0.125", value.encode()))
    with pytest.raises(UserError, match="one of its lines is not a prediction"):
        written(path)


def test_default_names_are_never_given_twice(tmp_path):
    assert [make_new(tmp_path / "predictions.csv").name for _ in range(3)] == [
        "predictions.csv",
        "predictions-2.csv",
        "predictions-3.csv",
    ]
