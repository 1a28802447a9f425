import pickle
import subprocess
import sys

import pytest

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.summary import summarise
from pneumojax.evaluation.terminal import print_table
from pneumojax.inference.decision import undecided


def test_the_table_has_the_figures_sensitivity_and_specificity_first(predictions, decision, capsys):
    result = summarise(predictions, decision)
    print_table(result)
    text = capsys.readouterr().out
    order = ["90 films of 30 patients, 66.7% PNEUMONIA", "called PNEUMONIA", "Sensitivity"]
    order += ["Specificity", "AUROC", "Accuracy", "NORMAL", "called NORMAL", DISCLAIMER]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    for name in ("sensitivity", "specificity", "auroc", "average_precision", "accuracy", "mcc"):
        metric = result.estimates[name]
        assert f"{metric.value:.3f}" in text
        for limits in (metric, metric.bootstrap):
            assert f"{limits.low:.3f} to {limits.high:.3f}" in text
    rows = [line.split() for line in text.splitlines()]
    counts = result.calls.confusion
    assert ["NORMAL", str(counts.tn), str(counts.fp)] in rows
    assert ["PNEUMONIA", str(counts.fn), str(counts.tp)] in rows
    assert "synthetic" not in text


@pytest.mark.parametrize("label", [0, 1])
def test_what_is_undefined_is_said(label, one_class, capsys):
    print_table(summarise(one_class(label), undecided("no validation film")))
    text = capsys.readouterr().out
    assert "undefined" in text and "no interval" in text.replace("\n", " ")
    assert "nothing fitted: no validation film" in " ".join(text.split())


def test_the_table_is_plain_and_fits_80_columns_when_piped(predictions, decision):
    code = (
        "import pickle, sys; from pneumojax.evaluation.terminal import print_table;"
        "print_table(pickle.load(sys.stdin.buffer), synthetic=True)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(summarise(predictions, decision)),
        capture_output=True,
        env={"PATH": "", "PYTHONUTF8": "1"},
        check=True,
    )
    text = ran.stdout.decode()
    assert "\x1b" not in text and "synthetic films" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "Wilson/DeLong   patient bootstrap   at 0.5" in text  # no heading is broken
    assert "…" not in text
