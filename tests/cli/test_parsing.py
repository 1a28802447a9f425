"""Command lines, parsed in this process: verbs, flags, help and configs."""

import subprocess
import sys
from pathlib import Path

import pytest

from pneumojax.cli.flags import FLAGS, path_of
from pneumojax.cli.help import help_of
from pneumojax.cli.parsing import parse
from pneumojax.cli.program import answer
from pneumojax.cli.run_folders import config_of, inspected_folder, new_or_own_folder, trained_runs
from pneumojax.cli.verbs import VERBS
from pneumojax.config.load import earlier_run_name, resolve, run_name
from pneumojax.errors import UserError
from pneumojax.run.begin import begin, read_changes
from pneumojax.run.stored_config import read_config

ROOT = Path(__file__).parents[2]


def command(*arguments):
    return parse([str(argument) for argument in arguments], tuple(VERBS))


@pytest.mark.parametrize("value", ["", " ", "a" * 300, "a\0b", "~nobody-of-this-name/runs"])
def test_a_value_that_is_no_path_names_its_flag(value):
    with pytest.raises(UserError) as caught:
        path_of("films", value)
    assert caught.value.flag == "films"
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_a_path_is_absolute_whether_it_is_there_or_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert path_of("films", "nowhere") == tmp_path / "nowhere"
    assert path_of("films", "~/films") == tmp_path / "home" / "films"
    assert path_of("films", str(tmp_path)) == Path(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        ("predict", "a.png", "b.png", "--output=o.csv"),
        ("--mode=predict", "--output=o.csv", "a.png", "b.png"),
        ("--mode", "predict", "a.png", "b.png", "--output", "o.csv"),
        ("--output=o.csv", "predict", "--", "a.png", "b.png"),
    ],
)
def test_a_verb_stands_first_or_in_its_flag(line):
    found = command(*line)
    assert (found.verb, found.arguments) == ("predict", ("a.png", "b.png"))
    assert found.options.output == "o.csv"


def test_without_a_verb_the_program_trains():
    assert command("--config.epochs=3").verb == "train"
    assert command().verb == "train"


def test_nothing_behind_two_dashes_is_a_flag():
    assert command("predict", "--", "--config.epochs=3", "-x").arguments == (
        "--config.epochs=3",
        "-x",
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--epochs=3", "there is no flag --epochs; did you mean --config.epochs=3?"),
        ("--learning_rate=0.1", "did you mean --config.optimizer.learning_rate=0.1?"),
        ("--workdirr=runs/a", "did you mean --workdir=runs/a?"),
        ("--configs=x.py", "did you mean --config=x.py?"),
        ("--zzz", "--help lists all flags"),
        ("predikt", "'predikt' is not a verb; did you mean predict?"),
        ("--mode=tain", "'tain' is not a verb; did you mean train?"),
        ("film.jpeg", "'film.jpeg' is not a verb; use one of train, "),
        ("--port=99999", "--port=99999"),
        ("--split=validation", "--split=validation"),
        ("--config", "--config: a file is missing"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_was_probably_meant(line, told):
    with pytest.raises(UserError) as error:
        command(line)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_values_of_fields_may_stand_behind_a_blank():
    spaced = command(
        "--config", "configs/quick.py", "--config.epochs", "3", "--config.log.tensorboard"
    )
    assert spaced.config_file == "configs/quick.py"
    config = spaced.config()
    assert (config.name, config.epochs, config.log.tensorboard) == ("quick", 3, True)


@pytest.fixture
def a_run(config, tmp_path):
    """A run folder that holds a config and nothing else."""
    folder = tmp_path / "a-run"
    begin(folder, resolve(config))
    return folder


def test_overrides_are_relative_to_the_runs_own_config(a_run, config):
    found = config_of(command(f"--workdir={a_run}", "--config.epochs=8"))
    assert found.epochs == 8 and found.model.stem == config.model.stem == (4, 4, 8)
    with_file = config_of(
        command(f"--workdir={a_run}", f"--config={ROOT / 'configs' / 'quick.py'}")
    )
    assert with_file.name == "quick" and with_file.model.stem == (16, 16, 32)


def test_a_wrong_override_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="config.data.val is 'folders'"):
        config_of(command(f"--workdir={tmp_path / 'new'}", "--config.data.val=folders"))
    assert not (tmp_path / "new").exists()


def test_a_profile_with_other_fields_goes_to_a_folder_of_its_own(a_run):
    own = command("profile", f"--workdir={a_run}")
    assert inspected_folder(own, config_of(own)) == a_run
    other = command("profile", f"--workdir={a_run}", "--config.batch_size=8")
    folder = inspected_folder(other, config_of(other))
    assert folder != a_run and folder.name.startswith(f"{run_name(config_of(other))}-profile-")


def test_a_folder_that_an_earlier_version_named_is_found_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train = command("--config.seed=5")
    config = config_of(train)
    new, earlier = (tmp_path / "runs" / name(config) for name in (run_name, earlier_run_name))
    assert new != earlier and new_or_own_folder(train, config) == new
    earlier.mkdir(parents=True)
    assert new_or_own_folder(train, config) == earlier
    assert f"using {earlier}" in capsys.readouterr().out
    new.mkdir()
    assert new_or_own_folder(train, config) == new


def test_evaluation_takes_a_changed_rule_and_refuses_what_training_decided(a_run):
    evaluate = ("evaluate", f"--workdir={a_run}")
    trained_runs(command(*evaluate, "--config.decision.rule=cost"))
    assert read_config(a_run).decision.rule == "cost"
    assert read_changes(a_run)[0]["fields"][0]["before"] == "youden"
    with pytest.raises(UserError, match=r"another config \(seed: 0 -> 7\)"):
        trained_runs(command(*evaluate, "--config.seed=7"))
    with pytest.raises(UserError, match=r"another config \(decision.rule: 'cost' -> 'youden'\)"):
        trained_runs(
            command("predict", f"--workdir={a_run}", "--config.decision.rule=youden", "a.png")
        )


def test_a_foreign_network_of_a_run_is_not_trusted_because_of_an_override(a_run):
    values = (a_run / "config.json").read_text()
    values = values.replace("pneumojax.nn.inception:Inception", "theirs:Network")
    (a_run / "config.json").write_text(values)
    with pytest.raises(UserError, match="--any_network"):
        config_of(command("train", f"--workdir={a_run}", "--config.epochs=8"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("evaluate",), "evaluate needs --workdir=<run folder>, or --films"),
        (("predict", "--workdir=nowhere", "--config.seed=1", "a.png"), "no run in .*nowhere"),
    ],
)
def test_evaluation_and_prediction_say_what_they_need(line, told):
    with pytest.raises(UserError, match=told):
        trained_runs(command(*line))


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_a_verb_shows_its_own_flags_and_an_example(name, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/me/main.py"])
    text = help_of(name)
    shown = {line.split("=")[0].strip() for line in text.splitlines() if line.startswith("  --")}
    of_the_config = {"--config", "--config.<field>"} if VERBS[name].takes_config else set()
    assert shown == {f"--{flag}" for flag in VERBS[name].flags} | of_the_config
    for example in VERBS[name].examples:
        assert f"python main.py {example}" in text
        assert command(*example.split()).verb == name
    assert max(map(len, text.splitlines())) <= 100


def test_every_flag_belongs_to_a_verb():
    assert set(FLAGS) == {flag for verb in VERBS.values() for flag in verb.flags}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--help"], "verbs:"),
        ([], "verbs:"),
        (["--config=quick"], None),
        (["predict", "--help"], "usage: pneumojax predict"),
        (["--mode=evaluate", "--help"], "usage: pneumojax evaluate"),
        (["--version"], "PneumoJAX 0."),
        (["predict", "film.png"], None),
        (["predict", "--", "--help"], None),
    ],
)
def test_questions_are_answered_without_running_a_verb(line, told, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pneumojax"])
    text = answer(line)
    assert text is None if told is None else told in text


def test_help_imports_neither_tensorflow_nor_jax():
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "main.py", "predict", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and "--workdir" in result.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert "absl.flags" in imported
    assert not {name.split(".")[0] for name in imported} & {"tensorflow", "jax", "flax"}
