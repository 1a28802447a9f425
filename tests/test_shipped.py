"""Networks that come with the package are found by name, and nothing is written beside them."""

from pathlib import Path

from pneumojax.cli.parsing import parse
from pneumojax.cli.run_folders import trained_runs
from pneumojax.cli.verbs import VERBS
from pneumojax.shipped import is_published, named_run, reference_run


def test_a_published_network_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_run("reference_1") == reference_run().parent / "reference_1"
    assert named_run("nothing") == Path("nothing")
    assert named_run("runs/reference_1") == Path("runs/reference_1")
    (workdir,) = trained_runs(parse(["predict", "--workdir=reference_1"], tuple(VERBS))).workdirs
    assert workdir == reference_run().parent / "reference_1"


def test_a_folder_of_the_users_own_comes_before_a_published_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reference_1").mkdir()
    assert named_run("reference_1") == Path("reference_1")


def test_published_networks_are_told_from_runs(tmp_path):
    assert is_published(reference_run()) and is_published(named_run("reference_1"))
    assert not is_published(tmp_path / "reference") and not is_published(reference_run().parent)
