"""Escape codes in the names and notes of a stranger's run are printed and not executed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.summary import summarise
from pneumojax.evaluation.terminal import print_table
from pneumojax.inference.decision import Decision
from pneumojax.preview import preview

ROOT = Path(__file__).parent.parent
HOSTILE = "a\x1b[2Jb\u202ec\x9bd"


def is_harmless(text):
    return text.replace("\n", "").isprintable()


def test_the_path_of_a_run_is_printed_with_its_codes_shown(config, tmp_path, cache_dir, capsys):
    preview(config, tmp_path / HOSTILE, cache_dir)
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("written to ") and is_harmless(told)
    assert r"a\x1b[2Jb\u202ec\x9bd/preview.png" in told


def test_the_note_of_a_decision_is_neither_a_code_nor_markup(capsys):
    names, logits = ["a", "b", "c", "d"], np.array([-1, 1, 2, -2], np.float32)
    labels = np.array([0, 1, 1, 0])
    predictions = Predictions(names, names, ["none"] * 4, labels, logits, [""] * 4)
    decision = Decision("default", 1.0, 0.5, 0, f"{HOSTILE}[/red]")
    print_table(summarise(predictions, decision))
    told = capsys.readouterr().out
    assert is_harmless(told) and r"\x1b[2J" in told and "[/red]" in told


@pytest.mark.slow
def test_an_error_is_one_line_whatever_is_in_the_names_that_it_tells(tmp_path):
    path = tmp_path / f"{HOSTILE}\n.py"
    result = subprocess.run(
        [sys.executable, "main.py", f"--config={path}"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 1 and is_harmless(result.stderr)
    assert len(result.stderr.splitlines()) == 1
