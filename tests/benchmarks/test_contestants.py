"""Workers as processes: their answers, and the treatment of workers that fail."""

import pytest

from benchmarks import against_peers, contestants
from benchmarks.contestants import Contestant
from benchmarks.peers import keras_network

WORKER = """
print("a library greets")
from benchmarks.peers.serving import serve
{before}
def contest(options):
    print("and talks")
    rounds = iter(options.get("plays", [1.0] * 9))
    return {{"parameters": options.get("parameters", {parameters})}}, lambda: next(rounds)
serve({{"train_step": contest}})
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """`(kind, line that runs first) -> the name of a worker's module`, which it writes."""
    monkeypatch.setitem(contestants.ENVIRONMENT, "PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(against_peers, "SETTLE", 0)
    monkeypatch.setattr(against_peers, "STATES", {})

    def write(kind="fake", before=""):
        text = WORKER.format(before=before, parameters=against_peers.PARAMETERS)
        (tmp_path / f"{kind}_worker.py").write_text(text)
        return f"{kind}_worker"

    return write


def test_a_worker_answers_whatever_libraries_print(worker):
    contestant = Contestant("one", worker(), options={"repeats": 3, "plays": [5.0, 1.0, 2.0]})
    assert contestant.ask({"prepare": "train_step"}) == {"parameters": against_peers.PARAMETERS}
    answer = contestant.ask({"round": True})
    contestant.close()
    assert answer["seconds"] == [5.0, 1.0, 2.0]
    assert answer["peak_bytes"] > 2**20
    for counted in (answer["first"], answer["later"]):
        assert counted["cpu_seconds"] >= 0 and counted["page_faults"] >= 0


def test_a_start_is_timed_to_the_end_of_the_first_step(worker):
    answer = Contestant("one", worker(before="import time; time.sleep(0.3)")).start_up({})
    assert 0.3 < answer["seconds"][0] < 30
    assert answer["parameters"] == against_peers.PARAMETERS


@pytest.mark.parametrize(
    ("before", "python", "reason"),
    [
        ("import no_such_library", None, "No module named 'no_such_library'"),
        ("raise SystemExit", None, "without a word"),
        ("", "/no/such/python", "No such file"),
    ],
)
def test_a_worker_that_cannot_start_says_why(worker, before, python, reason):
    options = {"python": python} if python else {}
    contestant = Contestant("one", worker(before=before), **options)
    assert reason in contestant.ask({"prepare": "train_step"})["error"]
    contestant.close()
    assert reason in contestant.start_up({})["error"]


def test_the_others_go_on_where_one_fails_in_a_round(worker):
    fine = Contestant("fine", worker())
    failing = Contestant("failing", fine.worker, options={"plays": [1.0]})
    absent = Contestant("absent", worker("absent", before="import no_such_library"))
    results = against_peers._compete("train_step", [failing, absent, fine], {}, rounds=3)
    assert results["fine"]["seconds"] == [1.0, 1.0, 1.0]
    assert results["failing"]["seconds"] == [] and "StopIteration" in results["failing"]["error"]
    assert results["absent"]["seconds"] == []


def test_each_turn_is_a_play_after_other_work_and_then_plays_in_a_row(worker, monkeypatch):
    work = Contestant("other", worker("work"), contest="train_step")
    asked = []
    monkeypatch.setattr(work, "ask", lambda question: asked.append(question) or {})
    monkeypatch.setattr(against_peers, "STATES", {"train_step": 4})
    monkeypatch.setattr(against_peers, "other_work", lambda: work)
    plays = [9.0, 1.0, 3.0, 2.0] * 3
    slow = Contestant("slow", worker(), options={"plays": plays, "repeats": 4})
    (found,) = against_peers._compete("train_step", [slow], {}, rounds=3).values()
    assert found["after_pause"] == [9.0] * 3
    assert found["seconds"] == [2.0] * 3  # the median of the plays in a row
    assert len(found["counted"]) == 3 and found["counted"][0]["later"]["cpu_seconds"] >= 0
    assert [question for question in asked if "busy" in question] == [{"busy": 5.0}] * 3


def test_a_network_of_another_size_ends_the_contest(worker):
    other = Contestant("other", worker(), options={"parameters": 7})
    with pytest.raises(SystemExit, match="other has 7 parameters"):
        against_peers._compete("train_step", [other], {}, rounds=1)


def test_weights_that_were_taken_over_wrongly_end_the_contest():
    results = {"PneumoJAX": {"logits": [0.5, 1.0]}, "PyTorch": {"logits": [0.5, 1.1]}}
    with pytest.raises(SystemExit, match="PyTorch"):
        against_peers._check_alike(results, against_peers.PARAMETERS)


def test_the_peers_networks_have_the_published_number_of_parameters():
    import jax

    from benchmarks.peers import stock_jax_worker

    _, params = stock_jax_worker.network_of({"size": 150, "films": 1})
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == against_peers.PARAMETERS
    assert keras_network.keras_network(150).count_params() == against_peers.PARAMETERS


def test_drawn_films_are_as_large_as_published_ones(tmp_path, monkeypatch):
    from PIL import Image

    def one_film(root, train, test):
        (root / "train" / "NORMAL").mkdir(parents=True)
        Image.new("L", (250, 200), 90).save(root / "train" / "NORMAL" / "film.jpeg")

    monkeypatch.setattr(against_peers.phantom_films, "write_films", one_film)
    folder = against_peers._folder_of_films(None, tmp_path)
    with Image.open(folder / "NORMAL" / "film.jpeg") as film:
        assert film.size == (1250, 1000) and film.mode == "L"
    assert against_peers._folder_of_films(tmp_path, tmp_path) == folder  # a folder of splits
