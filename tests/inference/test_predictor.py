"""A predictor of small untrained networks on films in memory, in a set and in a stream."""

import csv
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict
from PIL import Image

from pneumojax.api.load import load
from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.inference.predictor import Predictor
from pneumojax.run.begin import begin
from tests.predict.conftest import save

FILMS = np.random.default_rng(0).integers(0, 256, (9, 32, 32), np.uint8)


class Plain(nnx.Module):
    """A user's own network: the mean grey level decides, and there are no feature maps."""

    def __init__(self, *, image_size, normalise, dtype, slope, rngs):
        self.slope = nnx.Param(jax.numpy.full((), slope, dtype))

    def __call__(self, images, dropout_keys=None):
        return {"main": (images.mean((1, 2, 3)) - 0.5) * self.slope}


@pytest.fixture
def predictor(workdir):
    return Predictor.open([workdir]).in_batches_of(4 * jax.device_count())


def test_an_array_and_a_stream_in_any_batch_size_give_the_same_logits(predictor):
    logits = predictor.logits(FILMS)
    assert logits.shape == (1, 9) and logits.dtype == np.float32
    twice = predictor.in_batches_of(2 * predictor.batch_size)
    np.testing.assert_array_equal(twice.logits(FILMS), logits)
    batches = [("a", FILMS[:4, ..., None]), ("b", FILMS[4:8, ..., None])]
    (a, first), (b, second) = predictor.in_batches_of(4).stream(batches)
    assert (a, b) == ("a", "b") and first.maps is second.maps is None
    np.testing.assert_array_equal(np.hstack([first.logits, second.logits]), logits[:, :8])


@pytest.mark.parametrize("films", [FILMS / np.float32(255), FILMS[:, :30], FILMS[..., None]])
def test_films_of_another_type_or_shape_are_refused(predictor, films):
    for answer in (predictor.logits, predictor.probabilities, predictor.explain):
        with pytest.raises(ValueError, match=r"films must be uint8 \(n, 32, 32\), not"):
            answer(films)


def test_files_are_read_as_the_network_sees_them_and_a_bad_one_is_named(predictor, tmp_path):
    Image.fromarray(FILMS[0]).save(tmp_path / "film.png")
    np.testing.assert_array_equal(predictor.read([tmp_path / "film.png"] * 2), FILMS[[0, 0]])
    assert predictor.read([]).shape == (0, 32, 32)
    (tmp_path / "text.png").write_text("not a film")
    with pytest.raises(UserError, match="text.png"):
        predictor.read([tmp_path / "film.png", tmp_path / "text.png"])


def test_a_run_opens_by_a_relative_path(workdir, monkeypatch):
    monkeypatch.chdir(workdir.parent)
    assert len(Predictor.open([Path(workdir.name)]).members) == 1


def test_a_film_set_has_the_logits_of_its_pixels(predictor, config, cache_dir):
    films = load_splits(config, cache_dir).validation
    pixels = films.pixels(np.arange(len(films)))
    assert len(films) % predictor.batch_size  # the last batch is padded
    np.testing.assert_array_equal(predictor.logits(films), predictor.logits(pixels))
    calibrated = predictor.decision.probabilities(predictor.logits(films)[0])
    np.testing.assert_array_equal(predictor.probabilities(films), calibrated)


def test_a_network_is_compiled_once_for_any_number_of_films(predictor, caplog):
    predictor.logits(FILMS[:3])
    with jax.log_compiles():
        for count in (1, 5, 9):
            predictor.logits(FILMS[:count])
    assert "Compiling" not in caplog.text


def test_maps_come_with_the_logits_of_a_pass_without_them(predictor):
    logits, maps = predictor.explain(FILMS)
    # The gradient is computed by another program, which may order sums differently.
    np.testing.assert_allclose(logits, predictor.logits(FILMS), rtol=1e-5, atol=1e-6)
    assert maps.shape == FILMS.shape and maps.min() >= 0 and maps.max() <= 1


@pytest.mark.slow
def test_members_answer_together_with_the_mean_of_their_probabilities_and_maps(
    workdir, config, tmp_path
):
    begin(tmp_path / "other", other := config.copy_and_resolve_references().unlock())
    other.seed = 3  # with this seed the maps of these films are not empty
    save(tmp_path / "other", other.lock())
    folders = [workdir, tmp_path / "other"]
    one, two = (Predictor.open([folder]).in_batches_of(4) for folder in folders)
    both = Predictor.open(folders).in_batches_of(4)
    logits, maps = both.explain(FILMS)
    assert np.abs(logits[0] - logits[1]).min() > 1e-6
    np.testing.assert_array_equal(
        both.logits(FILMS), [each.logits(FILMS)[0] for each in (one, two)]
    )
    assert maps.any()
    np.testing.assert_array_equal(maps, (one.explain(FILMS)[1] + two.explain(FILMS)[1]) / 2)
    mean = (one.probabilities(FILMS) + two.probabilities(FILMS)) / 2
    np.testing.assert_allclose(both.probabilities(FILMS), mean, rtol=1e-12)


def test_a_network_without_feature_maps_is_predicted_but_not_explained(config, tmp_path):
    values = config.to_dict() | {"model": {"network": f"{__name__}:Plain", "dtype": "float32"}}
    values["model"]["slope"] = 3.0
    config = ConfigDict(values).lock()
    begin(tmp_path / "run", config)
    save(tmp_path / "run", config)
    predictor = Predictor.open([tmp_path / "run"], any_network=True)
    expected = (FILMS.astype(np.float32) / 255).mean((1, 2)) * 3 - 1.5
    np.testing.assert_allclose(predictor.logits(FILMS)[0], expected, atol=1e-5)
    assert not predictor.explains
    with pytest.raises(UserError, match=":Plain has no Grad-CAM maps"):
        predictor.explain(FILMS)
    Image.fromarray(FILMS[0]).save(tmp_path / "f.png")
    model, output = load(tmp_path / "run", any_network=True), tmp_path / "out.csv"
    with pytest.raises(UserError, match="has no Grad-CAM maps"):
        model.predict_files(tmp_path / "f.png", output, overlays=tmp_path / "o")
    assert not output.exists() and not (tmp_path / "o").exists()
    assert model.predict_files(tmp_path / "f.png", output).unreadable == 0
    (row,) = csv.DictReader(output.read_text().splitlines())
    (expected,) = predictor.probabilities(FILMS[:1])
    assert float(row["probability"]) == pytest.approx(expected, abs=1e-6)
