"""The contact sheet of films as decoded and as training augments them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pneumojax.augment.augment import film_keys, make_augment
from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.preview import augmented, contact_sheet, preview


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config.lock()


@pytest.mark.slow
def test_films_are_augmented_as_in_training(config, cache_dir):
    config = changed(config, augment__rotation=20.0, augment__size=24)
    films = load_splits(config, cache_dir, log=lambda line: None).train
    chosen = np.array([3, 0, 7], np.int32)
    shown = augmented(config, films.pixels(chosen), chosen, epochs=2)
    assert shown.shape == (2, 3, 24, 24)
    augment = jax.jit(make_augment(config.augment, config.data.image_size))
    pixels = films.pixels(np.arange(8))[..., None].astype(np.float32) / 255
    step = augment(pixels, film_keys(config.seed, jnp.int32(1), jnp.arange(8)))
    # The two are compiled for different batches, so float32 sums may round differently.
    np.testing.assert_allclose(shown[1], np.asarray(step)[chosen][..., 0], atol=1e-5)


def test_the_sheet_has_a_row_for_each_film_and_a_column_for_each_epoch():
    images = np.zeros((2, 8, 8), np.uint8)
    figure = contact_sheet(images, np.ones((3, 2, 8, 8), np.float32), ["a", "b"], "foot")
    assert len(figure.axes) == 2 * 4
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["as decoded", "epoch 1", "epoch 2", "epoch 3"] + [""] * 4
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["a", "b"]
    assert figure.axes[0].images[0].get_array().max() == 0
    assert figure.axes[1].images[0].get_array().min() == 1


@pytest.mark.slow
def test_a_preview_is_a_picture_in_a_run_folder_and_can_be_repeated(config, tmp_path, cache_dir):
    path = preview(config, tmp_path / "run", cache_dir)
    before = np.asarray(Image.open(path))
    assert 1200 <= before.shape[1] <= 1300 and before.shape[0] < before.shape[1]
    assert path.parent.joinpath("config.json").exists()
    again = np.asarray(Image.open(preview(config, path.parent, cache_dir)))
    np.testing.assert_array_equal(again, before)


def test_a_wrong_setting_or_folder_is_refused_before_anything_is_drawn(config, tmp_path, cache_dir):
    with pytest.raises(UserError, match="config.augment.flip is 2.0"):
        preview(changed(config, augment__flip=2.0), tmp_path / "run", cache_dir)
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files but no run"):
        preview(config, tmp_path / "mine", cache_dir)
