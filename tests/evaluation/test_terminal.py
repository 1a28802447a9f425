import json
import subprocess
import sys

import pytest

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.summary import evaluate
from pneumojax.evaluation.terminal import print_table
from pneumojax.inference.decision import Decision, undecided

DECISION = Decision("youden", 2.0, 0.6, 50, "")


def test_the_table_has_the_figures_sensitivity_and_specificity_first(predictions, capsys):
    result = evaluate(predictions, DECISION)
    print_table(result)
    text = capsys.readouterr().out
    order = ["90 films of 30 patients, 66.7% PNEUMONIA", "called PNEUMONIA", "Sensitivity"]
    order += ["Specificity", "AUROC", "Accuracy", "NORMAL", "called NORMAL", DISCLAIMER]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    for name in ("sensitivity", "specificity", "auroc", "average_precision", "accuracy", "mcc"):
        figure = result[name]
        assert f"{figure['value']:.3f}" in text
        for limits in (figure, figure["bootstrap"]):
            assert f"{limits['low']:.3f} to {limits['high']:.3f}" in text
    rows = [line.split() for line in text.splitlines()]
    counts = result["confusion"]
    assert ["NORMAL", str(counts["tn"]), str(counts["fp"])] in rows
    assert ["PNEUMONIA", str(counts["fn"]), str(counts["tp"])] in rows
    assert "synthetic" not in text


@pytest.mark.parametrize("label", [0, 1])
def test_what_is_undefined_is_said(label, one_class, capsys):
    print_table(evaluate(one_class(label), undecided("no validation film")))
    text = capsys.readouterr().out
    assert "undefined" in text and "no interval" in text.replace("\n", " ")
    assert "nothing fitted: no validation film" in " ".join(text.split())


def test_the_table_is_plain_and_fits_80_columns_when_piped(predictions):
    result = evaluate(predictions, DECISION) | {"synthetic": True}
    code = (
        "import json, sys; from pneumojax.evaluation.terminal import print_table;"
        "print_table(json.load(sys.stdin))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(result),
        capture_output=True,
        encoding="utf-8",
        env={"PATH": "", "PYTHONUTF8": "1"},
        check=True,
    )
    assert "\x1b" not in ran.stdout and "synthetic films" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "Wilson/DeLong   patient bootstrap   at 0.5" in ran.stdout  # no heading is broken
    assert "…" not in ran.stdout
