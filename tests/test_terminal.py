"""Progress, durations and tables on the terminal."""

import io
import sys
import threading

import pytest
from rich.table import Table

from pneumojax import terminal
from pneumojax.terminal import Progress, duration, plain_table, rate, speed


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("columns", "lines"), [(None, 1), ("40", 3)])
def test_a_table_in_a_pipe_keeps_a_name_on_one_line_unless_columns_are_set(
    columns, lines, monkeypatch, capsys
):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    name = "/".join(["folder"] * 14)
    grid = Table.grid()
    grid.add_column(overflow="fold")
    grid.add_row(name)
    terminal.make_console(whole_names=True).print(grid)
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == lines and shown.replace("\n", "").rstrip() == name


def test_a_terminal_shows_one_line_that_is_rewritten_and_wiped_at_the_end(clock):
    stream = _Terminal()
    progress = Progress(stream)
    assert not progress.is_due()
    clock[0] += 0.3
    assert progress.is_due()
    progress.show("a long line")
    assert not progress.is_due()
    progress.show("short")
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().split("\r")[-1].rstrip() == "short"
    assert len(stream.getvalue().split("\r")[-1]) >= len("a long line")
    progress.close()
    assert stream.getvalue().split("\r")[-2].strip() == ""
    progress.line("done")
    assert stream.getvalue().endswith("\n")


@pytest.mark.parametrize("is_function", [True, False])
def test_elsewhere_lines_follow_each_other_with_the_given_time_between(clock, is_function):
    stream, lines = io.StringIO(), []
    progress = Progress(lines.append if is_function else stream, 5.0)
    clock[0] += 4.9
    assert not progress.is_due()
    clock[0] += 0.2
    assert progress.is_due()
    progress.show("one")
    progress.close()
    progress.line("two")
    assert (lines if is_function else stream.getvalue().splitlines()) == ["one", "two"]


def test_the_rate_counts_only_the_films_of_this_run():
    assert rate(100, 1_600, 10.0) == "100/1,600 films, 10 films/s, 2:30 left"
    assert rate(1_100, 1_600, 10.0, earlier=1_000) == "1,100/1,600 films, 10 films/s, 0:50 left"
    assert rate(0, 5, 10.0) == "0/5 films, 0.0 films/s, unknown time left"


def test_a_slow_rate_is_not_shown_as_zero():
    rates = (0.5, 9.94, 9.96, 64.4, 1_234.0)
    shown = ("0.5", "9.9", "10", "64", "1,234")
    assert tuple(map(speed, rates)) == tuple(f"{number} films/s" for number in shown)


def test_durations_have_hours_only_when_there_are_any():
    assert [duration(s) for s in (0.4, 61, 3600, 7325.6)] == ["0:00", "1:01", "1:00:00", "2:02:06"]


def test_columns_of_a_table_are_aligned():
    table = plain_table(("name", "films"), [("a", "1"), ("longer", "2")])
    assert table.splitlines() == ["name    films", "a       1", "longer  2"]


def test_a_silent_block_prints_nothing_and_other_threads_go_on(capsys):
    def tell(name):
        terminal.say(f"said in {name}")
        terminal.make_console().print(f"shown in {name}")
        progress = terminal.Progress(sys.stdout, seconds=0)
        progress.show(f"progress in {name}")
        progress.close()

    with terminal.silent():
        tell("the block")
        other = threading.Thread(target=tell, args=["another thread"])
        other.start()
        other.join()
    tell("the open")
    out = capsys.readouterr().out
    assert "the block" not in out
    for name in ("another thread", "the open"):
        assert [f"{verb} in {name}" in out for verb in ("said", "shown", "progress")] == [True] * 3
