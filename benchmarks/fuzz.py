"""Feeds damaged and made-up files to everything that reads a stranger's, and counts what breaks.

Command:   python benchmarks/fuzz.py --road=image --executions=1000000 --out=<folder>
Roads: "image" (JPEG, PNG, WebP, TIFF as prediction reads them), "dicom", "predictions" (CSV and
JSON lines), "config" (overrides on a command line), "folder" (trees of odd names, links and pipes,
as training and prediction find films in them), "run" (a run folder's config and lists). An input
is a function of (road, seed, its number, the corpus): a file of the corpus with bytes flipped,
copied, cut, or put together with another's. One that is answered in a new way joins the corpus, so
that a later one starts from there. What counts as broken: any exception but the road's own, an
answer of the wrong shape, more than `SECONDS`, or the end of the process. The input is then kept in
`<out>/<road>/broken/`. Run the command again to go on; counts are in `<out>/<road>/fuzz.json`.
"""

import argparse
import json
import multiprocessing
import random
import re
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.fuzz_roads import OF_TEXT, ROADS  # noqa: E402
from pneumojax.files import write_json  # noqa: E402

SECONDS = 5.0  # for one small file
LARGEST = 1 << 16  # bytes of an input
AT_ONCE = 20_000  # executions of one process, and from one record to the next
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def changed(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """An input made of one or two of the corpus."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not data:
            break
        at, kind = rng.randrange(len(data)), rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            edge, size = rng.choice(_EDGES), rng.choice((1, 2, 4))
            order = rng.choice(("little", "big"))
            data[at : at + size] = (edge & (256**size - 1)).to_bytes(size, order)
        elif kind == 3:
            del data[at : at + rng.randrange(1, 64)]
        elif kind == 4:
            begin = rng.randrange(len(data))
            data[at:at] = data[begin : begin + rng.randrange(1, 64)]
        elif kind == 5:
            other = rng.choice(corpus)
            data[at:] = other[rng.randrange(len(other) + 1) :]
        else:
            del data[at:]
    data = data[:LARGEST]
    return mended(bytes(data)) if rng.random() < 0.7 else bytes(data)


def mended(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks right again: else all that is damaged ends there."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    whole, at = bytearray(data), 8
    while at + 12 <= len(whole):
        (length,) = struct.unpack_from(">I", whole, at)
        end = at + 8 + length
        if end + 4 > len(whole):
            break
        struct.pack_into(">I", whole, end, zlib.crc32(whole[at + 4 : end]))
        at = end + 4
    return bytes(whole)


def kind_of_answer(answer: str) -> str:
    """An answer without the numbers and quotations in it."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "#", answer)


def executed(
    road: str, seed: int, first: int, count: int, corpus: list[bytes], out: Path, progress: Any
) -> None:
    """Runs `count` inputs from `first` on, in a process of its own; what is found is in files."""
    read, _ = ROADS[road]
    known = {path.name for path in (out / "corpus").iterdir()}
    warnings.simplefilter("error")
    for number in range(first, first + count):
        progress.value = number
        data = changed(random.Random(f"{road} {seed} {number}"), corpus)
        began = time.perf_counter()
        try:
            answer = read(data, out)
        except BaseException as error:
            (out / "broken" / f"{number}-{type(error).__name__}").write_bytes(data)
            continue
        if time.perf_counter() - began > SECONDS:
            (out / "broken" / f"{number}-slow").write_bytes(data)
        kind = answer if road in OF_TEXT else kind_of_answer(answer)
        name = f"{zlib.crc32(kind.encode()):08x}"
        if name not in known:
            known.add(name)
            (out / "corpus" / name).write_bytes(data)


def fuzz(
    road: str, executions: int, out: Path, seed: int = 0, log: Callable[[str], None] = print
) -> dict[str, Any]:
    """Goes on until so many inputs have been run in all."""
    folder = out / road
    for name in ("corpus", "broken"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "fuzz.json"
    record = {"road": road, "seed": seed, "executions": 0, "seconds": 0.0}
    if path.exists():
        record = json.loads(path.read_text())
    began, so_far = time.monotonic(), record["seconds"]
    while record["executions"] < executions:
        first = record["executions"]
        corpus = ROADS[road][1]()
        corpus += [file.read_bytes() for file in sorted((folder / "corpus").iterdir())]
        count = min(AT_ONCE, executions - first)
        context = multiprocessing.get_context("spawn")
        progress = context.Value("q", first)
        process = context.Process(
            target=executed, args=(road, seed, first, count, corpus, folder, progress)
        )
        process.start()
        process.join()
        done = first + count
        if process.exitcode:  # ended by a signal: what it was at is what did it
            number = progress.value
            data = changed(random.Random(f"{road} {seed} {number}"), corpus)
            (folder / "broken" / f"{number}-exit{process.exitcode}").write_bytes(data)
            done = number + 1
        record |= {
            "executions": done,
            "corpus": len(list((folder / "corpus").iterdir())),
            "broken": sorted(file.name for file in (folder / "broken").iterdir()),
            "seconds": round(so_far + time.monotonic() - began, 1),
        }
        write_json(path, record)
        log(
            f"{road}: {done:,} of {executions:,}, {record['corpus']} kinds of answer, "
            f"{len(record['broken'])} broken"
        )
    return record


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--road", choices=ROADS, required=True)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    record = fuzz(given.road, given.executions, given.out.expanduser().resolve(), given.seed)
    if record.get("broken"):
        raise SystemExit(f"broken: {', '.join(record['broken'][:20])}")


if __name__ == "__main__":
    main()
