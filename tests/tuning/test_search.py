"""The search: budget, failures, pruning, several workers, and kills between any two writes."""

import itertools
import re
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from optuna.storages.journal import JournalFileBackend

from pneumojax.cli.parsing import parse
from pneumojax.cli.verbs import VERBS
from pneumojax.errors import UserError
from pneumojax.run.stored_config import read_config
from pneumojax.tuning import search, storage
from pneumojax.tuning.plan import begin_study
from pneumojax.tuning.requirement import need_optuna
from pneumojax.tuning.search import Search
from pneumojax.tuning.storage import close_storage, open_storage
from tests.tuning.conftest import trials_in


class Killed(BaseException):
    """A kill: nothing handles it."""


@pytest.fixture
def run_search(trainings, tmp_path):
    """`(plan, trials, folder=<tmp>/study) -> what Optuna has in the storage`."""

    def run(plan, trials, folder=tmp_path / "study"):
        begin_study(folder, plan)
        with Search(plan, folder, tmp_path / "cache", download=False) as search:
            search.run(trials)
        return trials_in(folder)

    return run


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_has_as_many_finished_trials_as_asked_and_can_get_more(kind, run_search, make_plan):
    plan = make_plan(storage=kind)
    first = run_search(plan, 3)
    assert [(number, state) for number, state, _, _ in first] == [
        (number, "COMPLETE") for number in range(3)
    ]
    more = run_search(plan, 4)
    assert more[:3] == first and len(more) == 4
    assert run_search(plan, 4) == more


def test_each_trial_is_a_run_folder_of_the_proposed_config(run_search, make_plan, tmp_path):
    for number, _, params, values in run_search(make_plan(), 3):
        config = read_config(tmp_path / "study" / f"trial-{number:04d}")
        assert config.optimizer.learning_rate == params["optimizer.learning_rate"]
        assert config.data.normalise == params["data.normalise"]
        # The formula of the trainings, at the last of two epochs.
        distance = abs(np.log10(config.optimizer.learning_rate) + 2) / 2
        assert values == [pytest.approx(0.9 - 0.2 * distance - 0.1 * config.model.dropout)]


@pytest.mark.slow
def test_proposals_depend_on_the_seed_alone_and_differ_between_trials(
    run_search, make_plan, tmp_path
):
    one = run_search(make_plan(), 12, tmp_path / "one")
    assert run_search(make_plan(storage="sqlite"), 12, tmp_path / "two") == one
    assert len({trial[2]["model.dropout"] for trial in one}) == 12
    plan = make_plan()
    with plan.config.unlocked():
        plan.config.seed = 1
    assert run_search(plan, 1, tmp_path / "three")[0][2] != one[0][2]


@pytest.mark.slow
def test_killed_between_any_two_writes_a_study_ends_as_if_undisturbed(
    run_search, make_plan, trainings, tmp_path, monkeypatch
):
    plan, begun = make_plan(), tmp_path / "begun"
    run_search(plan, 10, begun)  # the sampler learns from here on
    shutil.copytree(begun, tmp_path / "undisturbed")
    expected = run_search(plan, 12, tmp_path / "undisturbed")
    append, kills = JournalFileBackend.append_logs, 0
    for last_write in itertools.count():
        folder = tmp_path / f"killed-{last_write}"
        shutil.copytree(begun, folder)
        writes = iter(range(last_write))

        def append_until_killed(self, logs, writes=writes):
            if next(writes, None) is None:
                raise Killed
            append(self, logs)

        monkeypatch.setattr(JournalFileBackend, "append_logs", append_until_killed)
        try:
            run_search(plan, 12, folder)
            break
        except Killed:
            kills += 1
        monkeypatch.setattr(JournalFileBackend, "append_logs", append)
        assert run_search(plan, 12, folder) == expected
        assert len(list(folder.glob("trial-????"))) == 12
    assert kills >= 2 * 5  # a trial is created, gets three values and is finished


def test_a_failed_trial_is_stored_with_its_reason_and_the_study_goes_on(
    run_search, make_plan, trainings, capsys
):
    trainings.fails = (0.0, 0.45)
    states = [state for _, state, _, _ in run_search(make_plan(), 8)]
    assert set(states) == {"FAIL", "COMPLETE"}
    assert "failed: it ran out of luck" in capsys.readouterr().out


def test_a_study_without_a_completed_trial_ends_in_an_error_with_the_reason(
    make_plan, trainings, tmp_path, refused
):
    trainings.fails = (0.0, 1.0)
    line = refused(search.tune, make_plan(), tmp_path / "study", 2, tmp_path / "cache")
    assert line == "none of the 2 trials was completed; the last: it ran out of luck"


def test_trials_worse_than_the_median_are_stopped_and_count(run_search, make_plan, capsys):
    plan = make_plan(prunes=True)
    with plan.config.unlocked():
        plan.config.epochs = 4
    found = run_search(plan, 14)
    pruned = [values for _, state, _, values in found if state == "PRUNED"]
    assert len(found) == 14 and 1 <= len(pruned) < 10
    best = max(values[0] for _, state, _, values in found if state == "COMPLETE")
    assert all(values[0] < best for values in pruned)
    assert [state for _, state, _, _ in found[:4]] == ["COMPLETE"] * 4
    epochs = re.findall(r"stopped after epoch (\d+)", capsys.readouterr().out)
    assert len(epochs) == len(pruned) and {*epochs} <= {"2", "3"}  # not the first, nor the last


def test_a_trial_that_another_process_trains_is_left_to_it(make_plan, trainings, tmp_path):
    plan, folder = make_plan(), tmp_path / "study"
    begin_study(folder, plan)
    one, two = (Search(plan, folder, tmp_path / "cache", download=False) for _ in range(2))
    with one, two, ExitStack() as locks, ExitStack() as others, ExitStack() as again:
        assert one._taken(5, locks).number == 0
        assert two._taken(5, others).number == 1
        locks.close()  # as when the first process is killed
        assert two._taken(5, again).number == 0


def test_several_objectives_are_stored_and_no_pruning_is_allowed_with_them(
    run_search, make_plan, refused
):
    found = run_search(make_plan("val_auroc,-val_loss"), 3)
    assert all(len(values) == 2 for _, _, _, values in found)
    assert "pruned by one objective" in refused(make_plan, "val_auroc,-val_loss", "tpe", "", True)


def test_a_folder_of_another_study_or_of_files_is_refused(make_plan, tmp_path, refused):
    begin_study(tmp_path / "study", make_plan())
    line = refused(begin_study, tmp_path / "study", make_plan(sampler="random"))
    assert 'is another study (sampler: "tpe" -> "random")' in line
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    assert "holds files but no study" in refused(begin_study, tmp_path / "other", make_plan())


def test_a_line_that_a_kill_cut_short_is_removed_from_a_journal(run_search, make_plan, tmp_path):
    plan, journal = make_plan(), tmp_path / "study" / "study.journal"
    before = run_search(plan, 2)
    with open(journal, "a") as stream:
        stream.write('{"op_code":4,"worker')
    found = run_search(plan, 3)
    assert found[:2] == before and len(found) == 3


def test_a_database_is_made_whole_or_not_at_all(tmp_path, monkeypatch):
    def half_made(url):
        Path(url.removeprefix("sqlite:///")).write_bytes(b"SQLite format 3")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(storage, "RDBStorage", half_made)
        with pytest.raises(Killed):
            open_storage(tmp_path, "sqlite")
    assert not (tmp_path / "study.db").exists()
    made = open_storage(tmp_path, "sqlite")
    assert made.get_all_studies() == []
    close_storage(made)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "tune needs --space=<file>, or one of the shipped spaces: inception_v3, quick, ref"),
        (["--space=quick", "--config.data.val_fraction=0"], "tune chooses on validation films"),
        (["--space=quick", "--config.data.val=nowhere"], "config.data.val is 'nowhere'"),
        (["--space=quick", "--objective=auroc,auroc"], "is not a list of different figures"),
    ],
)
def test_a_command_that_cannot_be_searched_is_refused_before_a_folder_is_made(
    flags, told, tmp_path, refused
):
    command = parse(["tune", f"--workdir={tmp_path / 'study'}", *flags], tuple(VERBS))
    assert told in refused(VERBS["tune"].run, command)
    assert not (tmp_path / "study").exists()


def test_optuna_absent_is_one_line_with_the_remedy(monkeypatch):
    need_optuna()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"tune needs the package 'optuna': install req.*\[tune\]"):
        need_optuna()
