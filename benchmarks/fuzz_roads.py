"""The roads by which a stranger's files come in, and small files that go each of them well.

A road is a function `(input, a folder to write in) -> how it is answered`; what it raises, the
fuzzer counts as broken.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from configs import base  # noqa: E402
from pneumojax import command_line  # noqa: E402
from pneumojax.config import flatten, resolve, run_name  # noqa: E402
from pneumojax.data.decoding import FilmError, Preprocessing, read_bytes  # noqa: E402
from pneumojax.data.films import find_films  # noqa: E402
from pneumojax.data.formats import decode_any  # noqa: E402
from pneumojax.data.patients import carve, identify  # noqa: E402
from pneumojax.errors import UserError  # noqa: E402
from pneumojax.evaluation.scored import read_scored  # noqa: E402
from pneumojax.files import printable, read_csv, write_csv  # noqa: E402
from pneumojax.predict.output import COLUMNS, PredictionFile  # noqa: E402
from pneumojax.predict.sources import Sources  # noqa: E402
from pneumojax.run import FILM_COLUMNS, read_config, read_films  # noqa: E402
from pneumojax.training.logbook import read_history  # noqa: E402

_OF_RUN = {"threshold": 0.5, "trained_on": "", "checkpoint": "", "disclaimer": ""}


def raised_at(error: BaseException) -> str:
    """Where an answer comes from and where what it tells of: one kind for each pair of places.

    Its text is none, since it may quote the file.
    """
    places = [_place(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        places.append(_place(error))
    return " of ".join(dict.fromkeys((places[0], places[-1])))


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name} {frame.name} {frame.lineno}"


def read_image(data: bytes, folder: Path) -> str:
    """How a picture is answered: by its reason, or by its size."""
    try:
        film = decode_any(data, Preprocessing(16, reduced_decode=True))
    except FilmError as error:
        return f"refused: {error}"
    assert film.pixels.shape == (16, 16) and film.pixels.dtype == np.uint8
    assert 0 <= film.colour <= 255
    return f"film of {film.width > film.height}"


def read_predictions(data: bytes, folder: Path) -> str:
    """How a file of predictions is answered, by whoever compares it and whoever goes on with it."""
    answers = []
    for name in ("p.csv", "p.jsonl"):
        path = folder / name
        path.write_bytes(data)
        for read in (
            lambda path=path: read_scored(path),
            lambda path=path: PredictionFile(path, _OF_RUN).__exit__(None, None, None),
        ):
            try:
                read()
                answers.append("read")
            except UserError as error:
                answers.append(raised_at(error))
    return "; ".join(answers)


def read_config_flags(data: bytes, folder: Path) -> str:
    """How overrides on a command line are answered, one to a line of the input."""
    lines = data.decode("utf-8", "surrogateescape").replace("\0", "").splitlines()[:4]
    sys.argv = ["main.py", *(f"--config.{line}" for line in lines)]
    for name in list(flags.FLAGS):  # of the input before
        if name.startswith("config."):
            delattr(flags.FLAGS, name)
    try:
        # What Python warns of in a tuple's text, or when a config is loaded, ends nothing.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            command_line.parse(sys.argv)
            config = resolve(command_line.CONFIG.value)
            assert "/" not in run_name(config)
    except UserError as error:
        assert str(error).strip() and "\n" not in str(error), str(error)
        return f"refused: {raised_at(error)}"
    return "resolved"


def read_folder(data: bytes, folder: Path) -> str:
    """How films are found in a tree: a line of the input is a path, and what is there."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    for line in data.split(b"\n")[:24]:
        path, _, kind = line.partition(b"\t")
        parts = [p[:200] for p in path.split(b"/") if p not in (b"", b".", b"..")]
        with contextlib.suppress(OSError, ValueError):  # not a name, or there already
            _plant(Path(tree, *map(os.fsdecode, parts[:6])), kind[:1])
    answers = []
    try:
        found = find_films(tree)
        names = [file.path for file in found.files]
        who = [identify(file.path, file.label) for file in found.files]
        write_csv(
            tree / ".films.csv",
            ("file", "patient"),
            zip(names, [w.patient for w in who], strict=True),
        )
        back = read_csv(tree / ".films.csv")
        assert [row["file"] for row in back] == names
        assert [row["patient"] for row in back] == [w.patient for w in who]
        labels = np.array([file.label for file in found.files])
        carve([w.patient for w in who], labels, [str(i) for i in range(len(who))], 0.3, 0)
        answers.append("carved")
    except UserError as error:
        answers.append(raised_at(error))
    for path, reason in Sources([str(tree)]).films():
        printable(str(path)).encode()
        try:
            if not reason:
                read_bytes(path)
        except FilmError as error:
            reason = str(error)
        answers.append(reason)
    return "; ".join(sorted(set(answers)))


def _plant(path: Path, kind: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    targets = {b"o": "..", b"s": path.name, b"z": "/dev/zero", b"g": "gone", b"t": "train"}
    if kind in targets:
        path.symlink_to(targets[kind])
    elif kind == b"p":
        os.mkfifo(path)
    elif kind == b"d":
        path.mkdir()
    elif not path.exists():
        path.write_bytes(b"\xff\xd8\xff")


def read_run(data: bytes, folder: Path) -> str:
    """How a stranger's run folder is answered: config.json, films.csv and metrics.jsonl."""
    names = ("config.json", "films.csv", "metrics.jsonl")
    for name, part in zip(names, data.split(b"\n----\n", 2) + [b""] * 3, strict=False):
        (folder / name).write_bytes(part)
    answers = []
    for read in (read_config, read_films, read_history):
        try:
            read(folder)
            answers.append("read")
        except UserError as error:
            answers.append(raised_at(error))
    return "; ".join(answers)


def pictures() -> list[bytes]:
    """A small one of each kind and mode."""
    wave = np.add.outer(np.arange(24), np.arange(32)) * 4
    grey = Image.fromarray(wave.astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    made = []
    for kind, mode, options in (
        *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
        ("JPEG", "L", {"progressive": True, "exif": exif}),
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        ("PNG", "L", {"exif": exif}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"exif": exif}),
        *(("TIFF", mode, {}) for mode in ("1", "L", "RGB", "CMYK")),
        *(("TIFF", "L", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg")),
    ):
        stream = io.BytesIO()
        grey.convert(mode).save(stream, kind, **options)
        made.append(stream.getvalue())
    for kind in ("PNG", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(wave.astype(np.uint16) * 256).save(stream, kind)
        made.append(stream.getvalue())
    return made


def dicoms() -> list[bytes]:
    """Small ones of the common kinds."""
    import imagecodecs
    import pydicom
    from pydicom import uid
    from pydicom.encaps import encapsulate

    pixels = (np.add.outer(np.arange(24), np.arange(32)) * 60).astype(np.uint16)
    small = (pixels >> 4).astype(np.uint8)
    made = []
    for syntax, array, encode in (
        (uid.ExplicitVRLittleEndian, pixels, None),
        (uid.ImplicitVRLittleEndian, small, None),
        (uid.JPEGBaseline8Bit, small, lambda a: imagecodecs.jpeg8_encode(a, 90)),
        (uid.JPEGLosslessSV1, pixels, lambda a: imagecodecs.jpeg8_encode(a, lossless=True)),
        (uid.JPEGLSLossless, pixels, imagecodecs.jpegls_encode),
        (uid.JPEG2000Lossless, pixels, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k")),
    ):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
        data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2"
        data.Rows, data.Columns = array.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 8 * array.itemsize
        data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
        data.WindowCenter, data.WindowWidth = 500, 900
        data.PixelData = encapsulate([encode(array)]) if encode else array.tobytes()
        data["PixelData"].VR = "OB" if encode or array.itemsize == 1 else "OW"
        data["PixelData"].is_undefined_length = encode is not None
        stream = io.BytesIO()
        data.save_as(stream, enforce_file_format=True)
        made.append(stream.getvalue())
    return made


def predictions() -> list[bytes]:
    """Files of both kinds."""
    row = ("a.jpeg", "0.5", "PNEUMONIA", "0.5", "", "", "", "", "", "", "", "")
    csv = f"{','.join(COLUMNS)}\r\n{','.join(row)}\r\n".encode()
    other = b'file,probability,label,patient\n"a,\n""b",0.25,NORMAL,p1\nc,1e-3,PNEUMONIA,\n'
    line = b'{"file": "a.jpeg", "probability": 0.5, "call": "NORMAL"}\n'
    return [csv, other, b"\xef\xbb\xbf" + other, line]


def overrides() -> list[bytes]:
    """Fields of every type, right and wrong, and what looks like code."""
    values = flatten(base.get_config())
    some = [f"{name}={value}".encode() for name, value in values.items()]
    return [
        *some,
        b"model.stem=(4, 4, 8)\nmodel.modules=((4, 4, 8, 2, 4, 4),)",
        b"model.stem[0]=4\nmodel.stem=__import__('os').getcwd()\nseed=0x10",
        b"name=../x\ndata.root=~nobody/films\nlog.tensorboard",
        b"model={'a': 1}\ndata.rot=3\nseed=nan\nepochs=1e400",
    ]


def trees() -> list[bytes]:
    """Layouts as they are, and everything that may lie in one."""
    film = "train/{}/person{}_{}_{}.jpeg"
    plain = [film.format("PNEUMONIA", i, "virus", i) for i in range(4)]
    plain += [f"train/NORMAL/IM-000{i}-0001.jpeg" for i in range(4)]
    odd = ["train/NORMAL/=1+1.png", "TRAIN/pneumonia/'@x.PNG", "__MACOSX/train/NORMAL/._a.png"]
    links = ["train/NORMAL/up\to", "train/NORMAL/s.png\ts", "train/NORMAL/z.png\tz", "val\tt"]
    links += ["train/PNEUMONIA/p.png\tp", "train/PNEUMONIA/d.png\td", "train/PNEUMONIA/g.png\tg"]
    lists = (plain, plain + odd, plain + links, [f"set/{name}" for name in plain], odd + links)
    return ["\n".join(names).encode() for names in lists] + [b"train/NORMAL/\xff\xfe.png"]


def run_folders() -> list[bytes]:
    """What a run writes."""
    config = json.dumps(base.get_config().to_dict()).encode()
    films = ",".join(FILM_COLUMNS).encode() + b"\r\na.png,train,1,virus-1,1,virus,00\r\n"
    lines = b'{"kind": "step", "step": 1, "loss": 0.5}\n{"kind": "epoch", "step": 1, "epoch": 1}\n'
    return [b"\n----\n".join((config, films, lines))]


ROADS: dict[str, tuple[Callable[[bytes, Path], str], Callable[[], list[bytes]]]] = {
    "image": (read_image, pictures),
    "dicom": (read_image, dicoms),
    "predictions": (read_predictions, predictions),
    "config": (read_config_flags, overrides),
    "folder": (read_folder, trees),
    "run": (read_run, run_folders),
}
OF_TEXT = ("predictions", "config", "folder", "run")  # whose answers are kinds already
