"""Nothing is written through links that lead out of a stranger's run folder."""

import os
import socket

import pytest

from pneumojax.api.load import load
from pneumojax.crossvalidate import cross_validate
from pneumojax.errors import UserError
from pneumojax.evaluation.evaluate import evaluate_run
from pneumojax.files import refuse_links_out
from pneumojax.preview import preview
from pneumojax.profiling.profile import profile
from pneumojax.run.begin import begin, locked
from pneumojax.training.loop import train
from tests.predict.conftest import save

PLACES = (
    ".lock",
    "checkpoints",
    "checkpoints/damaged",
    "evaluation",
    "evaluation/val",
    "films.csv",
    "metrics.jsonl",
    "predictions.csv",
    "preview.png",
    "profile",
    "profile.json",
    "start.json",
    "tensorboard",
)


@pytest.fixture
def victim(tmp_path):
    """A folder of the user, to which no command may write."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "notes").write_text("of the user")
    return folder


@pytest.fixture
def begun(config, tmp_path):
    """A run folder that holds a config and nothing else."""
    folder = tmp_path / "a-run"
    begin(folder, config)
    return folder


def put_link(folder, place, target):
    link = folder / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    return link


def is_untouched(victim):
    return [p.name for p in victim.iterdir()] == ["notes"] and (
        (victim / "notes").read_text() == "of the user"
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("target", ["", "notes", "absent"], ids=["folder", "file", "nothing"])
def test_each_place_that_leads_out_is_named_with_its_target(begun, victim, place, target):
    link = put_link(begun, place, victim / target)
    with pytest.raises(UserError, match="outside the folder") as told:
        refuse_links_out(begun)
    assert repr(str(link)) in str(told.value)
    assert repr(str(victim / target)) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("place", [".lock", "tensorboard", "checkpoints"])
def test_training_writes_nothing_through_a_link(config, begun, victim, cache_dir, place):
    put_link(begun, place, victim / "notes" if place == ".lock" else victim)
    with pytest.raises(UserError, match=f"{place}' is a link to"):
        train(config, begun, cache_dir)
    assert is_untouched(victim)


@pytest.mark.parametrize("verb", [preview, profile])
def test_a_preview_and_a_profile_write_nothing_through_a_link(
    config, begun, victim, cache_dir, verb
):
    # A check that follows links would not see a link whose target is absent.
    put_link(begun, verb.__name__ if verb is profile else "preview.png", victim / "absent")
    with pytest.raises(UserError, match="is a link to"):
        verb(config, begun, cache_dir)
    assert is_untouched(victim)


def test_an_evaluation_is_refused_before_the_network_is_opened(begun, victim, cache_dir):
    put_link(begun, "evaluation", victim)
    with pytest.raises(UserError, match="evaluation' is a link to"):
        evaluate_run([begun], cache_dir)
    assert is_untouched(victim)


def test_a_cross_validation_is_refused_before_its_first_fold(config, tmp_path, victim, cache_dir):
    with config.unlocked():
        config.data.folds = 2
    folder = tmp_path / "folds"
    folder.mkdir()
    put_link(folder, "out_of_fold", victim)
    with pytest.raises(UserError, match="out_of_fold' is a link to"):
        cross_validate(config, folder, cache_dir)
    assert is_untouched(victim) and [p.name for p in folder.iterdir()] == ["out_of_fold"]


def test_predictions_in_a_run_folder_are_refused_and_elsewhere_are_not(
    begun, config, victim, films_root, tmp_path
):
    put_link(begun, "predictions.csv", victim / "absent")
    save(begun, config)
    model, films = load(begun), films_root / "test"
    with pytest.raises(UserError, match="predictions.csv' is a link to"):
        model.predict_files(films)
    # If the user names an output, nothing is written in the run folder.
    assert model.predict_files(films, tmp_path / "mine.csv").unreadable == 0
    assert is_untouched(victim)


def test_a_run_reached_through_a_link_and_links_within_it_are_followed(begun, tmp_path):
    (begun / "evaluation").mkdir()
    (begun / "newest").symlink_to("evaluation")
    (begun / "evaluation" / "config.json").symlink_to(begun / "config.json")
    (begun / "circle").symlink_to(begun / "circle")
    (tmp_path / "by-link").symlink_to(begun)
    refuse_links_out(tmp_path / "by-link")
    refuse_links_out(begun)
    refuse_links_out(tmp_path / "absent")


def test_a_link_to_a_sibling_whose_name_begins_alike_leads_out(begun, tmp_path):
    (tmp_path / "a-run-2").mkdir()
    (begun / "evaluation").symlink_to("../a-run-2")
    with pytest.raises(UserError, match="a-run-2', outside the folder"):
        refuse_links_out(begun)


def test_a_chain_of_links_is_followed_to_its_end(begun, victim):
    (begun / "first").symlink_to(victim)
    (begun / "evaluation").symlink_to("first")
    with pytest.raises(UserError, match="evaluation' is a link to .*victim"):
        refuse_links_out(begun)


def test_a_pipe_or_a_socket_is_refused_since_opening_it_may_wait_for_ever(begun, monkeypatch):
    os.mkfifo(begun / "metrics.jsonl")
    with pytest.raises(UserError, match="metrics.jsonl' is a pipe, a socket or a device"):
        refuse_links_out(begun)
    (begun / "metrics.jsonl").unlink()
    monkeypatch.chdir(begun)  # the path of a socket has at most about a hundred characters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    with pytest.raises(UserError, match="socket' is a pipe, a socket or a device"):
        refuse_links_out(begun)


def test_a_lock_that_is_a_link_is_named_and_its_target_keeps_its_text(begun, victim):
    put_link(begun, ".lock", victim / "notes")
    with (
        pytest.raises(UserError, match=r"\.lock': it is a link to .*victim/notes'"),
        locked(begun),
    ):
        pass
    assert is_untouched(victim)
