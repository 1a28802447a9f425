"""Predictions, facts and findings for the tests of evaluation, and reports without charts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from pneumojax.data.classes import CLASS_NAMES
from pneumojax.data.film_statistics import STATISTICS
from pneumojax.evaluation.audits.audit import Finding
from pneumojax.evaluation.audits.evidence import Evidence, FilmEvidence, evidence_by_class
from pneumojax.evaluation.audits.explanations import Explanations, Stage
from pneumojax.evaluation.audits.failures import failures
from pneumojax.evaluation.audits.robustness import Robustness, robustness
from pneumojax.evaluation.audits.shortcuts import Shortcuts, shortcuts
from pneumojax.evaluation.audits.subgroups import Subgroups, subgroups
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report import report
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.run_facts import FilmCount, Flow, RunFacts, Selection
from pneumojax.evaluation.summary import summarise
from pneumojax.inference.decision import Decision
from pneumojax.inference.overlay import Tile
from pneumojax.stats.estimates import Bootstrap

# Property tests draw the same few examples every time, so that a failure can be repeated.
settings.register_profile(
    "evaluation", derandomize=True, database=None, deadline=None, max_examples=40
)
settings.load_profile("evaluation")


@pytest.fixture(scope="session")
def predictions() -> Predictions:
    """90 films of 30 patients; two thirds are pneumonia, half of that bacterial."""
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


@pytest.fixture(scope="session")
def decision() -> Decision:
    """An operating point and a temperature, as fitted on 50 films."""
    return Decision("youden", 2.0, 0.6, 50, "")


@pytest.fixture(scope="session")
def findings(predictions: Predictions, decision: Decision, picture: Tile) -> list[Finding]:
    """The findings of all audits but that of metadata, on statistics and pixels drawn at random."""
    rng, n = np.random.default_rng([1]), len(predictions.labels)
    labels, logits = predictions.labels, predictions.logits
    statistics = {name: rng.random(n) for name in STATISTICS}
    images = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8)
    strips = dict.fromkeys(("explanations-0", "explanations-1"), picture)
    wrong = failures(labels, logits, decision, predictions.files, k=1)
    overlays = dict.fromkeys(("false_positives-0", "false_negatives-0"), picture)
    stages = [Stage("heads", 16, 0, 0.1, (0.0, 0.2))]
    shares = FilmEvidence(np.ones(n, bool), rng.random(n), np.full(n, 0.4))
    bootstrap = Bootstrap("patient", 20)
    by_class = evidence_by_class(labels, shares, predictions.units, bootstrap, CLASS_NAMES)
    return [
        replace(wrong, overlays=overlays),
        subgroups(predictions, decision, statistics),
        shortcuts(statistics, labels, logits, logits >= 0),
        robustness(lambda films: films.mean((1, 2)) - 128, images, labels, decision),
        Evidence(by_class, bootstrap, {"evidence-0": picture}),
        Explanations(16, 0, 0, stages, True, strips),
    ]


@pytest.fixture(scope="session")
def facts() -> RunFacts:
    """The facts about a run of three epochs that is scored on its test films."""
    return RunFacts(
        synthetic=False,
        run="base",
        split="test",
        root="/films",
        films="0123456789abcdef",
        step=7,
        epoch=2,
        versions={"jax": "0"},
        provenance={
            "revision": "abc",
            "command": ["main.py", "--config=<b>.py"],
            "devices": ["cpu:0"],
            "platform": "here",
            "versions": {"jax": "0"},
            "films": {"train": "fedc", "validation": ""},
        },
        config={"seed": 0},
        flow=Flow(
            films=[
                FilmCount("train", "NORMAL", "none", 9, 4),
                FilmCount("test", "NORMAL", "none", 9, None),
            ],
            rejected=[("NORMAL/a|b.jpeg", "empty file")],
            swapped=0,
            duplicates=0,
            audit="audit: apart",
            training_prevalence=0.75,
        ),
        selection=Selection("loss", 3, 40),
        history=[
            {"epoch": i, "train_loss": 1 / i, "val_loss": 1 / i, "val_sensitivity": 0.9}
            for i in (1, 2, 3)
        ],
        audit={},
    )


@pytest.fixture(scope="session")
def make_evaluation(
    predictions: Predictions, decision: Decision, facts: RunFacts, findings: list[Finding]
) -> Callable[..., Evaluation]:
    """`(predictions, facts, findings) -> an evaluation`, each with a default."""

    def make(
        of: Predictions = predictions,
        facts: RunFacts = facts,
        findings: Sequence[Finding] = findings,
    ) -> Evaluation:
        return Evaluation(facts, of, summarise(of, decision), findings)

    return make


@pytest.fixture(scope="session")
def evaluation(make_evaluation: Callable[..., Evaluation]) -> Evaluation:
    """An evaluation of `predictions`."""
    return make_evaluation()


@pytest.fixture(scope="session")
def picture() -> Tile:
    """A small picture with two lines of text."""
    return Tile(Image.new("RGB", (8, 8)), ("a title", "test/film.jpeg"))


@pytest.fixture(scope="session")
def undrawn(picture: Tile) -> Callable[..., AbstractContextManager[None]]:
    """A context in which reports get a small picture for each chart: drawing takes seconds."""

    @contextmanager
    def undrawn() -> Iterator[None]:
        charts = ("roc", "precision_recall", "confusion", "reliability", "training")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "draw_charts", lambda evaluation: dict.fromkeys(charts, picture))
            for finding in (Subgroups, Shortcuts, Robustness):
                drawn = {finding.__name__.lower(): picture}
                patch.setattr(finding, "pictures", lambda self, drawn=drawn: drawn)
            yield

    return undrawn


@pytest.fixture
def without_charts(undrawn: Callable[..., AbstractContextManager[None]]) -> Iterator[None]:
    """Reports of one test without charts."""
    with undrawn():
        yield
