"""The files in the run folder that record its figures."""

from pneumojax.run.history import read_lines
from pneumojax.tracking.files import MetricsFile
from pneumojax.tracking.logbook import Logbook
from pneumojax.tracking.tracker import Record


def test_metrics_lose_what_will_be_written_again_and_a_torn_line(tmp_path):
    with Logbook([MetricsFile(tmp_path, 0, {})]) as book:
        for step in (1, 2, 3):
            book.write(Record("step", step, 1, {"loss": float("nan") if step == 1 else 0.5}))
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"kind": "step", "st')
    with Logbook([MetricsFile(tmp_path, 2, {})]):
        pass
    lines = read_lines(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0]["loss"] is None
