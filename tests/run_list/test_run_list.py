"""The list of runs: states, broken folders, conditions, order, CSV, page and compare."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from pneumojax.errors import UserError
from pneumojax.run.begin import begin, locked
from pneumojax.run_list.listing import list_runs, selected_folders
from pneumojax.run_list.records import RunRecord, find_runs
from pneumojax.run_list.selection import changed_fields, conditions, select


def line(step, epoch=1, kind="epoch"):
    return json.dumps({"kind": kind, "step": step, "epoch": epoch, "seconds_per_step": 0.5})


def make_run(folder, config, lines=(), auroc=None, **changes):
    """A run folder with some lines of metrics, and an evaluation if it has an AUROC."""
    changed = config.copy_and_resolve_references().unlock()
    changed.update_from_flattened_dict(changes)
    begin(folder, changed.lock())
    if lines:
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    if auroc is not None:
        (folder / "evaluation" / "val").mkdir(parents=True)
        figure = {"value": auroc, "low": auroc - 0.1, "high": auroc + 0.01}
        metrics = folder / "evaluation" / "val" / "metrics.json"
        metrics.write_text(json.dumps({"auroc": figure}))
    return folder


@pytest.fixture
def runs(tmp_path, config):
    """A folder with a good run, a better one, an interrupted one and a broken one."""
    root = tmp_path / "runs"
    make_run(root / "good", config, [line(4), line(8, 2)], 0.9)
    make_run(root / "sweep" / "better", config, [line(8, 2)], 0.95, batch_size=8)
    make_run(root / "sweep" / "stopped", config, [line(4), line(6, kind="step")], batch_size=4)
    (root / "bad").mkdir()
    (root / "bad" / "config.json").write_text("{")
    return root


def names(found):
    return [run.name for run in found]


def test_runs_at_any_depth_are_found_with_their_states(runs):
    states = {run.name: run.state for run in find_runs(runs)}
    assert states.pop("bad").startswith("broken: ")
    assert states == {
        "good": "finished",
        "sweep/better": "finished",
        "sweep/stopped": "interrupted at step 6",
    }


def test_a_run_without_a_step_has_not_started(tmp_path, config):
    make_run(tmp_path / "run", config)
    assert find_runs(tmp_path)[0].state == "not started"


def test_a_run_that_a_process_holds_is_running(tmp_path, config):
    folder = make_run(tmp_path / "run", config, [line(4)])
    with locked(folder):
        assert find_runs(tmp_path)[0].state == "running"
    assert find_runs(tmp_path)[0].state == "interrupted at step 4"


def test_a_run_that_ended_in_numbers_that_are_not_finite_has_failed(tmp_path, config):
    folder = make_run(tmp_path / "run", config, [line(4)])
    (folder / "non_finite.json").write_text(json.dumps({"step": 5}))
    assert find_runs(tmp_path)[0].state == "failed: numbers were not finite at step 5"


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "config.json").write_text("[1, 2]"),
        lambda run: (run / "metrics.jsonl").write_text('{"kind": "epoch"}\n'),
        lambda run: (run / "films.csv").write_text("a,b\n1,2\n"),
        lambda run: (run / "evaluation/val/metrics.json").write_text('{"auroc": 1}'),
        lambda run: ((run / "checkpoints").mkdir(), (run / "config.json").unlink()),
    ],
)
def test_a_damaged_run_is_one_line_beside_the_others(runs, damage, capsys):
    damage(runs / "good")
    list_runs(runs)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 4
    assert next(row for row in lines if row.startswith("good")).split()[1] == "broken:"


def test_time_is_that_of_the_steps(runs):
    assert {run.name: run.seconds for run in find_runs(runs)}["good"] == 8 * 0.5


def test_only_fields_that_differ_are_columns(runs, capsys):
    assert changed_fields(find_runs(runs)) == ["batch_size"]
    list_runs(runs)
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "state", "auroc", "films", "time", "batch_size"]
    assert "0.900 (0.800 to 0.910)" in next(row for row in rows if row.startswith("good"))


def test_fields_of_the_network_come_before_those_of_the_films(tmp_path, config):
    fields = {"data.val_fraction": 0.25, "epochs": 9, "optimizer.learning_rate": 0.5}
    make_run(tmp_path / "a", config)
    make_run(tmp_path / "b", config, **fields, **{"model.dropout": 0.125})
    expected = ["model.dropout", "optimizer.learning_rate", "epochs", "data.val_fraction"]
    assert changed_fields(find_runs(tmp_path)) == expected


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("batch_size=8", ["sweep/better"]),
        ("auroc>=0.9", ["good", "sweep/better"]),
        ("auroc>0.9 and batch_size!=4", ["sweep/better"]),
        ("model.norm=none", ["good", "sweep/better", "sweep/stopped"]),
        ("model.stem=(4, 4, 8)", ["good", "sweep/better", "sweep/stopped"]),
        ("state=finished", ["good", "sweep/better"]),
    ],
)
def test_conditions_choose_runs_by_fields_and_figures(runs, where, kept):
    assert names(select(find_runs(runs), where, None)) == kept


def test_the_largest_comes_first_and_a_minus_turns_the_order(runs):
    found = find_runs(runs)
    assert names(select(found, None, "auroc"))[:2] == ["sweep/better", "good"]
    assert names(select(found, None, "-auroc"))[:2] == ["good", "sweep/better"]
    assert len(select(found, None, "auroc")) == 4  # those without a figure come last


@pytest.mark.parametrize(
    ("where", "sort", "told", "flag"),
    [
        ("model.nrom=batch", None, "no run has 'model.nrom'; did you mean 'model.norm'", "where"),
        ("config.epochs=2", None, "no run has 'config.epochs'; did you mean 'epochs'", "where"),
        ("zzz>1", None, "no run has 'zzz'; .*auroc, films, name, seconds", "where"),
        ("auroc", None, "'auroc' is not a condition", "where"),
        ("", None, "'' is not a condition", "where"),
        ("auroc=>0.9", None, "'auroc=>0.9' is not a condition", "where"),
        ("auroc>0.99", None, "fulfils 'auroc>0.99': auroc is 0.9, 0.95$", "where"),
        ("batch_size=8 or auroc>0", None, "fulfils .*: batch_size is 16, 4, 8$", "where"),
        (None, "f1", "no run has 'f1'", "sort"),
    ],
)
def test_a_wrong_selection_ends_in_one_line(runs, where, sort, told, flag):
    with pytest.raises(UserError, match=told) as error:
        select(find_runs(runs), where, sort)
    assert error.value.flag == flag and "\n" not in str(error.value)


def test_a_text_and_a_number_have_no_order():
    assert conditions("name>3")[0].value == 3
    assert not conditions("state>3")[0].holds(RunRecord(Path("x"), "x", "finished"))


def test_the_csv_has_numbers_in_columns_of_their_own(runs, tmp_path):
    output = tmp_path / "runs.csv"
    list_runs(runs, sort="auroc", output=output)
    with open(output, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["run"] for row in rows][:2] == ["sweep/better", "good"]
    best = rows[0]
    figures = [float(best[name]) for name in ("auroc", "auroc_low", "auroc_high")]
    assert figures == pytest.approx([0.95, 0.85, 0.96])
    assert best["batch_size"] == "8" and best["folder"] == str(runs / "sweep" / "better")


def test_the_page_escapes_names(runs, tmp_path, config):
    make_run(runs / "<b>bold", config)
    list_runs(runs, output=tmp_path / "runs.html")
    page = (tmp_path / "runs.html").read_text()
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page
    assert "Not a medical device" in page


def test_another_ending_is_refused_before_anything_is_read(runs, tmp_path):
    with pytest.raises(UserError, match="ends in neither .csv nor .html"):
        list_runs(runs, output=tmp_path / "runs.txt")


def test_a_folder_without_runs_says_so(tmp_path):
    with pytest.raises(UserError, match="holds no run folder"):
        find_runs(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        find_runs(tmp_path / "missing")


def test_compare_takes_the_selection(runs):
    chosen = selected_folders([str(runs)], "state=finished", "auroc")
    assert chosen == [str(runs / "sweep" / "better"), str(runs / "good")]
    assert selected_folders(["a", "b.csv"], None, None) == ["a", "b.csv"]


def test_hidden_folders_are_not_searched(runs, config):
    shutil.copytree(runs / "good", runs / ".trash" / "good")
    assert len(find_runs(runs)) == 4
