"""The audit that docs/own_audit.md adds, and the audits of a network without maps."""

import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.configs import base
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.classes import CLASS_NAMES
from pneumojax.data.films import find_films
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.evaluation.audits import explanations, failures, registry
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.evaluate import evaluate_subject
from pneumojax.evaluation.predictions import Predictions
from pneumojax.inference.decision import undecided
from pneumojax.inference.network import make_network
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.sharding import make_mesh, replicated

OWN_AUDIT = Path(__file__).parents[3] / "docs" / "own_audit.md"


def score(films):
    """Logits (n,) that rise with the brightness of a film's left half."""
    images = films.pixels(np.arange(len(films)))
    return (images[..., : images.shape[2] // 2].mean((1, 2)) - 120).astype(np.float32)


@pytest.fixture(scope="module")
def subject(films_root, cache_dir):
    cache = FilmCache(cache_dir, log=lambda _: None)
    folder = find_films(films_root)
    films = load_split(folder, "test", Preprocessing(32), cache, max_rejected_fraction=0)
    config = base.get_config()
    config.data.image_size = 32
    config.model.stem, config.model.modules = (4, 4, 8), ((4, 4, 8, 2, 4, 4),)
    network, mesh = make_network(config), make_mesh()
    rng = np.random.default_rng([1])
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), leaf.dtype),
        network.abstract_params,
    )
    trained = TrainedRun(config, network, mesh, jax.device_put(params, replicated(mesh)), {})
    predictions = Predictions.of_films(films, score(films), [""] * len(films), CLASS_NAMES)
    return Subject(trained, undecided("no validation film"), films, predictions, score)


def test_an_audit_that_the_docs_add_is_stored_and_told(
    subject, facts, tmp_path, monkeypatch, without_charts
):
    text = OWN_AUDIT.read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M)
    assert len(block.splitlines()) < 60
    namespace = {}
    exec(compile(block, "docs/own_audit.md", "exec"), namespace)
    monkeypatch.setattr(registry, "AUDITS", (failures.audit, namespace["audit"]))
    result = evaluate_subject(tmp_path, subject, facts).record()
    images = subject.films.pixels(np.arange(len(subject.films)))[..., ::-1]
    mirrored = replace(subject.films, images=images, rows=np.arange(len(images)))
    changed = (score(mirrored) >= 0) != (subject.predictions.logits >= 0)
    assert result["mirroring"] == {"n": len(images), "changed_calls": int(changed.sum())}
    assert f"{changed.sum()} of {len(images)} calls change" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "pictures" / "mirroring.png").exists()


def test_a_network_without_maps_is_audited_without_them(subject):
    bare = replace(subject.trained.network, explains=False)
    without = replace(subject, trained=replace(subject.trained, network=bare))
    assert explanations.audit(without) is None
    found, explained = failures.audit(without), failures.audit(subject)
    assert found.record() == explained.record()
    assert explained.pictures() and not found.pictures() and not found.section().pictures
