"""The results of contests: ratios, shares of the peak, and contestants that could not run."""

import json

from benchmarks import contest_summary as tables
from tools.docs import contests, scaling


def seconds(*values, **facts):
    return {"seconds": list(values), "versions": "", "peak_bytes": 10**9} | facts


def by_name(rows):
    return {row["contestant"]: row for row in rows}


def test_the_ratio_is_the_median_over_rounds_and_not_of_medians():
    rounds = {
        tables.OURS: seconds(1.0, 2.0, 4.0),
        "Keras": seconds(3.0, 2.0, 8.0),  # 3, 1 and 2 times: 2; the medians' ratio is 1.5
        "PyTorch": seconds(9.0, 9.0, 9.0),
    }
    rows = by_name(tables.summary("train_step", rounds))
    assert rows[tables.OURS]["ratio"] == 2
    assert rows["Keras"]["ratio"] == 1
    assert rows[tables.OURS]["quartiles"] == [1.5, 3.0]


def test_what_stands_beside_is_not_taken_for_the_best_peer():
    rounds = {name: seconds(0.1) for name in (*tables.BESIDE, tables.PEAK)}
    rounds[tables.PEAK]["flops"] = 1
    rounds |= {tables.OURS: seconds(1.0), "PyTorch, compiled": seconds(2.0)}
    rows = by_name(tables.summary("inference", rounds))
    assert rows[tables.OURS]["ratio"] == 2
    assert rows["ONNX Runtime"]["ratio"] == 20


def test_the_first_plays_after_a_pause_are_compared_with_each_other():
    rounds = {
        tables.OURS: seconds(1.0, 1.0, after_pause=[2.0, 4.0]),
        "Keras": seconds(2.0, 2.0, after_pause=[2.0, 2.0]),
        "PyTorch": seconds(3.0, 3.0, after_pause=[9.0, 9.0]),
    }
    ours = by_name(tables.summary("inference", rounds))[tables.OURS]
    assert ours["ratio"] == 2
    assert (ours["after_pause_seconds"], ours["after_pause_ratio"]) == (3.0, 0.75)


def test_the_share_of_the_peak_is_that_of_the_same_round():
    rounds = {
        tables.OURS: seconds(2.0, 4.0, flops=300),
        tables.PEAK: seconds(0.5, 1.0, flops=100),  # 200, then 100 a second; ours 150, then 75
    }
    rows = by_name(tables.summary("train_step", rounds))
    assert rows[tables.OURS]["share_of_peak"] == 0.75
    assert "ratio" not in rows[tables.OURS]  # no peer could run


def test_a_start_is_compared_with_starts_in_the_same_state():
    rounds = {
        f"{tables.OURS}, cold": seconds(10.0),
        f"{tables.OURS}, warm": seconds(4.0),
        "PyTorch, cold": seconds(20.0),
        "PyTorch, warm": seconds(2.0),
    }
    rows = by_name(tables.summary("startup", rounds))
    assert rows[f"{tables.OURS}, cold"]["ratio"] == 2
    assert rows[f"{tables.OURS}, warm"]["ratio"] == 0.5


def test_who_could_not_run_is_in_the_table_with_the_reason():
    rounds = {
        tables.OURS: seconds(1.0),
        "PyTorch": {"seconds": [], "error": "No module named 'torch'"},
        "Keras": seconds(2.0),
    }
    result = {"contest": "train_step", "summary": tables.summary("train_step", rounds)}
    headings, cells = tables.cells(result)
    assert cells[1][:2] == ["PyTorch", "No module named 'torch'"]
    assert cells[0][headings.index("films/s")] == "64"
    assert cells[0][headings.index("times the fastest peer")] == "2.00"
    assert {len(line) for line in cells} == {len(headings)}


def test_points_are_in_the_order_of_numbers_and_failed_ones_say_why():
    step = {"median_seconds": 2.0, "flops": 4e11, "peak_bytes": 5e8, "date": "2026-01-01"}
    failed = {"error": "MemoryError: none left", "date": "2026-01-02"}
    start = {"seconds": {"nothing": 20.04, "all": 5.0}, "date": "2026-01-01"}
    points = {"batch": {"128": failed, "16": step}, "films": {"1000": start}}
    text = scaling.render({"points": points, "command": "c", "hardware": "h"})
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[2] == "| 16 | 150 | 2 | 8 | 200 | 0.50 |"
    assert lines[3] == "| 128 | 150 | MemoryError: none left |  |  |  |"
    assert lines[-1] == "| 1,000 | 20.0 | 5.0 |"
    assert "Measured on 2026-01-02." in text and "folder, on 2026-01-01:" in text
    assert "`c`, h;" in text


def test_how_long_a_step_compiles_is_said_where_it_was_measured_both_ways(tmp_path):
    rounds = {tables.OURS: seconds(1.0, compile_seconds=40.04), "Keras": seconds(2.0)}
    result = {"contest": "inception_v3", "command": "c", "date": "d", "hardware": "h"}
    result |= {"contestants": rounds, "summary": tables.summary("inception_v3", rounds)}
    path = tmp_path / "avx2" / "inception_v3.json"
    path.parent.mkdir()
    path.write_text(json.dumps(result))
    assert "compiles" not in contests.markdown(tmp_path)
    rounds[tables.OURS]["compile_seconds_cached"] = 3.21
    path.write_text(json.dumps(result))
    assert "compiles its step in 40.0 s, and takes 3.2 s from its cache." in contests.markdown(
        tmp_path
    )


def test_the_picture_of_scaling_leaves_out_failed_points(tmp_path):
    point = {"median_seconds": 2.0, "flops": 4e11, "peak_bytes": 5e8}
    points = {
        "batch": {"16": point, "8": point, "32": {"error": "killed"}},
        "image_size": {"75": {"error": "killed"}},
        "films": {"10": {"seconds": dict.fromkeys(("nothing", "compiled steps", "both"), 3.0)}},
    }
    scaling.draw(points, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    scaling.draw({"batch": {"8": {"error": "killed"}}}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
