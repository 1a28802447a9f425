"""Paths that a flag's value cannot name are one line that says which flag."""

from pathlib import Path

import pytest

from pneumojax.cli.flags import path_of
from pneumojax.errors import UserError


@pytest.mark.parametrize("value", ["", " ", "a" * 300, "a\0b", "~nobody-of-this-name/runs"])
def test_a_value_that_is_no_path_names_its_flag(value):
    with pytest.raises(UserError, match="^--films: ") as caught:
        path_of("films", value)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_a_path_is_absolute_whether_it_is_there_or_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert path_of("films", "nowhere") == tmp_path / "nowhere"
    assert path_of("films", "~/films") == tmp_path / "home" / "films"
    assert path_of("films", str(tmp_path)) == Path(tmp_path)
