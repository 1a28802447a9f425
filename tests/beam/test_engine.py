"""The engine refuses what it could not run, with one line."""

import importlib.util

import pytest

from pneumojax.beam.engine import Engine
from pneumojax.errors import UserError


def test_without_apache_beam_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="install requirements-beam.txt"):
        Engine(2)


def test_options_that_name_no_runner_are_refused_and_not_ignored(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    with pytest.raises(UserError, match="name no --runner") as error:
        Engine(1, ("--direct_num_workers=4",))
    assert error.value.flag == "beam_options"


@pytest.mark.parametrize("options", [("--runner=FlinkRunner",), ("--runner", "FlinkRunner")])
def test_a_worker_of_a_cluster_decodes_in_one_child_process(monkeypatch, options):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Engine(1, options).decoders == 1
    assert Engine(2).decoders == 4
