"""The `profile` command adds its files to a run folder and changes nothing else there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jax.profiler import ProfileData
from PIL import Image

from pneumojax.configs import base
from pneumojax.errors import UserError
from pneumojax.profiling.profile import prepare

ROOT = Path(__file__).parent.parent.parent


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


pytestmark = pytest.mark.slow  # a run is trained and profiled


@pytest.fixture(scope="module")
def profiled(films_root, cache_dir, tmp_path_factory):
    """(folder of a run, what it held before, what the command printed)."""
    config = base.get_config()
    config.data.root, config.data.image_size, config.data.val_fraction = str(films_root), 32, 0.2
    config.model.stem, config.model.modules = (4, 4, 8), ()  # compiles in half the time
    config.batch_size = 16
    folder = tmp_path_factory.mktemp("profiled") / "run"
    (folder / "checkpoints" / "latest").mkdir(parents=True)
    (folder / "checkpoints" / "latest" / "arrays").write_text("of the run")
    (folder / "metrics.jsonl").write_text("of the run")
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    before = contents(folder)
    line = [sys.executable, "main.py", "--mode=profile", f"--workdir={folder}"]
    result = subprocess.run(
        [*line, f"--cache_dir={cache_dir}"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return folder, before, result.stdout


def test_only_the_profile_is_added_to_a_run_folder(profiled):
    folder, before, _ = profiled
    after = contents(folder)
    added = {Path(name).parts[0] for name in after.keys() - before.keys()}
    assert added == {"profile", "profile.json", "profile.png"}
    assert {name: after[name] for name in before} == before


def test_a_profile_is_of_the_runs_own_config_where_none_is_given(profiled):
    folder, _, _ = profiled
    result = json.loads((folder / "profile.json").read_text())
    assert result["config"] == json.loads((folder / "config.json").read_text())


def test_figures_agree_with_each_other(profiled):
    folder, _, _ = profiled
    result = json.loads((folder / "profile.json").read_text())
    step, speed, work = result["step"], result["speed"], result["work"]
    assert len(step["seconds"]) >= 8
    assert min(step["seconds"]) <= step["median_seconds"] <= step["p90_seconds"]
    assert step["films_per_second"] == pytest.approx(16 / step["median_seconds"])
    per_film = work["multiply_adds_per_film"]
    assert work["flops_per_step"] == 2 * 16 * (per_film["forward"] + per_film["backward"])
    reached = work["flops_per_step"] / step["median_seconds"]
    assert speed["share_of_peak"] == pytest.approx(reached / speed["peak_flops_per_second"])
    assert 0 < speed["share_of_peak"] < 1
    assert work["xla_flops"] > 0 and result["memory_bytes"]["planned_temp"] > 0
    assert result["memory_bytes"]["process_peak"] > 1e8
    assert 0 <= result["data"]["wait_share"] < 1


def test_operations_have_times_directions_and_lines_of_the_network(profiled):
    folder, _, out = profiled
    result = json.loads((folder / "profile.json").read_text())
    ran = result["operations"]
    assert len(ran) >= 10 and ran == sorted(ran, key=lambda row: -row["seconds"])
    assert any("conv_general_dilated" in row["what"] for row in ran)
    assert any("layers.py" in row["place"] for row in ran)
    assert result["seconds_by_direction"]["backward"] > 0
    for row in ran[:10]:
        assert row["name"] in out
    # Threads overlap, so operations may take longer than the step, but not than the cores.
    total = sum(result["seconds_by_direction"].values())
    assert 0.1 * result["step"]["median_seconds"] < total


def test_the_trace_has_a_marker_for_each_step(profiled):
    folder, _, _ = profiled
    (path,) = (folder / "profile").glob("plugins/profile/*/*.xplane.pb")
    lines = [line for plane in ProfileData.from_file(str(path)).planes for line in plane.lines]
    markers = [event for line in lines for event in line.events if event.name == "train"]
    assert len(markers) == 3


def test_the_page_is_a_picture_and_the_table_is_printed(profiled):
    folder, _, out = profiled
    with Image.open(folder / "profile.png") as picture:
        assert picture.width > 1_200 and picture.height > 800
    for expected in (
        "compiled in",
        "step, median",
        "share of the peak",
        "wait for data",
        "written",
    ):
        assert expected in out


def test_a_second_profile_is_not_written_over_the_first(profiled):
    folder, _, _ = profiled
    with pytest.raises(UserError, match="already has a profile"):
        prepare(folder, base.get_config())


def test_another_configs_run_and_somebodys_files_are_refused(profiled, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(base.get_config().to_dict() | {"seed": 5}))
    with pytest.raises(UserError, match="another config .seed: 5 -> 0"):
        prepare(tmp_path, base.get_config())
    (tmp_path / "config.json").rename(tmp_path / "notes.json")
    with pytest.raises(UserError, match="holds files but no run"):
        prepare(tmp_path, base.get_config())
    prepare(tmp_path / "new", base.get_config())
    assert (tmp_path / "new").is_dir()
