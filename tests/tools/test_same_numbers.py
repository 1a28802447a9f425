"""The comparison of a commit with the working tree reports every difference, and no other."""

import json
import subprocess

import numpy as np
import pytest

from tools import same_numbers as same


def test_one_flipped_bit_of_one_array_is_a_difference():
    tree = {"params": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    changed = {"params": {"kernel": np.nextafter(tree["params"]["kernel"], np.float32(9))}}
    assert same.compare_arrays(tree, tree) == (6, [])
    compared, (line,) = same.compare_arrays(tree, changed)
    assert compared == 6 and "kernel" in line


@pytest.mark.parametrize(
    "other", [{"a": np.zeros(3, np.float64)}, {"a": np.zeros((1, 3), np.float32)}, {}]
)
def test_another_type_shape_or_a_missing_array_is_a_difference(other):
    _, wrong = same.compare_arrays({"a": np.zeros(3, np.float32)}, other)
    assert len(wrong) == 1


def test_minus_zero_is_not_zero():
    _, wrong = same.compare_arrays({"a": np.zeros(1)}, {"a": -np.zeros(1)})
    assert wrong


def test_values_are_compared_under_the_names_that_both_sides_have():
    before = {"auroc": {"value": 0.5, "old": 1}, "seconds_per_step": 1.0}
    after = {"auroc": {"value": 0.25, "new": 2}, "seconds_per_step": 2.0}
    assert same.compare_values(before, after) == (1, [".auroc.value: 0.5 -> 0.25"])


def test_a_command_that_has_succeeded_is_not_run_again_and_one_that_failed_is(tmp_path):
    (tmp_path / "tree").mkdir()
    program = "import sys; open('runs', 'a').write('x'); sys.exit('--fail' in sys.argv)"
    (tmp_path / "tree" / "main.py").write_text(program)
    trees = same.Trees(tmp_path / "tree", tmp_path / "tree", tmp_path / "out")
    for _ in range(2):
        trees.run("after", "works", [])
        with pytest.raises(SystemExit, match="failed; see"):
            trees.run("after", "fails", ["--fail"])
    assert (tmp_path / "tree" / "runs").read_text() == "xxx"


def test_a_commit_is_exported_without_touching_the_checkout(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path / "repo", check=True)

    (tmp_path / "repo").mkdir()
    git("init", "-q")
    (tmp_path / "repo" / "a.txt").write_text("committed")
    git("add", "a.txt")
    git("commit", "-q", "-m", "one")
    (tmp_path / "repo" / "a.txt").write_text("changed")
    monkeypatch.setattr(same, "ROOT", tmp_path / "repo")
    assert (same.export("HEAD", tmp_path / "out") / "a.txt").read_text() == "committed"
    assert (tmp_path / "repo" / "a.txt").read_text() == "changed"
    with pytest.raises(SystemExit):
        same.export("no-such-commit", tmp_path / "other")


def test_probabilities_are_read_by_name_whatever_other_columns_a_version_writes(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("new,file,call,probability\r\n1,a.png,normal,0.25\r\n")
    assert same.probabilities(path) == {"a.png": ["0.25", "normal"]}


def test_metrics_are_read_line_by_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    assert same.metrics(tmp_path) == [json.loads('{"step": 1}'), {"step": 2}]
