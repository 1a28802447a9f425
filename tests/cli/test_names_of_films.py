"""Fields that describe the films of --films, and the verb that writes a table."""

import pytest

from pneumojax.cli.parsing import parse
from pneumojax.cli.run_folders import film_fields, trained_runs
from pneumojax.cli.verbs import VERBS
from pneumojax.config.load import resolve
from pneumojax.errors import UserError
from pneumojax.run.begin import begin
from pneumojax.run.stored_config import read_config
from tests.predict.conftest import save


@pytest.fixture
def run(config, tmp_path):
    begin(tmp_path / "run", resolve(config))
    return tmp_path / "run"


def command(run, *arguments):
    return parse(["evaluate", f"--workdir={run}", *arguments], tuple(VERBS))


NAMES = ("--config.data.positive=sick", "--config.data.columns.path=file")


def test_with_films_the_names_describe_them_and_leave_the_run_as_it_is(run):
    before = (run / "config.json").read_bytes()
    asked = command(run, "--films=x.csv", *NAMES)
    assert trained_runs(asked).workdirs == [run]
    assert film_fields(asked) == {"positive": ("sick",), "columns.path": "file"}
    assert (run / "config.json").read_bytes() == before
    assert read_config(run).data.positive == ("PNEUMONIA",)


def test_without_films_another_name_is_another_run(run):
    with pytest.raises(UserError, match="is a run of another config"):
        trained_runs(command(run, *NAMES))


def test_with_films_other_fields_are_still_those_of_the_run(run):
    with pytest.raises(UserError, match="data.image_size: 32 -> 64"):
        trained_runs(command(run, "--films=x.csv", "--config.data.image_size=64"))


def test_names_of_other_films_are_checked(run, config):
    save(run, config)
    asked = command(run, "--films=x.csv", "--config.data.positive=normal")
    with pytest.raises(UserError, match="config.data.negative has the name 'normal' as well"):
        VERBS["evaluate"].run(asked)


@pytest.mark.parametrize("given", [[], ["--films=x"], ["--output=y.csv"]])
def test_a_table_needs_films_and_an_output(given):
    asked = parse(["table", *given], tuple(VERBS))
    with pytest.raises(UserError, match="table needs --films=<folder> and --output=<file>.csv"):
        VERBS["table"].run(asked)
