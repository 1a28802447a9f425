"""The targets that read text: predictions, overrides, folders of films and run folders."""

import contextlib
import csv
import io
import json
import os
import random
import shutil
import traceback
import warnings
from pathlib import Path

import numpy as np

from pneumojax.cli.parsing import parse
from pneumojax.cli.verbs import VERBS
from pneumojax.config.check import check
from pneumojax.config.flat import flatten
from pneumojax.config.load import resolve, run_name
from pneumojax.configs import base
from pneumojax.data.films import find_films
from pneumojax.data.hold_out import hold_out
from pneumojax.data.patients import identify
from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.errors import UserError
from pneumojax.evaluation.compare import predictions_csv
from pneumojax.files import printable, read_csv, write_csv
from pneumojax.predict.output import COLUMNS, PredictionFile
from pneumojax.predict.prediction import RunStamp
from pneumojax.predict.sources import Sources
from pneumojax.run.film_list import FILM_COLUMNS, read_films
from pneumojax.run.history import read_history
from pneumojax.run.stored_config import read_config
from tests.support.fuzz.worker import Target

_STAMP = RunStamp(0.5, trained_on="", checkpoint="", disclaimer="")


def raised_at(error: BaseException) -> str:
    """Names the places in the code that raised an error and its first cause.

    Each pair of places is one kind of answer. The message is not used, since it may quote the file.
    """
    places = [_place(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        places.append(_place(error))
    return " of ".join(dict.fromkeys((places[0], places[-1])))


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name} {frame.name} {frame.lineno}"


def read_predictions(data: bytes, folder: Path) -> str:
    """Reads a file of predictions as comparison does, and as a resumed prediction does."""
    answers = []
    for name in ("p.csv", "p.jsonl"):
        path = folder / name
        path.write_bytes(data)
        for read in (
            lambda path=path: predictions_csv.read_predictions(path),
            lambda path=path: PredictionFile(path, _STAMP).__exit__(None, None, None),
        ):
            try:
                read()
                answers.append("read")
            except UserError as error:
                answers.append(raised_at(error))
    return "; ".join(answers)


def read_config_flags(data: bytes, folder: Path) -> str:
    """Parses overrides of a command line, one in each line of the input."""
    lines = data.decode("utf-8", "surrogateescape").replace("\0", "").splitlines()[:4]
    try:
        # Python may warn of the text of a tuple, or while it loads a config; that is no failure.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            config = parse([f"--config.{line}" for line in lines], tuple(VERBS)).config()
            check(config)
            config = resolve(config)
            assert "/" not in run_name(config)
    except UserError as error:
        assert str(error).strip() and "\n" not in str(error), str(error)
        return f"refused: {raised_at(error)}"
    return "resolved"


def read_folder(data: bytes, folder: Path) -> str:
    """Finds films in a tree. Each line of the input is a path and the kind of file there."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    for line in data.split(b"\n")[:24]:
        path, _, kind = line.partition(b"\t")
        parts = [p[:200] for p in path.split(b"/") if p not in (b"", b".", b"..")]
        with contextlib.suppress(OSError, ValueError):  # the name is invalid or taken
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
        hold_out([w.patient for w in who], labels, [str(i) for i in range(len(who))], 0.3, 0)
        answers.append("carved")
    except UserError as error:
        answers.append(raised_at(error))
    for path, reason, _ in Sources([str(tree)]).films():
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
    links = {b"o": "..", b"s": path.name, b"z": "/dev/zero", b"g": "gone", b"t": "train"}
    if kind in links:
        path.symlink_to(links[kind])
    elif kind == b"p":
        os.mkfifo(path)
    elif kind == b"d":
        path.mkdir()
    elif not path.exists():
        path.write_bytes(b"\xff\xd8\xff")


def read_run(data: bytes, folder: Path) -> str:
    """Reads config.json, films.csv and metrics.jsonl of a run folder."""
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


def predictions() -> list[bytes]:
    """Makes valid files of predictions, CSV and JSON lines."""
    row = ("a.jpeg", "0.5", "PNEUMONIA", "0.5", "", "", "", "", "", "", "", "")
    csv = f"{','.join(COLUMNS)}\r\n{','.join(row)}\r\n".encode()
    other = b'file,probability,label,patient\n"a,\n""b",0.25,NORMAL,p1\nc,1e-3,PNEUMONIA,\n'
    line = b'{"file": "a.jpeg", "probability": 0.5, "call": "NORMAL"}\n'
    return [csv, other, b"\xef\xbb\xbf" + other, line]


_PROBABILITIES = (
    *(
        "0.5",
        "0",
        "1",
        "0_1",
        "1_0.5",
        "nan",
        "inf",
        "-0",
        "1e999",
        "1e-999",
        "0x1",
        " 0.5 ",
        "",
        ".",
    ),
    *("\u0661", "\uff10.5", "0,5", "1.0000001", "True", "\ufeff0.5", "0" * 5000, "1e" + "9" * 500),
)
_NAMES = (
    "a.png",
    "",
    "b,c",
    'd"e',
    "f\ng",
    "\r",
    "=1+1",
    "\udcff",
    "../x",
    "x" * 9000,
    "'@y",
    "\0",
)
_LABELS = ("NORMAL", "PNEUMONIA", "normal", "", "VIRUS", "pneumon\u0131a", "1")


def scored(rng: random.Random) -> bytes:
    """Makes a table of predictions with odd names, numbers, columns and quotes."""
    columns = list(COLUMNS) if rng.random() < 0.5 else ["file", "probability", "label", "patient"]
    if rng.random() < 0.2:
        columns[rng.randrange(len(columns))] = rng.choice(("file", "", "other", "probability"))
    if rng.random() < 0.1:
        columns = columns[: rng.randrange(len(columns))]
    values = {"file": _NAMES, "label": _LABELS, "call": _LABELS, "patient": _NAMES}
    rows = [
        {name: rng.choice(values.get(name, _PROBABILITIES)) for name in columns}
        for _ in range(rng.choice((0, 1, 2, 5, 40)))
    ]
    if rng.random() < 0.3:
        lines = [
            json.dumps(row | {"probability": rng.choice((0.5, None, 2, "1", []))}) for row in rows
        ]
        text = "\n".join(lines) + rng.choice(("\n", "", "{"))
        return text.replace("0.5", rng.choice(("0.5", "NaN", "1e999", "0_5"))).encode()
    stream = io.StringIO(newline="")
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(stream, quoting=quoting, delimiter=rng.choice(",,,,;\t"))
    writer.writerow(columns)
    writer.writerows(list(row.values()) for row in rows)
    mark = rng.choice((b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\0"))
    return mark + stream.getvalue().encode("utf-8", "surrogateescape")


def overrides() -> list[bytes]:
    """Lists overrides of every type, right and wrong, and some that look like code."""
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
    """Lists trees in the layouts that are read, with odd names, links and pipes."""
    film = "train/{}/person{}_{}_{}.jpeg"
    plain = [film.format("PNEUMONIA", i, "virus", i) for i in range(4)]
    plain += [f"train/NORMAL/IM-000{i}-0001.jpeg" for i in range(4)]
    odd = ["train/NORMAL/=1+1.png", "TRAIN/pneumonia/'@x.PNG", "__MACOSX/train/NORMAL/._a.png"]
    links = ["train/NORMAL/up\to", "train/NORMAL/s.png\ts", "train/NORMAL/z.png\tz", "val\tt"]
    links += ["train/PNEUMONIA/p.png\tp", "train/PNEUMONIA/d.png\td", "train/PNEUMONIA/g.png\tg"]
    lists = (plain, plain + odd, plain + links, [f"set/{name}" for name in plain], odd + links)
    return ["\n".join(names).encode() for names in lists] + [b"train/NORMAL/\xff\xfe.png"]


def run_folders() -> list[bytes]:
    """Makes the files that a run writes."""
    config = json.dumps(base.get_config().to_dict()).encode()
    films = ",".join(FILM_COLUMNS).encode() + b"\r\na.png,train,1,virus-1,1,virus,00\r\n"
    lines = b'{"kind": "step", "step": 1, "loss": 0.5}\n{"kind": "epoch", "step": 1, "epoch": 1}\n'
    return [b"\n----\n".join((config, films, lines))]


TARGETS = {
    "predictions": Target(read_predictions, predictions, (scored,), True, 0.5),
    "config": Target(read_config_flags, overrides, (), True),
    "folder": Target(read_folder, trees, (), True),
    "run": Target(read_run, run_folders, (), True),
}
