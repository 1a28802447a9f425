"""Predictions to evaluate, what a report tells besides figures, and how properties are drawn."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from pneumojax.evaluation.audits.failures import failures
from pneumojax.evaluation.audits.film_statistics import STATISTICS
from pneumojax.evaluation.audits.robustness import robustness
from pneumojax.evaluation.audits.shortcuts import shortcuts, softest_normal
from pneumojax.evaluation.audits.subgroups import subgroups
from pneumojax.evaluation.summary import Predictions
from pneumojax.inference.decision import Decision

# Property tests draw the same few examples every time: a red test stays red, and soon.
settings.register_profile(
    "evaluation", derandomize=True, database=None, deadline=None, max_examples=40
)
settings.load_profile("evaluation")


@pytest.fixture(scope="session")
def predictions() -> Predictions:
    """90 films of 30 patients, two thirds of them pneumonia, half of those by bacteria."""
    n, films_each, rng = 90, 3, np.random.default_rng([0])
    labels = (np.arange(n) // films_each % 3 > 0).astype(int)
    kinds = np.where(np.arange(n) // films_each % 2 == 0, "bacteria", "virus")
    return Predictions(
        files=[f"test/film, {i}.jpeg" for i in range(n)],
        patients=[f"person{i // films_each}" for i in range(n)],
        pathogens=[
            str(kind) if label else "none" for label, kind in zip(labels, kinds, strict=True)
        ],
        labels=labels,
        logits=(rng.normal(size=n) + 1.5 * labels - 0.5).astype(np.float32),
        trained_on=[""] * n,
    )


@pytest.fixture(scope="session")
def one_class() -> Callable[[int], Predictions]:
    """`(label) -> predictions` of three films of that class."""

    def make(label: int) -> Predictions:
        logits = np.array([-1, 1, 2], np.float32)
        labels = np.full(3, label)
        return Predictions(["a", "b", "c"], ["p", "q", "r"], ["none"] * 3, labels, logits, [""] * 3)

    return make


@pytest.fixture
def context(plain_context: dict[str, Any]) -> dict[str, Any]:
    """A copy of `plain_context` to change."""
    return copy.deepcopy(plain_context)


@pytest.fixture(scope="session")
def findings(predictions: Predictions) -> dict[str, Any]:
    """As `audit_network` finds them, of statistics and pixels drawn at random."""
    rng, n = np.random.default_rng([1]), len(predictions.labels)
    decision = Decision("youden", 2.0, 0.6, 50, "")
    logits = predictions.logits
    calls = decision.calls(decision.probabilities(logits))
    statistics = {name: rng.random(n) for name in STATISTICS}
    images = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8)
    return {
        "subgroups": subgroups(
            predictions.labels,
            logits,
            calls,
            predictions.pathogens,
            statistics,
            predictions.patients,
        ),
        "shortcuts": shortcuts(statistics, predictions.labels, logits),
        "softest_normal": softest_normal(statistics["sharpness"], predictions.labels, logits >= 0),
        "robustness": robustness(
            lambda films: films.mean((1, 2)) - 128, images, predictions.labels, decision
        ),
        "failures": failures(predictions.labels, logits, decision, predictions.files, k=1),
        "explanations": {
            "films": 16,
            "constant": 0,
            "fewest": 8,
            "limit": 0.5,
            "stages": [
                {
                    "shuffled": "heads",
                    "compared": 16,
                    "vanished": 0,
                    "median": 0.1,
                    "quartiles": [0.0, 0.2],
                }
            ],
            "passed": True,
        },
    }


@pytest.fixture(scope="session")
def film_pictures() -> dict[str, bytes]:
    """PNG files under the names that the report gives to pictures of films."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    names = ("explanations-0", "explanations-1", "false_positives-0", "false_negatives-0")
    return dict.fromkeys(names, stream.getvalue())


@pytest.fixture(scope="session")
def plain_context(findings: dict[str, Any]) -> dict[str, Any]:
    """As `report_context` gives it for a run of three epochs that is scored on its test films."""
    side = {"class": "NORMAL", "pathogen": "none", "films": 9, "patients": 4}
    return {
        **findings,
        "synthetic": False,
        "run": "base",
        "split": "test",
        "root": "/films",
        "films": "0123456789abcdef",
        "step": 7,
        "epoch": 2,
        "patients_known": True,
        "versions": {"jax": "0"},
        "provenance": {
            "revision": "abc",
            "command": ["main.py", "--config=<b>.py"],
            "devices": ["cpu:0"],
            "platform": "here",
            "versions": {"jax": "0"},
            "films": {"train": "fedc", "validation": ""},
        },
        "config": {"seed": 0},
        "flow": {
            "films": [{"side": "train"} | side, {"side": "test"} | side | {"patients": None}],
            "rejected": [["NORMAL/a|b.jpeg", "empty file"]],
            "swapped": 0,
            "duplicates": 0,
            "audit": "audit: apart",
            "training_prevalence": 0.75,
        },
        "selection": {"metric": "loss", "epochs": 3, "films": 40},
        "history": [
            {"epoch": i, "train_loss": 1 / i, "val_loss": 1 / i, "val_sensitivity": 0.9}
            for i in (1, 2, 3)
        ],
    }
