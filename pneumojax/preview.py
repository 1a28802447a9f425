"""Draws a contact sheet of training films, as decoded and as training augments them."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from numpy.typing import NDArray

from pneumojax.augment.augment import film_keys, make_augment
from pneumojax.data.splits import load_splits
from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.files import printable, replacing
from pneumojax.run.begin import begin
from pneumojax.run.stored_config import is_synthetic

EPOCHS = 7
FILMS = 3  # of each class


def preview(config: ConfigDict, workdir: Path, cache_dir: Path) -> Path:
    """Draws `<workdir>/preview.png`, prints its path and returns it.

    The films are evenly spaced among those of each class. They are augmented as in the first
    epochs of a run of this config.

    Raises:
        UserError: as `load_splits`, or the folder is not that of a run of this config.
    """
    begin(workdir, config)
    films = load_splits(config, cache_dir).train
    classes = [np.flatnonzero(films.labels == label) for label in (0, 1)]
    chosen = np.concatenate([_evenly_spaced(of_class) for of_class in classes]).astype(np.int32)
    images = films.pixels(chosen)
    shown = augmented(config, images, chosen, EPOCHS)
    size = config.augment.size or config.data.image_size
    foot = f"{config.name}: {size} pixels in training, {config.data.image_size} in evaluation"
    if is_synthetic(config):
        foot += f". {SYNTHETIC_STAMP}"
    names = [films.naming.classes.names[label] for label in films.labels[chosen]]
    path = workdir / "preview.png"
    figure = contact_sheet(images, shown, names, foot)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    print(f"written to {printable(str(path))}")
    return path


def augmented(
    config: ConfigDict, images: NDArray[np.uint8], films: NDArray[np.int32], epochs: int
) -> NDArray[np.float32]:
    """Augmented images (n, side, side), as (epochs, n, size, size) in [0, 1].

    `films` (n,) are their indices among the training films, which their changes depend on.
    """
    augment = jax.jit(make_augment(config.augment, config.data.image_size))
    pixels = images[..., None].astype(np.float32) / 255
    return np.stack(
        [
            np.asarray(
                augment(pixels, film_keys(config.seed, jnp.int32(epoch), jnp.asarray(films)))
            )[..., 0]
            for epoch in range(epochs)
        ]
    )


def contact_sheet(
    images: NDArray[np.uint8], shown: NDArray[np.float32], names: list[str], foot: str
) -> Figure:
    """A figure with a row for each film: as decoded, then as `augmented` shows it in each epoch."""
    epochs, films = shown.shape[:2]
    figure = Figure(
        figsize=(1.55 * (epochs + 1) + 0.4, 1.55 * films + 0.75),
        dpi=100,
        facecolor="white",
        layout="constrained",
    )
    grid = figure.subplots(films, epochs + 1, squeeze=False)
    for row, (image, name) in enumerate(zip(images, names, strict=True)):
        for column, axes in enumerate(grid[row]):
            picture = image / 255 if column == 0 else shown[column - 1, row]
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title("as decoded" if column == 0 else f"epoch {column}", size=11)
        grid[row][0].set_ylabel(name, size=11)
    figure.supxlabel(foot, size=10)
    return figure


def _evenly_spaced(films: NDArray[np.int64]) -> NDArray[np.int64]:
    return films[np.unique(np.linspace(0, len(films) - 1, FILMS).round().astype(np.int64))]
