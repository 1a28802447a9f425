"""Real trainings in a process of their own, the real command, and SIGKILL."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pneumojax.run_list.records import find_runs
from pneumojax.tuning.worker import Task, TrialProcess
from tests.support.kills import SMALL
from tests.tuning.conftest import trials_in

ROOT = Path(__file__).parents[2]
SPACE = """
optimizer.learning_rate = { low = 1e-3, high = 2e-2, scale = "log" }
data.normalise = { values = ["unit", "film"] }
"""


@pytest.fixture
def command(films_root, tmp_path):
    """`(study, trials) -> the command line of a search on small films`."""
    (tmp_path / "space.toml").write_text(SPACE)

    def line(study, trials):
        return [
            *(sys.executable, "main.py", "tune", *SMALL, "--config.epochs=2"),
            *(f"--space={tmp_path / 'space.toml'}", f"--config.data.root={films_root}"),
            *(f"--cache_dir={tmp_path / 'cache'}", f"--workdir={study}", f"--trials={trials}"),
        ]

    return line


def outcome(study):
    """The trials with their values, and the epochs of every run."""
    return trials_in(study), [
        [
            {name: value for name, value in json.loads(line).items() if name not in CLOCK}
            for line in (study / run.name / "metrics.jsonl").read_text().splitlines()
        ]
        for run in find_runs(study)
    ]


CLOCK = ("seconds_per_step", "data_wait")


@pytest.mark.slow
def test_a_search_that_is_killed_ends_as_if_undisturbed(command, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    subprocess.run(command(undisturbed, 2), cwd=ROOT, check=True)
    rng, kills = random.Random(0), 0
    for trial in (0, 1):
        process = subprocess.Popen(command(killed, 2), cwd=ROOT)
        while not (killed / f"trial-{trial:04d}" / "metrics.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 2))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    subprocess.run(command(killed, 2), cwd=ROOT, check=True)
    assert kills == 2
    assert outcome(killed) == outcome(undisturbed)
    assert {run.state for run in find_runs(killed)} == {"finished"}
    assert len(find_runs(killed)) == 2


INSTANT = """
import sys, time
from pathlib import Path
from pneumojax.config.load import load_file, resolve
from pneumojax.tuning import results, search
from pneumojax.tuning.objective import parse_objectives
from pneumojax.tuning.plan import Plan
from pneumojax.tuning.space import space_of
from tests.tuning.conftest import SPACE, InstantTrainings

class Trainings(InstantTrainings):
    def begin(self, task):
        time.sleep(0.05)
        super().begin(task)

search.TrialProcess = Trainings
results.write_page = lambda *arguments: None
config = resolve(load_file("quick")).lock()
objectives = parse_objectives("val_auroc")
plan = Plan(config, space_of(SPACE, config), objectives, "tpe", "sqlite", False)
search.tune(plan, Path(sys.argv[1]), 40, Path(sys.argv[1]) / "cache")
"""


@pytest.mark.slow
def test_forty_trials_killed_five_times_are_those_of_an_undisturbed_search(tmp_path):
    """The search, its SQLite storage and its locks are real; only the trainings are instant."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    command, rng, kills = [sys.executable, "-c", INSTANT], random.Random(1), 0
    subprocess.run([*command, undisturbed], cwd=ROOT, check=True)
    for trial in sorted(rng.sample(range(39), 5)):
        process = subprocess.Popen([*command, killed], cwd=ROOT)
        while not (killed / f"trial-{trial:04d}").exists():
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    subprocess.run([*command, killed], cwd=ROOT, check=True)
    assert kills == 5
    assert trials_in(killed) == trials_in(undisturbed)
    assert len(trials_in(killed)) == len(list(killed.glob("trial-????"))) == 40


@pytest.mark.slow
def test_a_process_that_dies_fails_its_trial_and_the_next_one_gets_another(config, tmp_path):
    process = TrialProcess()
    task = Task({}, tmp_path / "run", tmp_path / "log", tmp_path, False, False)
    process.begin(task)
    os.kill(process._process.pid, signal.SIGKILL)
    assert process.wait(60)
    assert process.answer == "its process crashed: it ended by SIGKILL"
    process.begin(task)  # an empty config is none, which is a failure and no crash
    assert process.wait(120)
    assert process.answer == "KeyError: 'model'"
    assert "Traceback" in (tmp_path / "log").read_text()
    process.close()


@pytest.mark.slow
def test_the_process_of_the_trials_ends_when_the_search_is_killed(tmp_path):
    program = """
import sys, time
from pathlib import Path
from pneumojax.tuning.worker import Task, TrialProcess
if __name__ == "__main__":
    process, here = TrialProcess(), Path(sys.argv[1])
    process.begin(Task({}, here / "run", here / "log", here, False, False))
    process.wait(120)
    print(process._process.pid, flush=True)
    time.sleep(60)
"""
    (tmp_path / "search.py").write_text(program)
    command = [sys.executable, str(tmp_path / "search.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as search:
        child = int(search.stdout.readline())
        search.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
