"""The fuzzer: what it counts and keeps, and that nothing breaks in a few of its runs."""

import random
import sys
import warnings

import pytest

from benchmarks import fuzz, fuzz_roads
from pneumojax import command_line
from pneumojax.data.decoding import FilmError, Preprocessing
from pneumojax.data.formats import decode_any
from pneumojax.errors import UserError


@pytest.mark.parametrize("road", fuzz.ROADS)
def test_nothing_breaks_in_some_inputs_and_the_corpus_grows(road, tmp_path):
    count = 500 if road in ("image", "dicom", "predictions") else 150  # the others are slower
    record = fuzz.fuzz(road, count, tmp_path, log=lambda line: None)
    assert record["executions"] == count and record["broken"] == []
    assert record["corpus"] == len(list((tmp_path / road / "corpus").iterdir())) > 3
    again = fuzz.fuzz(road, count, tmp_path, log=lambda line: None)
    assert again == record  # and it goes on from there: nothing is run twice


def test_an_input_is_a_function_of_its_number_and_the_corpus():
    corpus = fuzz_roads.pictures()
    first, again, other = (
        fuzz.changed(random.Random(seed), corpus)
        for seed in ("image 0 7", "image 0 7", "image 0 8")
    )
    assert first == again != other


class Progress:
    value = 0


@pytest.mark.parametrize("error", [KeyError("header"), MemoryError(), AssertionError()])
def test_any_exception_but_the_roads_own_is_kept_with_its_input(error, tmp_path, monkeypatch):
    def breaking(data, folder):
        if len(data) % 5 == 0:
            raise error
        return "read"

    monkeypatch.setitem(fuzz.ROADS, "image", (breaking, fuzz_roads.pictures))
    for name in ("corpus", "broken"):
        (tmp_path / name).mkdir()
    fuzz.executed("image", 0, 0, 100, fuzz_roads.pictures(), tmp_path, Progress())
    broken = list((tmp_path / "broken").iterdir())
    assert broken and all(len(path.read_bytes()) % 5 == 0 for path in broken)
    assert all(path.name.endswith(type(error).__name__) for path in broken)


def test_every_seed_of_the_picture_road_is_a_film_before_it_is_damaged():
    for data in fuzz_roads.pictures() + fuzz_roads.dicoms():
        try:
            assert decode_any(data, Preprocessing(16)).width in (24, 32)
        except FilmError as error:
            pytest.fail(f"{data[:8]!r}: {error}")


def test_checksums_are_mended_and_other_files_left_alone():
    png = next(data for data in fuzz_roads.pictures() if data.startswith(b"\x89PNG"))
    broken = png[:-1] + bytes([png[-1] ^ 1])
    assert fuzz.mended(broken) == png == fuzz.mended(png)
    assert fuzz.mended(b"\xff\xd8\xff") == b"\xff\xd8\xff"


def test_what_a_file_says_itself_makes_no_new_kind_of_answer(tmp_path):
    kinds = {
        fuzz_roads.read_predictions(f"file,probability\n{name},{value}\n".encode(), tmp_path)
        for name, value in (("a", "qwertz"), ("it's", '"z""x"'), ("line", "no file"), ("b", "2"))
    }
    assert len(kinds) == 1
    assert fuzz_roads.read_predictions(b"file,probability\na,0.5\n", tmp_path) not in kinds


BROKEN_CONFIGS = [  # each ended in a traceback once
    b"model.stem[0]=4",
    b"model.modules[9]=4",
    b"model.stem=" + b"((((((((--config.model.stem=" * 200,
    b"name=../../x",
    b"name=\xff",
    b"name=" + b"a" * 300,
    b"data.root=~nobody-here/films",
    b"model.stem=[32, 32, 6j]",
    b"model.stem=(b'x',)",
]


@pytest.mark.parametrize("line", BROKEN_CONFIGS)
def test_overrides_that_once_ended_in_a_traceback_are_answered(line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    answer = fuzz_roads.read_config_flags(line, tmp_path)
    assert answer.startswith("refused: ") and len(answer.splitlines()) == 1


@pytest.mark.parametrize("text", ["root:x:0:0", "x = 1", "", "raise ValueError", "def f(:", "\0"])
@pytest.mark.parametrize("suffix", ["", ":argument"])
def test_a_config_file_that_is_none_is_answered_in_a_line(text, suffix, tmp_path, monkeypatch):
    (tmp_path / "c.py").write_text(text)
    argv = ["main.py", f"--config={tmp_path / 'c.py'}{suffix}"]
    monkeypatch.setattr(sys, "argv", argv)
    for name in [name for name in sys.modules if name.endswith("_config")]:
        monkeypatch.delitem(sys.modules, name)  # a process loads its config once
    with warnings.catch_warnings(), pytest.raises(UserError) as told:
        warnings.simplefilter("ignore")  # of how ml_collections loads it
        command_line.parse(argv)
    assert str(told.value).strip() and len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    "data",
    [
        b'{"data": 1}\n----\nfile\n\xff,1\n----\n{"kind": 3}\n[]',
        b"\n----\nfile,side\na\n----\n3",
        b'[]\n----\n"\n----\n\xff',
    ],
)
def test_run_folders_that_once_ended_in_a_traceback_are_answered(data, tmp_path):
    assert "run.py" in fuzz_roads.read_run(data, tmp_path)
