"""The real commands, each in its own process, as a user types them."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.kills import outcome

ROOT = Path(__file__).parents[2]
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
    """Runs a command that must fail, and returns its one line on standard error."""
    result = run(*arguments)
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def shared(films_root, tmp_path_factory):
    """A folder with a cache and a finished run of two epochs, and the output of that run."""
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
    """The output of an evaluation of that run on its test split."""
    folder, _ = shared
    result = run(
        "--mode=evaluate",
        "--split=test",
        f"--workdir={folder / 'run'}",
        f"--cache_dir={folder / 'cache'}",
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_test_split_is_scored_when_asked_and_audited_against_training(shared, scored):
    folder, _ = shared
    assert "audit: train " in scored and ": disjoint" in scored
    metrics = json.loads((folder / "run" / "evaluation" / "test" / "metrics.json").read_text())
    assert metrics["n"] == 14 and metrics["split"] == "test"
    validation = json.loads((folder / "run" / "evaluation" / "val" / "metrics.json").read_text())
    assert metrics["decision"] == validation["decision"]  # test labels have not changed it
    sides = {row["side"] for row in metrics["flow"]["films"]}
    assert sides == {"train", "val", "test"}
    with open(folder / "run" / "evaluation" / "test" / "predictions.csv") as stream:
        assert len(list(csv.DictReader(stream))) == 14


@pytest.mark.slow
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


@pytest.mark.slow
def test_evaluation_refuses_another_config(shared):
    folder, _ = shared
    line = fails("evaluate", f"--workdir={folder / 'run'}", "--config.seed=7")
    assert "another config" in line and "seed: 0 -> 7" in line


@pytest.mark.slow
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
    assert again.returncode == 1 and "continuing: 4 films" in again.stdout
    with open(output, encoding="utf-8") as stream:
        assert list(csv.DictReader(stream)) == rows


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_the_config_that_a_command_would_use_is_printed_as_a_run_keeps_it(tmp_path):
    result = run("--print_config", "--config.epochs=3", f"--cache_dir={tmp_path}")
    assert result.returncode == 0 and not result.stderr
    printed = json.loads(result.stdout)
    assert printed["epochs"] == 3 and printed["model"]["stem"] == [32, 32, 64]


def test_a_mistyped_flag_is_one_line():
    assert "did you mean --config.epochs=3?" in fails("--epochs=3")


@pytest.mark.slow
def test_a_root_that_is_missing_is_one_line(tmp_path):
    cache = f"--cache_dir={tmp_path / 'cache'}"
    assert "does not exist" in fails(f"--config.data.root={tmp_path / 'nowhere'}", cache)


@pytest.mark.slow
def test_a_root_without_films_is_one_line(tmp_path):
    cache = f"--cache_dir={tmp_path / 'cache'}"
    (tmp_path / "empty").mkdir()
    assert "no NORMAL or PNEUMONIA" in fails(f"--config.data.root={tmp_path / 'empty'}", cache)
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "hollow" / "train" / name).mkdir(parents=True)
    assert "holds no film" in fails(f"--config.data.root={tmp_path / 'hollow'}", cache)


@pytest.mark.slow
def test_workdir_that_cannot_be_written_is_one_line(films_root, shared, tmp_path):
    folder, _ = shared
    (tmp_path / "file").write_text("in the way")
    line = fails(*training(films_root, folder / "cache", tmp_path / "file" / "run"))
    assert "--workdir" in line and "Not a directory" in line


@pytest.mark.slow
def test_a_changed_rule_is_fitted_by_evaluation_and_gives_predictions_a_new_id(
    shared, films_root, tmp_path
):
    folder, _ = shared
    workdir = tmp_path / "run"
    shutil.copytree(folder / "run", workdir)
    film = min((films_root / "test" / "NORMAL").iterdir())

    def predicted(name):
        output = tmp_path / name
        result = run("predict", f"--workdir={workdir}", f"--output={output}", film)
        assert result.returncode == 0, result.stderr
        with open(output) as stream:
            return next(csv.DictReader(stream))

    before = predicted("before.csv")
    changes = ("--config.decision.rule=cost", "--config.decision.cost_ratio=50.0")
    result = run("evaluate", f"--workdir={workdir}", f"--cache_dir={folder / 'cache'}", *changes)
    assert result.returncode == 0, result.stderr
    assert "fitted the cost rule on" in result.stdout
    after = predicted("after.csv")
    decision = json.loads((workdir / "decision.json").read_text())["decision"]
    assert float(after["threshold"]) == pytest.approx(decision["threshold"])
    assert after["checkpoint"] != before["checkpoint"]
    assert after["threshold"] != before["threshold"]
    assert after["probability"] == before["probability"]


@pytest.mark.slow
def test_a_finished_run_gets_more_epochs_from_where_it_stands(shared, films_root, tmp_path):
    folder, _ = shared
    extended, whole = tmp_path / "extended", tmp_path / "whole"
    shutil.copytree(folder / "run", extended)
    result = run(f"--workdir={extended}", "--config.epochs=4", f"--cache_dir={folder / 'cache'}")
    assert result.returncode == 0, result.stderr
    assert "changed after epoch 2: epochs: 2 -> 4" in result.stdout
    (entry,) = json.loads((extended / "changes.json").read_text())["changes"]
    assert entry["after_epoch"] == 2 and entry["schedule"] == "constant"
    more = training(films_root, folder / "cache", whole, "--config.epochs=4")
    assert run(*more).returncode == 0
    # With a constant learning rate it equals a run with four epochs from the start.
    found, expected = outcome(extended), outcome(whole)
    assert found["checkpoints"] == expected["checkpoints"]
    assert found["lines"] == expected["lines"]


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
@pytest.mark.parametrize(
    "name",
    ["chest_xray_full_sample", pytest.param("chest_xray_224", marks=pytest.mark.slow)],
)
def test_real_films_are_all_found_read_and_divided_by_patient(name, tmp_path):
    from pneumojax.configs import base
    from pneumojax.data.splits import load_splits

    config = base.get_config()
    config.data.root = str(REAL / name)
    sides = load_splits(config, tmp_path, log=lambda line: None)
    counts = {"chest_xray_full_sample": 144, "chest_xray_224": 5_216}
    assert len(sides.train) + len(sides.validation) == counts[name]
    assert not sides.rejected and "disjoint" in sides.audit.line()
