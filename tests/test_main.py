"""The real commands in processes of their own, as a user types them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
TINY = (
    "--config.data.image_size=32",
    "--config.data.val_fraction=0.2",
    "--config.model.stem=(4,4,8)",
    "--config.model.modules=((4,4,8,2,4,4),)",
    "--config.batch_size=16",
)


def command(*arguments):
    return [sys.executable, "main.py", *map(str, arguments)]


def run(*arguments, cwd=ROOT, **options):
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=300, **options
    )


def fails(*arguments):
    """The one line on standard error of a command that must fail without a traceback."""
    result = run(*arguments)
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def shared(films_root, tmp_path_factory):
    """A folder with one cache and one finished run of two epochs, and what that run printed."""
    folder = tmp_path_factory.mktemp("commands")
    result = run(*training(films_root, folder / "cache", folder / "run"))
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def training(root, cache_dir, workdir, *more):
    return (
        "--config=configs/base.py",
        f"--config.data.root={root}",
        "--config.epochs=2",
        *TINY,
        f"--cache_dir={cache_dir}",
        f"--workdir={workdir}",
        *more,
    )


def test_training_ends_with_an_evaluation_on_validation_and_never_touches_test(shared):
    folder, out = shared
    for expected in ("disjoint", "compiled in", "epoch 2/2", "Sensitivity", "Not a medical device"):
        assert expected in out
    assert sorted(p.name for p in (folder / "run").iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "evaluation",
        "films.csv",
        "metrics.jsonl",
        "provenance.json",
        "rejected_films.csv",
        "tensorboard",
    ]
    assert [p.name for p in (folder / "run" / "evaluation").iterdir()] == ["val"]
    names = {p.name for p in (folder / "run" / "evaluation" / "val").iterdir()}
    assert names == {"metrics.json", "predictions.csv", "report.html", "report.md", "pictures"}
    assert not any("test/" in row for row in (folder / "run" / "films.csv").read_text().split())


@pytest.fixture(scope="module")
def scored(shared):
    """What scoring the test split of that run printed."""
    folder, _ = shared
    result = run(
        "--mode=evaluate",
        "--split=test",
        f"--workdir={folder / 'run'}",
        f"--cache_dir={folder / 'cache'}",
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_test_split_is_scored_when_asked_and_audited_against_training(shared, scored):
    folder, _ = shared
    assert "audit: train " in scored and ": disjoint" in scored
    metrics = json.loads((folder / "run" / "evaluation" / "test" / "metrics.json").read_text())
    assert metrics["n"] == 14 and metrics["split"] == "test"
    validation = json.loads((folder / "run" / "evaluation" / "val" / "metrics.json").read_text())
    assert metrics["decision"] == validation["decision"]  # no label of test has moved it
    sides = {row["side"] for row in metrics["flow"]["films"]}
    assert sides == {"train", "val", "test"}
    with open(folder / "run" / "evaluation" / "test" / "predictions.csv") as stream:
        assert len(list(csv.DictReader(stream))) == 14


def test_any_folder_of_films_can_be_evaluated(shared, films_root):
    folder, _ = shared
    result = run(
        "--mode=evaluate",
        f"--films={films_root / 'test'}",
        f"--workdir={folder / 'run'}",
        f"--cache_dir={folder / 'cache'}",
    )
    assert result.returncode == 0, result.stderr
    assert "14 films of all" in result.stdout


def test_evaluation_refuses_another_config(shared):
    folder, _ = shared
    line = fails("--mode=evaluate", f"--workdir={folder / 'run'}", "--config.seed=7")
    assert "another config" in line and "seed: 0 -> 7" in line


def test_prediction_answers_good_films_and_names_bad_ones(shared, films_root, tmp_path):
    folder, _ = shared
    good = sorted((films_root / "test" / "NORMAL").iterdir())[:2]
    bad = tmp_path / "bad.jpeg"
    bad.write_bytes(good[0].read_bytes()[:2_000])
    odd = tmp_path / "film nötig.png"
    Image.open(good[0]).convert("RGBA").save(odd)
    output = tmp_path / "out.csv"
    arguments = ("--mode=predict", f"--workdir={folder / 'run'}", f"--output={output}")
    result = run(*arguments, *good, tmp_path)
    assert result.returncode == 1
    assert "Not a medical device" in result.stdout and "Traceback" not in result.stderr
    assert "1 of the files could not be read" in result.stderr
    with open(output, encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [*map(str, good), str(bad), str(odd)]
    assert [bool(row["probability"]) for row in rows] == [True, True, False, True]
    assert rows[2]["note"] == "truncated JPEG"
    assert {row["call"] for row in rows} <= {"normal", "pneumonia", ""}
    again = run(*arguments, *good)
    assert again.returncode == 1 and "going on: 4 files" in again.stdout
    with open(output, encoding="utf-8") as stream:
        assert list(csv.DictReader(stream)) == rows


def test_prediction_equals_evaluation_of_the_same_films(shared, scored, films_root, tmp_path):
    folder, _ = shared
    output = tmp_path / "p.csv"
    run("--mode=predict", f"--workdir={folder / 'run'}", f"--output={output}", films_root / "test")
    with open(output) as stream:
        predicted = {Path(r["file"]).name: float(r["probability"]) for r in csv.DictReader(stream)}
    with open(folder / "run" / "evaluation" / "test" / "predictions.csv") as stream:
        evaluated = {Path(r["file"]).name: float(r["probability"]) for r in csv.DictReader(stream)}
    assert predicted.keys() == evaluated.keys()
    for name, probability in predicted.items():
        assert probability == pytest.approx(evaluated[name], abs=1e-4)


def test_two_evaluations_are_compared_without_importing_jax_or_tensorflow(shared, scored, tmp_path):
    evaluated = shared[0] / "run" / "evaluation" / "test" / "predictions.csv"
    other = tmp_path / "other.csv"
    other.write_text(evaluated.read_text().replace(",0.", ",0.0"))
    command_line = command("--mode=compare", evaluated.parent, other, f"--output={tmp_path / 'c'}")
    result = subprocess.run(
        [*command_line[:1], "-X", "importtime", *command_line[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "14 films" in result.stdout and "B - A" in result.stdout
    assert json.loads((tmp_path / "c" / "comparison.json").read_text())["n"] == 14
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert not {name.split(".")[0] for name in imported} & {"tensorflow", "jax", "flax"}


def lines_without_clock(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("seconds_per_step", "data_wait")}
        for line in lines
    ]


def arrays_of(workdir):
    """Digests of the last state's arrays, by step."""
    from pneumojax.run.checkpoint import Checkpoints

    checkpoints = Checkpoints(workdir / "checkpoints")
    step = checkpoints.steps("latest")[0]
    meta = workdir / "checkpoints" / "latest" / str(step) / "meta" / "metadata"
    return step, json.loads(meta.read_text())["digests"]


def killed_and_restarted(arguments, workdir, kill_after_lines):
    """Kills the command each time its metrics reach so many lines, then lets it finish."""
    for lines in kill_after_lines:
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        metrics = workdir / "metrics.jsonl"
        while process.poll() is None:
            if metrics.exists() and metrics.read_text().count("\n") >= lines:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        assert process.wait() == -signal.SIGKILL, "finished before it could be killed"
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_a_run_killed_and_restarted_equals_an_undisturbed_one_bit_for_bit(
    films_root, shared, tmp_path
):
    folder, _ = shared
    more = ("--config.epochs=6", "--config.checkpoint.every_steps=3")
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    result = run(*training(films_root, folder / "cache", undisturbed, *more))
    assert result.returncode == 0, result.stderr
    arguments = training(films_root, folder / "cache", disturbed, *more)
    out = killed_and_restarted(arguments, disturbed, [1, 4, 5, 6, 11, 16, 21, 22, 27])
    assert "resuming after step" in out
    assert arrays_of(disturbed) == arrays_of(undisturbed)
    assert lines_without_clock(disturbed) == lines_without_clock(undisturbed)
    scored = [
        (workdir / "evaluation" / "val" / "predictions.csv").read_text()
        for workdir in (undisturbed, disturbed)
    ]
    assert scored[0] == scored[1]
    assert "finished" in run(*arguments).stdout


@pytest.mark.slow
def test_default_workdir_lies_in_the_current_folder_and_is_named_by_the_config(
    films_root, shared, tmp_path
):
    folder, _ = shared
    arguments = training(films_root, folder / "cache", "unused", "--config.epochs=1")
    unwanted = ("--config=", "--workdir=")  # base.py is the default, from any folder
    line = [sys.executable, str(ROOT / "main.py")]
    line += [argument for argument in arguments if not argument.startswith(unwanted)]
    result = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("runs/base-????????/evaluation/val/metrics.json"))) == 1


def test_help_imports_neither_tensorflow_nor_jax():
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "main.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "--workdir" in result.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert "absl.flags" in imported
    assert not {name.split(".")[0] for name in imported} & {"tensorflow", "jax", "flax"}
    assert time.monotonic() - began < 5


def test_a_mistyped_field_is_answered_in_one_line():
    line = fails("--config.data.val_fractoin=0.2")
    assert "no field --config.data.val_fractoin" in line
    assert "Did you mean --config.data.val_fraction?" in line


def test_a_config_that_is_not_there_is_one_line():
    assert "--config=configs/nope.py" in fails("--config=configs/nope.py")
    assert "--config=configs/nope.py" in fails("--config", "configs/nope.py")


def test_a_value_of_the_wrong_type_is_one_line():
    assert "epochs" in fails("--config.epochs=several")


CHANGED = """
from ml_collections import ConfigDict
from configs import base

def get_config():
    c = base.get_config()
    %s
    return c
"""
WRONG_CONFIGS = {
    "empty": ("", "it has no function get_config()"),
    "no function": ("get_config = 3", "it has no function get_config()"),
    "not Python": ("def get_config(:", "cannot be loaded: SyntaxError: invalid syntax"),
    "raises": (
        "def get_config():\n    raise KeyError('boom')",
        "cannot be loaded: KeyError: 'boom'",
    ),
    "raises lines": (
        "def get_config():\n    raise ValueError('first\\nlast')",
        "cannot be loaded: ValueError: last",
    ),
    "nothing": ("def get_config():\n    pass", "get_config() returned NoneType"),
    "a dict": ("def get_config():\n    return {'epochs': 1}", "get_config() returned dict"),
    "ends": ("import sys\nsys.exit(0)", "cannot be loaded: it ends the program with sys.exit(0)"),
    "ends later": (
        "def get_config():\n    raise SystemExit('bye')",
        "it ends the program with sys.exit('bye')",
    ),
    "no group": (CHANGED % "del c.data", "config.data is absent"),
    "no field": (CHANGED % "del c.data.root", "config.data.root is absent"),
    "unknown field": (
        CHANGED % "c.data.rooot = ''",
        "there is no field config.data.rooot; config.data.root is the nearest",
    ),
    "unknown argument of our network": (
        CHANGED % "c.model.width = 3",
        "there is no field config.model.width",
    ),
}


@pytest.mark.parametrize("name", WRONG_CONFIGS)
def test_a_config_file_that_is_none_is_one_line_that_names_it(tmp_path, name):
    text, said = WRONG_CONFIGS[name]
    path = tmp_path / "theirs.py"
    path.write_text(text)
    line = fails("--mode=summary", f"--config={path}")
    assert line.startswith(f"error: --config={path}: ") and said in line


def test_a_field_without_its_group_in_the_file_is_told_of_the_file(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(CHANGED % "del c.data")
    line = fails("--mode=summary", f"--config={path}", "--config.data.root=somewhere")
    assert line.startswith(f"error: --config={path}: config.data is absent")


def test_arguments_of_another_network_are_free(tmp_path):
    path = tmp_path / "theirs.py"
    only = "{'network': 'theirs:Network', 'dtype': 'float32', 'width': 8}"
    path.write_text(CHANGED % f"del c.model; c.model = ConfigDict({only})")
    # The class is looked for, so the config itself was taken.
    assert "theirs" in fails("--mode=summary", f"--config={path}").replace(str(path), "")


def test_help_still_ends_with_help_whatever_the_config_file_does(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text("raise SystemExit(3)")
    result = run("--help", f"--config={path}")
    assert "--workdir" in result.stdout and not result.stderr


def test_root_that_is_missing_empty_or_without_films_is_one_line(tmp_path):
    cache = f"--cache_dir={tmp_path / 'cache'}"
    missing = tmp_path / "nowhere"
    assert "does not exist" in fails(f"--config.data.root={missing}", cache)
    (tmp_path / "empty").mkdir()
    assert "no NORMAL or PNEUMONIA" in fails(f"--config.data.root={tmp_path / 'empty'}", cache)
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "hollow" / "train" / name).mkdir(parents=True)
    assert "holds no film" in fails(f"--config.data.root={tmp_path / 'hollow'}", cache)


def test_workdir_that_cannot_be_written_is_one_line(films_root, shared, tmp_path):
    folder, _ = shared
    (tmp_path / "file").write_text("in the way")
    line = fails(*training(films_root, folder / "cache", tmp_path / "file" / "run"))
    assert "--workdir" in line and "Not a directory" in line


def test_evaluation_and_prediction_say_what_they_need(tmp_path):
    assert "needs --workdir" in fails("--mode=evaluate")
    assert "no run in" in fails("--mode=evaluate", f"--workdir={tmp_path}")
    assert "no flag" in fails("film.jpeg")
    assert "'nowhere' does not exist" in fails("--mode=compare", "nowhere", tmp_path)


@pytest.mark.slow
def test_quick_config_learns_the_embedded_films_within_a_minute_or_two(tmp_path):
    result = run(
        "--config=configs/quick.py", f"--workdir={tmp_path / 'run'}", f"--cache_dir={tmp_path}"
    )
    assert result.returncode == 0, result.stderr
    assert "synthetic films" in result.stdout
    metrics = json.loads((tmp_path / "run" / "evaluation" / "val" / "metrics.json").read_text())
    assert metrics["synthetic"] is True
    assert metrics["auroc"]["value"] > 0.9


REAL = Path(os.environ.get("PNEUMOJAX_FILMS", ROOT.parent / "shared" / "data"))


@pytest.mark.skipif(not REAL.is_dir(), reason="no real films here; PNEUMOJAX_FILMS names a folder")
@pytest.mark.parametrize("name", ["chest_xray_full_sample", "chest_xray_224"])
def test_real_films_are_all_found_read_and_divided_by_patient(name, tmp_path):
    from configs import base
    from pneumojax.data.splits import load_splits

    config = base.get_config()
    config.data.root = str(REAL / name)
    sides = load_splits(config, tmp_path, log=lambda line: None)
    counts = {"chest_xray_full_sample": 144, "chest_xray_224": 5_216}
    assert len(sides.train) + len(sides.validation) == counts[name]
    assert not sides.rejected and "disjoint" in sides.audit.line()
