"""Finds chest films in a folder and decodes one film into grey pixels, or says why it cannot.

For everything that reads films: the pipeline, prediction and the TFDS builder.
"""

import contextlib
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin

from pneumojax.errors import UserError

CLASS_NAMES = ("NORMAL", "PNEUMONIA")  # the index is the label
SPLITS = ("train", "val", "test")
SUFFIXES = (".jpeg", ".jpg", ".png")
RESIZES = ("bilinear_antialias", "bilinear", "nearest")
MIN_SIDE = 16  # pixels; nothing smaller is a radiograph
MAX_PIXELS = 100_000_000  # checked before decoding: a small file can unpack to fill the memory

LAYOUT = "expected <root>/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg"

_PLUGINS = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
}
_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {  # EXIF orientation -> what makes the film upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_warnings_lock = threading.Lock()


class FilmError(Exception):
    """A file that is not a readable film; the message is the short reason for the list."""


@dataclass(frozen=True)
class Preprocessing:
    """Everything that determines the pixels that leave the host; it travels with checkpoints.

    Args:
        image_size: side of the square that the network sees, pixels.
        resize: "bilinear_antialias", "bilinear" (two taps) or "nearest".

    Raises:
        UserError: a field out of range, named as in the config.
    """

    image_size: int = 150
    resize: str = "bilinear_antialias"

    def __post_init__(self) -> None:
        if type(self.image_size) is not int or self.image_size < 1:
            raise UserError(
                f"data.image_size: {self.image_size!r} is not a positive whole number of pixels"
            )
        if self.resize not in RESIZES:
            raise UserError(f"data.resize: {self.resize!r} is unknown; use one of {RESIZES}")

    def as_dict(self) -> dict[str, int | str]:
        """The fields by name, for JSON; `Preprocessing(**d)` reads them back."""
        return asdict(self)


@dataclass(frozen=True)
class FilmFile:
    """One file that should be a film; nothing of its contents has been read."""

    path: str  # relative to the root, with forward slashes
    split: str  # "train", "val", "test", or "all" where the folder has no splits
    label: int
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class Folder:
    """The films under a root, sorted by path, and how many other files lie there."""

    root: Path
    files: tuple[FilmFile, ...]
    ignored: int


@dataclass(frozen=True)
class DecodedFilm:
    """A film as the network sees it, its upright size in the file and the file's SHA-256."""

    pixels: np.ndarray  # uint8 (image_size, image_size)
    width: int
    height: int
    sha256: str


def find_films(root: Path) -> Folder:
    """Lists the films of a folder in the Kaggle layout, whatever else the archive left there.

    Only direct children of class folders count. Folder names and suffixes may be in any case;
    dot-files, `__MACOSX`, other suffixes and a nested second copy are left out and counted.
    Where the splits lie one folder further down, that folder is the root; a folder of
    the two classes alone is accepted as one split named "all".

    Raises:
        UserError: the root is missing, not a folder, cannot be read, or has no class folder.
    """
    if not root.is_dir():
        wrong = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"data.root: {str(root)!r} {wrong}; {LAYOUT}")
    try:
        root, splits = _locate_splits(root)
        films, ignored = _scan(root, splits)
    except OSError as error:
        raise UserError(
            f"data.root: cannot read {str(error.filename)!r} ({error.strerror}); "
            "check its permissions"
        ) from error
    return Folder(root, tuple(sorted(films, key=lambda film: film.path)), ignored)


def decode_film(data: bytes, preprocessing: Preprocessing) -> tuple[np.ndarray, int, int]:
    """Decodes a JPEG or PNG of any mode into one resized grey channel.

    Returns:
        uint8 (image_size, image_size), and width and height in pixels of the upright film.

    Raises:
        FilmError: as `decode_grey`.
    """
    grey = decode_grey(data)
    return np.array(_resize(grey, preprocessing)), *grey.size


def decode_grey(data: bytes) -> Image.Image:
    """Decodes a JPEG or PNG of any mode into an upright film of one channel, at full size.

    Alpha is ignored, 16 bits are scaled by their full range, the EXIF orientation is applied.

    Raises:
        FilmError: not a film, damaged, cut short, too small or too large.
    """
    if not data:
        raise FilmError("empty file")
    # Pillow warns about odd metadata, which says nothing about the pixels. The filter is global
    # to the process, so it is touched only where there is metadata.
    metadata = any(mark in data for mark in (b"Exif", b"eXIf", b"exif", b"acTL"))
    quiet = _no_warnings if metadata else contextlib.nullcontext
    with quiet():
        image = _open(data)
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise FilmError(f"{width} x {height} pixels: too small")
    if width * height > MAX_PIXELS:
        raise FilmError(f"{width} x {height} pixels: too large")
    try:
        image.load()
    except Exception as error:  # damaged files make Pillow raise nearly anything
        state = "truncated" if "truncated" in str(error) else "damaged"
        raise FilmError(f"{state} {image.format}") from error
    orientation = 1
    if metadata:
        # Damaged EXIF is no reason to lose a film.
        with quiet(), contextlib.suppress(Exception):
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    grey = _to_grey(image)
    if orientation in _TRANSPOSES:
        grey = grey.transpose(_TRANSPOSES[orientation])
    return grey


def read_film(path: Path, preprocessing: Preprocessing) -> DecodedFilm:
    """Reads and decodes one file.

    Raises:
        FilmError: as `decode_film`, or the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FilmError(f"cannot be read: {error.strerror}") from error
    pixels, width, height = decode_film(data, preprocessing)
    return DecodedFilm(pixels, width, height, hashlib.sha256(data).hexdigest())


def _locate_splits(root: Path) -> tuple[Path, dict[Path, str]]:
    """The folder to call root, and the split that each of its split folders holds."""
    if splits := _split_folders(root):
        return root, splits
    if _class_folders(root):
        return root, {root: "all"}
    below = [(child, splits) for child in _subfolders(root) if (splits := _split_folders(child))]
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(repr(child.name) for child, _ in below)
        raise UserError(f"data.root: {str(root)!r} holds several data sets ({names}); name one")
    names = ", ".join(repr(name) for name in sorted(os.listdir(root))[:5])
    raise UserError(
        f"data.root: no NORMAL or PNEUMONIA folder in {str(root)!r} "
        f"(found {names or 'nothing'}); {LAYOUT}"
    )


def _scan(root: Path, splits: dict[Path, str]) -> tuple[list[FilmFile], int]:
    """The films in the class folders, and how many other files lie under the root."""
    classes = {
        folder: (split, label)
        for parent, split in splits.items()
        for folder, label in _class_folders(parent).items()
    }
    films, ignored = [], 0
    for folder in {root, *splits, *classes}:
        for entry in os.scandir(folder):
            path = Path(entry.path)
            if path in splits or path in classes:
                continue
            if folder in classes and _looks_like_film(entry):
                split, label = classes[folder]
                status = entry.stat()
                name = path.relative_to(root).as_posix()
                films.append(FilmFile(name, split, label, status.st_size, status.st_mtime_ns))
            else:
                ignored += _count_files(entry)
    return films, ignored


def _split_folders(folder: Path) -> dict[Path, str]:
    named = _named(folder, SPLITS)
    return {child: split for child, split in named.items() if _class_folders(child)}


def _class_folders(folder: Path) -> dict[Path, int]:
    return {child: CLASS_NAMES.index(name) for child, name in _named(folder, CLASS_NAMES).items()}


def _named(folder: Path, names: Sequence[str]) -> dict[Path, str]:
    """The subfolders with one of the names, in whatever case, and that name."""
    by_lower = {name.lower(): name for name in names}
    return {
        child: by_lower[child.name.lower()]
        for child in _subfolders(folder)
        if child.name.lower() in by_lower
    }


def _subfolders(folder: Path) -> list[Path]:
    hidden = (".", "__MACOSX")
    return sorted(
        child for child in folder.iterdir() if not child.name.startswith(hidden) and child.is_dir()
    )


def _looks_like_film(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    return name.endswith(SUFFIXES) and not name.startswith(".") and entry.is_file()


def _count_files(entry: os.DirEntry[str]) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(names) for _, _, names in os.walk(entry.path))


def _open(data: bytes) -> ImageFile.ImageFile:
    """Reads the header. `Image.open` would add a size check that warns; ours does not."""
    for signature, plugin in _PLUGINS.items():
        if data.startswith(signature):
            try:
                return plugin(io.BytesIO(data))
            except Exception as error:  # damaged headers make Pillow raise nearly anything
                raise FilmError(f"damaged {plugin.format} header") from error
    raise FilmError("not a JPEG or PNG image")


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which convert("L") would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.info.pop("transparency", None)  # or convert() warns about it
    return image.convert("L")


def _resize(grey: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    size = (preprocessing.image_size, preprocessing.image_size)
    if preprocessing.resize == "nearest":
        return grey.resize(size, Image.Resampling.NEAREST)
    if preprocessing.resize == "bilinear_antialias":  # Pillow widens the filter when it shrinks
        return grey.resize(size, Image.Resampling.BILINEAR)
    scale = (grey.width / size[0], 0, 0, 0, grey.height / size[1], 0)
    return grey.transform(size, Image.Transform.AFFINE, scale, Image.Resampling.BILINEAR)
