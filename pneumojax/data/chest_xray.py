"""A folder of films as the TFDS data set `chest_xray`; training does not use it."""

import hashlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from pneumojax.config.rules import ANY_OTHER
from pneumojax.data.classes import CLASS_NAMES, Classes
from pneumojax.data.films import SPLITS, FilmFile, FilmFolder, find_films, layout
from pneumojax.data.naming import FilmNaming
from pneumojax.data.patients import identify
from pneumojax.decoding.film import decode_grey
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import HEAD, decode_any_grey, kind_of
from pneumojax.errors import UserError

Examples = Iterator[tuple[str, dict[str, Any]]]  # a film's name, and its features by name

_LAYOUT = layout(Classes())
_NAMING = FilmNaming(Classes(ignored=(ANY_OTHER,)))  # the builder has no field for other folders
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

    The builder was written for "Chest X-Ray Images (Pneumonia)": frontal films of children of one
    to five years, Guangzhou Women and Children's Medical Center. Kermany, Zhang, Goldbaum 2018,
    doi 10.17632/rscbjbr9sj, CC BY 4.0. The official folders hold:

    | split | normal | pneumonia | bacteria | virus | patients               |
    | ----- | ------ | --------- | -------- | ----- | ---------------------- |
    | train | 1,341  | 3,875     | 2,530    | 1,345 | 1,211 normal, 2,443 ill |
    | test  | 234    | 390       | 242      | 148   | not counted            |

    Among the training films are 24 groups of byte-identical files, each of one patient. A patient
    is identified by the pathogen or series together with the number.

        import pneumojax.data.chest_xray
        tfds.load("chest_xray", builder_kwargs={"root": folder}, data_dir=...)

    The prepared set is kept under a fingerprint of the folder (names, sizes and times of its
    films), so a changed or a second folder is prepared again. The folder may instead be given as
    the `manual_dir` of a `tfds.download.DownloadConfig`. TFDS keeps one prepared set for that case,
    and a folder with other films is refused, since TFDS would return the films of the first.

    The set has the splits of the folder; a folder of the two classes alone becomes "train".
    Unreadable films are left out: `info.metadata` has their number as "rejected" and the reason for
    each as "reasons".

    Raises:
        UserError: no root was given, or two, or it holds no readable film.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Unpack the films; {_LAYOUT}."

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
        """Whether the films are prepared; False until the root is known."""
        # `tfds.load` asks this first, and ignores the `manual_dir` if the answer is True.
        return self._folder is not None and super().is_prepared()

    def download_and_prepare(
        self,
        *,
        download_config: tfds.download.DownloadConfig | None = None,
        **kwargs: Any,
    ) -> None:
        """Prepares the films of the root, or of the `manual_dir` if no root was given."""
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

    def _refuse_other_films(self, folder: FilmFolder) -> None:
        if not self.data_path.exists():
            return
        prepared = tfds.core.MetadataDict()
        prepared.load_metadata(self.data_path)  # self.info may be older than the files
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

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # nothing is downloaded
        assert self._folder is not None  # set by download_and_prepare
        files: dict[str, list[FilmFile]] = {}
        for film in self._folder.files:
            files.setdefault("train" if film.split == "all" else film.split, []).append(film)
        self.info.metadata.update(fingerprint=_fingerprint(self._folder), rejected=0, reasons={})
        generators: dict[str, Examples] = {}
        for split in (split for split in SPLITS if split in files):
            examples = self._generate_examples(files[split])
            # TFDS raises an error for a split without examples.
            if first := next(examples, None):
                generators[split] = itertools.chain([first], examples)
        if not generators:
            raise UserError(
                f"chest_xray: no readable film in {str(self._folder.root)!r}; {_LAYOUT}"
            )
        return generators

    def _generate_examples(self, files: list[FilmFile]) -> Examples:
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


def _find_some(root: str | Path) -> FilmFolder:
    folder = find_films(Path(root).expanduser(), "chest_xray", _NAMING)
    if not folder.files:
        raise UserError(f"chest_xray: no films in {str(root)!r}; {_LAYOUT}")
    return folder


def _fingerprint(folder: FilmFolder) -> str:
    digest = hashlib.sha256()
    for film in folder.files:
        digest.update(repr((film.path, film.split, film.size, film.mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _grey_file(data: bytes) -> bytes:
    """Encodes the film as one upright grey channel; an upright grey JPEG is returned unchanged."""
    if kind_of(data[:HEAD]) == "DICOM":
        grey = decode_any_grey(data)
    else:
        grey = decode_grey(data)
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as stored:
            if stored.format == "JPEG" and stored.mode == "L" and "exif" not in stored.info:
                return data
    encoded = io.BytesIO()
    grey.save(encoded, format="PNG")
    return encoded.getvalue()
