"""The TFDS road: a folder of films as the data set `chest_xray`, and PneumoniaMNIST as a folder.

For those who want the films in TFDS; training reads folders without it.
"""

import hashlib
import io
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from pneumojax.data.films import (
    CLASS_NAMES,
    LAYOUT,
    SPLITS,
    FilmFile,
    Folder,
    find_films,
)
from pneumojax.data.patients import identify
from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.decoding.film import FilmError, decode_grey
from pneumojax.errors import UserError

_HOMEPAGE = "https://doi.org/10.17632/rscbjbr9sj"
_LICENSE = "CC BY 4.0"
_CITATION = """
@article{kermany2018identifying,
  title = {Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning},
  author = {Kermany, Daniel S. and Goldbaum, Michael and Cai, Wenjia and others},
  journal = {Cell},
  volume = {172},
  number = {5},
  pages = {1122--1131},
  year = {2018},
  doi = {10.1016/j.cell.2018.02.010},
}
@misc{kermany2018labeled,
  title = {Labeled Optical Coherence Tomography ({OCT}) and Chest X-Ray Images for Classification},
  author = {Kermany, Daniel and Zhang, Kang and Goldbaum, Michael},
  publisher = {Mendeley Data},
  year = {2018},
  doi = {10.17632/rscbjbr9sj},
  note = {CC BY 4.0},
}
"""


class ChestXray(tfds.core.GeneratorBasedBuilder):
    """Paediatric chest films, normal or pneumonia, from a folder in the Kaggle layout.

    Written for "Chest X-Ray Images (Pneumonia)": frontal films of children of one to five years,
    Guangzhou Women and Children's Medical Center. Kermany, Zhang, Goldbaum 2018,
    doi 10.17632/rscbjbr9sj, CC BY 4.0. Counted on the official folders:

    | split | normal | pneumonia | bacteria | virus | patients               |
    | ----- | ------ | --------- | -------- | ----- | ---------------------- |
    | train | 1,341  | 3,875     | 2,530    | 1,345 | 1,211 normal, 2,443 ill |
    | test  | 234    | 390       | 242      | 148   | as published           |

    Among the training films are 24 groups of byte-identical files, each of one patient. A patient
    is the pathogen or series together with the number.

        import pneumojax.data.chest_xray
        tfds.load("chest_xray", builder_kwargs={"root": folder}, data_dir=...)

    What is prepared is kept under the fingerprint of the root (names, sizes and times of its
    films), so a changed or a second folder is prepared anew. The films may instead be given as
    the `manual_dir` of a `tfds.download.DownloadConfig`; TFDS keeps one prepared set for that
    road, and a folder of other films is refused rather than served that one's.

    There is a split for each that the folder has; a folder of the two classes alone becomes
    "train". Unreadable films are left out: `info.metadata` has their number as "rejected" and
    the reason for each as "reasons".

    Raises:
        UserError: no root was given, or two, or it holds no readable film.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Unpack the films; {LAYOUT}."

    def __init__(self, *, root: str | Path | None = None, **kwargs: Any) -> None:
        self._root = root
        self._folder = None if root is None else _find_some(root)
        config = None
        if self._folder is not None:
            config = tfds.core.BuilderConfig(name=_fingerprint(self._folder))
        super().__init__(config=config, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()["_original_state"]
        state = {key: value for key, value in state.items() if key != "config"}
        return {"_original_state": state | {"root": self._root}}

    def is_prepared(self) -> bool:
        """Whether the films of this builder are prepared; without a root that is not known yet."""
        # `tfds.load` asks this first, and where it is true it drops the `manual_dir` unread.
        return self._folder is not None and super().is_prepared()

    def download_and_prepare(
        self,
        *,
        download_config: tfds.download.DownloadConfig | None = None,
        **kwargs: Any,
    ) -> None:
        """Prepares the films of the root, or of the `manual_dir` where no root was given."""
        config = download_config or tfds.download.DownloadConfig()
        if config.manual_dir is not None:
            if self._root is not None:
                raise UserError("chest_xray: root and manual_dir both given; give one")
            self._folder = _find_some(config.manual_dir)
            if not config.download_mode.overwrite_dataset:
                self._refuse_other_films(self._folder)
        elif self._folder is None and not self.data_path.exists():
            raise UserError(
                'chest_xray: no folder of films; give builder_kwargs={"root": folder} '
                "or DownloadConfig(manual_dir=folder)"
            )
        super().download_and_prepare(download_config=config, **kwargs)

    def _refuse_other_films(self, folder: Folder) -> None:
        if not self.data_path.exists():
            return
        prepared = tfds.core.MetadataDict()
        prepared.load_metadata(self.data_path)  # not self.info: it may be older than the files
        if prepared["fingerprint"] != _fingerprint(folder):
            raise UserError(
                f"chest_xray: {str(self.data_dir)!r} was prepared from other films than "
                f'{str(folder.root)!r}; give builder_kwargs={{"root": folder}} or delete it'
            )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=CLASS_NAMES),
                    "patient": tfds.features.Text(),
                    "pathogen": tfds.features.Text(),
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=_HOMEPAGE,
            citation=_CITATION,
            license=_LICENSE,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        assert self._folder is not None  # download_and_prepare saw to it
        files: dict[str, list[FilmFile]] = {}
        for film in self._folder.files:
            files.setdefault("train" if film.split == "all" else film.split, []).append(film)
        self.info.metadata.update(fingerprint=_fingerprint(self._folder), rejected=0, reasons={})
        generators: dict[str, Iterator[tuple[str, dict[str, Any]]]] = {}
        for split in (split for split in SPLITS if split in files):
            examples = self._generate_examples(files[split])
            # TFDS takes a split without examples for a fault, so look at the first.
            if first := next(examples, None):
                generators[split] = itertools.chain([first], examples)
        if not generators:
            raise UserError(f"data.root: no readable film in {str(self._folder.root)!r}; {LAYOUT}")
        return generators

    def _generate_examples(self, files: list[FilmFile]) -> Iterator[tuple[str, dict[str, Any]]]:
        assert self._folder is not None
        for film in files:
            # A file name need not be valid text.
            name = film.path.encode("utf-8", "backslashreplace").decode()
            try:
                image = _grey_file((self._folder.root / film.path).read_bytes())
            except (FilmError, OSError) as error:
                self.info.metadata["rejected"] += 1
                self.info.metadata["reasons"][name] = str(error)
                continue
            identity = identify(name, film.label)
            yield (
                name,
                {
                    "image": image,
                    "label": film.label,
                    "patient": identity.patient,
                    "pathogen": identity.pathogen,
                    "file_name": name,
                },
            )


def export_pneumonia_mnist(cache_dir: Path) -> Path:
    """Writes TFDS's `pneumonia_mnist` (28 x 28 pixels) as a folder that is read like any other.

    The names carry no patient: the set does not tell who is on which film. Without a network
    TFDS tries for some minutes before it gives up.

    Returns:
        `cache_dir / "pneumonia_mnist"`, with train, val and test; written once.

    Raises:
        UserError: the set cannot be downloaded or the folder not written.
    """
    folder = cache_dir / "pneumonia_mnist"
    if folder.is_dir():
        return folder
    tensorflow()  # before TFDS uses it, or it would take a GPU's memory
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


def _find_some(root: str | Path) -> Folder:
    folder = find_films(Path(root).expanduser())
    if not folder.files:
        raise UserError(f"data.root: no films in {str(root)!r}; {LAYOUT}")
    return folder


def _fingerprint(folder: Folder) -> str:
    digest = hashlib.sha256()
    for film in folder.files:
        digest.update(repr((film.path, film.split, film.size, film.mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _grey_file(data: bytes) -> bytes:
    """The film as one upright grey channel, encoded; a JPEG that is so already stays as it is.

    Raises:
        FilmError: as `decode_grey`.
    """
    grey = decode_grey(data)
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as stored:
        if stored.format == "JPEG" and stored.mode == "L" and "exif" not in stored.info:
            return data
    encoded = io.BytesIO()
    grey.save(encoded, format="PNG")
    return encoded.getvalue()
