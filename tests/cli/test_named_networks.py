"""A network class that the command itself names is trusted in the runs of that network."""

import pytest

from pneumojax.cli.parsing import parse
from pneumojax.cli.run_folders import config_of, trained_runs
from pneumojax.cli.verbs import VERBS
from pneumojax.config.load import load_file, resolve
from pneumojax.errors import UserError
from pneumojax.run.begin import begin


def command(*arguments):
    return parse(arguments, tuple(VERBS))


@pytest.fixture
def a_foreign_run(tmp_path):
    """The folder of a run with a user's own network, and the file of its config."""
    file = tmp_path / "theirs.py"
    file.write_text(
        "from configs import base\nfrom ml_collections import ConfigDict\n"
        "def get_config():\n    config = base.get_config()\n    config.model = ConfigDict(\n"
        "        {'network': 'theirs:Network', 'dtype': 'float32', 'width': 3})\n"
        "    return config\n"
    )
    begin(tmp_path / "foreign", resolve(load_file(str(file))).lock())
    return tmp_path / "foreign", file


NAMED = "--config.model.network=theirs:Network"


@pytest.mark.parametrize("verb", ["train", "crossvalidate", "profile", "preview", "summary"])
def test_a_network_that_the_command_names_is_trusted_in_a_run_of_it(a_foreign_run, verb):
    run, file = a_foreign_run
    for named in (NAMED, f"--config={file}"):
        config = config_of(command(verb, f"--workdir={run}", named))
        assert config.model.network == "theirs:Network" and config.model.width == 3
    with pytest.raises(UserError, match="--any_network"):
        other = "--config.model.network=others:Network"
        config_of(command(verb, f"--workdir={run}", other))


@pytest.mark.parametrize("verb", ["evaluate", "predict", "serve"])
def test_a_network_that_the_command_names_is_trusted_where_it_answers(a_foreign_run, verb):
    run, file = a_foreign_run
    line = (verb, f"--workdir={run}")
    assert not trained_runs(command(*line)).any_network
    assert not trained_runs(command(*line, "--config.seed=0")).any_network
    assert trained_runs(command(*line, NAMED)).any_network
    assert trained_runs(command(*line, f"--config={file}")).any_network
    with pytest.raises(UserError, match="of another config"):
        trained_runs(command(*line, "--config.model.network=others:Network"))


def test_one_config_file_is_that_of_every_fold(a_foreign_run, tmp_path):
    _, file = a_foreign_run
    of_folds = "--config.data.folds=2"
    for fold in range(2):
        config = resolve(command(f"--config={file}", of_folds).config()).unlock()
        config.data.fold = fold
        begin(tmp_path / "folds" / f"fold-{fold}", config.lock())
    line = ("predict", f"--workdir={tmp_path / 'folds'}", f"--config={file}")
    assert trained_runs(command(*line, of_folds, "a.png")).any_network
    with pytest.raises(UserError, match="fold-0.* is a run of another config"):
        trained_runs(command(*line, "a.png"))
