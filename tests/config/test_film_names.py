"""The fields that name classes and patients: how they are given, and which values are refused."""

import pytest

from pneumojax.config.check import first_problem
from pneumojax.config.load import earlier_run_name, override, resolve, run_name
from pneumojax.configs import base


def changed(*overrides):
    config = base.get_config()
    override(config, overrides)
    return config


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("healthy", ("healthy",)),
        ("No finding, clear", ("No finding", "clear")),
        ("0", ("0",)),
        ("True", ("True",)),
        ("('a, b','c')", ("a, b", "c")),
        ("COVID-19,*", ("COVID-19", "*")),
        ("", ()),
    ],
)
def test_names_are_given_with_commas_between_them_or_as_a_tuple(text, names):
    assert changed(f"--config.data.ignored={text}").data.ignored == names


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.positive=", "config.data.positive is (): use one or more names"),
        ("data.positive= - ", "use one or more names"),
        ("data.negative=" + "x" * 41, "at most 40 characters together"),
        ("data.negative=('a','" + "b" * 37 + "')", "at most 40 characters together"),
        ("data.negative=('a\\x1b',)", "printable"),
        ("data.ignored=('',)", "use names of folders or labels, or '*'"),
        ("data.positive=nor_mal", "config.data.negative has the name 'normal' as well"),
        ("data.patient_pattern=(", "a regular expression of at most 200 characters"),
        ("data.patient_pattern=" + "x" * 201, "a regular expression of at most 200 characters"),
    ],
)
def test_a_name_that_could_not_be_shown_or_told_apart_is_refused(override, message):
    assert message in first_problem(changed(f"--config.{override}"))


@pytest.mark.parametrize("rule", ["", "kermany", "nih", "chexpert", "mimic", r"^(\w+)-(\d+)"])
def test_known_patterns_and_expressions_are_taken(rule):
    assert first_problem(changed(f"--config.data.patient_pattern={rule}")) is None


def test_a_run_goes_on_under_its_name_when_other_folders_are_ignored():
    ignoring = changed("--config.data.ignored=COVID")
    assert run_name(ignoring) == run_name(base.get_config())
    assert earlier_run_name(ignoring) == earlier_run_name(base.get_config())
    assert run_name(changed("--config.data.positive=COVID")) != run_name(base.get_config())


def test_a_relative_table_means_the_same_file_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert resolve(changed("--config.data.table=f.csv")).data.table == str(tmp_path / "f.csv")
    assert resolve(base.get_config()).data.table == ""
