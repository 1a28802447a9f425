"""The fuzzer finds planted failures and keeps their inputs, and short runs break nothing."""

import json
import sys
import warnings

import pytest

from pneumojax.cli.parsing import parse
from pneumojax.cli.verbs import VERBS
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from tests.support.fuzz import films, fuzzer, mutation, text_files
from tests.support.fuzz.worker import Limits


def quiet(line):
    pass


QUICK = {"image", "predictions"}  # the others take longer


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in fuzzer.MODULES
    ],
)
def test_nothing_breaks_in_some_inputs_and_the_corpus_grows(target, tmp_path):
    count = 400 if target in ("image", "dicom", "predictions") else 120
    plan = fuzzer.Plan(target, tmp_path)
    record = fuzzer.fuzz(plan, count, log=quiet)
    assert record["executions"] == count and record["broken"] == []
    assert record["corpus"] == len(list((tmp_path / target / "corpus").iterdir())) > 3
    again = fuzzer.fuzz(plan, count, log=quiet)
    assert again == json.loads(json.dumps(record))  # it goes on from there: nothing is run twice


def test_an_input_is_a_function_of_its_number_and_the_corpus():
    target, corpus = films.TARGETS["image"], films.valid_pictures()
    first, again = ([mutation.made("image", 0, i, corpus, target) for i in range(60)] for _ in "ab")
    assert first == again and len(set(first)) > 50


@pytest.mark.slow
def test_the_corpus_does_not_depend_on_how_many_processes_run(tmp_path):
    found = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        fuzzer.fuzz(fuzzer.Plan("image", out, processes=processes), 300, log=quiet)
        corpus = (out / "image" / "corpus").iterdir()
        found.append({path.name: path.read_bytes() for path in corpus})
    assert found[0] == found[1]


TOY = """
import ctypes, os, random, time
from tests.support.fuzz.worker import Target

def read(data, folder):
    what = data[0] if data else 0
    if what == 1:
        raise KeyError("planted")
    if what == 2:
        bytes(b"x") * 400_000_000
    if what == 3:
        os.abort()
    if what == 4:
        while True: time.sleep(1)
    if what == 5:
        began = time.process_time()
        while time.process_time() - began < 0.6: pass
    if what == 6:
        api = ctypes.pythonapi
        api.PyMem_RawMalloc.restype = ctypes.c_void_p
        api.PyMem_RawFree.argtypes = [ctypes.c_void_p]
        block = api.PyMem_RawMalloc(33)
        ctypes.memset(block, 65, 34)  # into the slack that malloc leaves: it ends nothing by itself
        api.PyMem_RawFree(block)
    return "read"

def generate(rng):
    return b"%c" % PLANTED if rng.random() < 0.3 else bytes(20)

TARGETS = {"toy": Target(read, lambda: [bytes(20)], (generate,), True, 1.0)}
"""


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        (1, "KeyError"),
        (2, "memory"),
        (3, "exit-6"),
        pytest.param(4, "hang", marks=pytest.mark.slow),
        pytest.param(5, "slow", marks=pytest.mark.slow),
        pytest.param(6, "exit-6", marks=pytest.mark.slow),
    ],
)
def test_a_planted_failure_is_found_and_its_input_kept(planted, reason, tmp_path):
    targets = tmp_path / "toy_targets.py"
    targets.write_text(f"PLANTED = {planted}\n{TOY}")
    if planted == 6 and "LD_PRELOAD" not in fuzzer._environment():
        pytest.skip("glibc's checks of the heap are not installed")
    limits = Limits(cpu=0.3 if planted == 5 else 9.0, wall=1.0 if planted == 4 else 60.0)
    plan = fuzzer.Plan("toy", tmp_path, targets=str(targets), processes=1, limits=limits)
    record = fuzzer.fuzz(plan, 40, stop=lambda paths: len(paths) >= 2, log=quiet)
    assert record["broken"] and all(name.endswith(f"-{reason}") for name in record["broken"])
    for name in record["broken"]:
        assert (tmp_path / "toy" / "broken" / name).read_bytes()[0] == planted


def test_a_worker_that_cannot_start_ends_the_fuzzer_in_one_line(tmp_path):
    targets = tmp_path / "toy_targets.py"
    targets.write_text("raise ValueError('planted')\n")
    with pytest.raises(SystemExit, match="could not start: ValueError: planted"):
        fuzzer.fuzz(fuzzer.Plan("toy", tmp_path, targets=str(targets)), 10, log=quiet)


def test_every_seed_of_the_picture_targets_is_a_film_before_it_is_damaged():
    for data in films.valid_pictures() + films.valid_dicoms():
        try:
            assert decode_any(data, Preprocessing(16)).width in (24, 32)
        except FilmError as error:
            pytest.fail(f"{data[:8]!r}: {error}")


def test_checksums_are_mended_and_other_files_left_alone():
    png = next(data for data in films.valid_pictures() if data.startswith(b"\x89PNG"))
    broken = png[:-1] + bytes([png[-1] ^ 1])
    assert mutation.mended(broken) == png == mutation.mended(png)
    assert mutation.mended(b"\xff\xd8\xff") == b"\xff\xd8\xff"


def test_what_a_file_says_itself_makes_no_new_kind_of_answer(tmp_path):
    kinds = {
        text_files.read_predictions(f"file,probability\n{name},{value}\n".encode(), tmp_path)
        for name, value in (("a", "qwertz"), ("it's", '"z""x"'), ("line", "no file"))
    }
    assert len(kinds) == 1
    assert text_files.read_predictions(b"file,probability\na,0.5\n", tmp_path) not in kinds


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
    answer = text_files.read_config_flags(line, tmp_path)
    assert answer.startswith("refused: ") and len(answer.splitlines()) == 1


@pytest.mark.parametrize("text", ["root:x:0:0", "x = 1", "", "raise ValueError", "def f(:", "\0"])
@pytest.mark.parametrize("suffix", ["", ":argument"])
def test_a_config_file_that_is_none_is_answered_in_a_line(text, suffix, tmp_path, monkeypatch):
    (tmp_path / "c.py").write_text(text)
    command = parse([f"--config={tmp_path / 'c.py'}{suffix}"], tuple(VERBS))
    with warnings.catch_warnings(), pytest.raises(UserError) as told:
        warnings.simplefilter("ignore")  # about the way in which ml_collections loads the file
        command.config()
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
    assert text_files.read_run(data, tmp_path) != "read; read; read"
