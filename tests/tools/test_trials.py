"""A search continues from the record beside its plan, and counts the hours spent before."""

import json

import pytest

from tools import trials

DRAFT = {"name": "draft", "why": "where it starts", "changes": {}, "seeds": [0, 1]}
WIDER = {"name": "wider", "why": "more to see", "changes": {"augment.size": 8}, "seeds": [0]}


@pytest.fixture
def search(tmp_path, monkeypatch):
    """`(out, hours) -> the trials that were trained`, each in a minute."""
    plan = tmp_path / "search_plan.json"
    monkeypatch.setattr(
        trials,
        "row",
        lambda trial, seed, workdir, seconds: {
            "trial": trial["name"],
            "changes": trial["changes"],
            "seed": seed,
            "seconds": round(seconds),
            "score": 0.5,
            "history": [1],
        },
    )

    def run(out, hours=1.0, planned=(DRAFT, WIDER)):
        trained = []

        def train(name, command, folder):
            trained.append(name)
            before = trials.spent(folder / f"{name}.seconds")
            (folder / f"{name}.seconds").write_text(f"{before + 60}\n")
            return True

        monkeypatch.setattr(trials, "train", train)
        plan.write_text(
            json.dumps({"config": "configs/quick.py", "hours": hours, "trials": planned})
        )
        line = ["trials.py", str(plan), "--films=films", f"--out={tmp_path / out}"]
        monkeypatch.setattr("sys.argv", line)
        trials.main()
        return trained

    return run


def stored(tmp_path):
    return json.loads((tmp_path / "search.json").read_text())


def test_a_trial_that_is_stored_is_not_trained_again_wherever_its_folder_was(search, tmp_path):
    assert search("one", planned=(DRAFT,)) == ["draft-0", "draft-1"]
    assert search("two") == ["wider-0"]
    found = stored(tmp_path)
    assert [row["trial"] for row in found["rows"]] == ["draft", "draft", "wider"]
    assert found["seconds"] == 180 and search("three") == []


def test_a_trial_that_is_put_before_stored_ones_leaves_them_and_stands_before_them(
    search, tmp_path
):
    search("one", planned=(DRAFT,))
    assert search("two", planned=(WIDER, DRAFT)) == ["wider-0"]
    assert [row["trial"] for row in stored(tmp_path)["rows"]] == ["wider", "draft", "draft"]


def test_a_trial_whose_changes_are_others_now_is_trained(search):
    search("one")
    assert search("two", planned=(DRAFT, WIDER | {"changes": {"augment.size": 16}})) == ["wider-0"]


def test_a_trial_begins_only_where_the_hours_left_by_all_machines_are_enough(search, tmp_path):
    search("one", planned=(DRAFT,))
    assert search("two", hours=170 / 3600) == []  # 120 s are spent, and another takes 60
    assert search("two", hours=190 / 3600) == ["wider-0"]
