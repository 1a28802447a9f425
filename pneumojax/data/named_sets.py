"""The data sets that `config.data.root` can name in place of a folder."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pneumojax.config.rules import NAMED_SETS
from pneumojax.data import hard_films, phantom_films
from pneumojax.data.classes import CLASS_NAMES
from pneumojax.data.films import SPLITS
from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.errors import UserError


def resolve_root(root: str, cache_dir: Path) -> Path:
    """The folder of `config.data.root`; a named set is drawn or fetched at its first use."""
    if root not in NAMED_SETS:
        return Path(root)
    if root == "pneumonia_mnist":
        return export_pneumonia_mnist(cache_dir)
    if root == "synthetic_hard":
        return hard_films.ensure_hard_films(cache_dir)
    return phantom_films.ensure_films(cache_dir)


def export_pneumonia_mnist(cache_dir: Path) -> Path:
    """Writes TFDS's `pneumonia_mnist` (28 x 28 pixels), once, as a folder like any other.

    The set does not tell who is on which film, so the file names tell no patient. Without a network
    TFDS tries for some minutes before it gives up.

    Raises:
        UserError: the set cannot be downloaded or the folder cannot be written.
    """
    folder = cache_dir / "pneumonia_mnist"
    if folder.is_dir():
        return folder
    tensorflow()  # before TFDS imports it, which would take a GPU's memory
    import tensorflow_datasets as tfds

    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        datasets = tfds.load(
            "pneumonia_mnist", split=list(SPLITS), data_dir=str(cache_dir / "tfds")
        )
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".pneumonia_mnist-") as temporary:
            written = Path(temporary) / "films"
            for split, dataset in zip(SPLITS, datasets, strict=True):
                _write_split(written / split, tfds.as_numpy(dataset))
            written.rename(folder)  # last, so that half a set is never taken for a whole one
    except Exception as error:  # network, disk and TFDS each fail in their own ways
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"pneumonia_mnist: could not be fetched into {str(cache_dir)!r} ({reason}); "
            "check the network or use a folder of films"
        ) from error
    return folder


def _write_split(folder: Path, examples: Iterator[dict[str, np.ndarray]]) -> None:
    for name in CLASS_NAMES:
        (folder / name).mkdir(parents=True)
    for number, example in enumerate(examples):
        film = Image.fromarray(np.squeeze(example["image"], axis=-1))
        film.save(folder / CLASS_NAMES[int(example["label"])] / f"film-{number:05d}.png")
