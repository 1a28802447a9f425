"""The target "checkpoint": the metadata of a checkpoint beside its config.json.

An input is the JSON of the metadata and the JSON of config.json, with a separator between them.
Most inputs go through the functions that check them when a run is opened. One in `OPENED_OF` is
opened as a run with the arrays of models/reference, which takes about a second.
"""

import copy
import functools
import json
import random
import shutil
import zlib
from pathlib import Path
from typing import Any

from pneumojax.errors import UserError
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.run.agreement import check_config, check_meta
from pneumojax.run.seal import check_seal, sealed
from pneumojax.run.stored_config import read_config, refuse_foreign_network
from pneumojax.run.weights_folder import META
from pneumojax.shipped import reference_run
from tests.support.fuzz.worker import Target

OPENED_OF = 250
LINE = b"\n----\n"
_REFERENCE = reference_run()
_META = _REFERENCE / META
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, 1.0, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), "", "0.5", "nan", "x" * 5000, "\udcff", "\0", "../..", []),
    *({}, [0.5], [[]], {"threshold": 0.5}, "pneumojax.nn.inception:Inception", "os:system"),
)


@functools.cache
def _template() -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the sealed metadata of models/reference, and its config."""
    meta = json.loads(_META.read_text())
    meta.pop("seal", None)
    return sealed(meta), json.loads((_REFERENCE / "config.json").read_text())


def _joined(meta: Any, config: Any) -> bytes:
    return json.dumps(meta).encode() + LINE + json.dumps(config).encode()


def changed_values(rng: random.Random) -> bytes:
    """Changes values anywhere in the metadata or the config; the seal may be renewed."""
    meta, config = copy.deepcopy(_template())
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change(rng, meta if rng.random() < 0.7 else config)
    if rng.random() < 0.6:
        with_seal = _resealed(meta)
        meta = with_seal if with_seal is not None else meta
    if rng.random() < 0.05:
        return rng.choice((b"[]", b"1", b"", b"[" * 20_000, b'{"a":' * 5000)) + LINE + b"{}"
    return _joined(meta, config)


def _resealed(meta: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return sealed(meta)
    except (ValueError, TypeError):
        return None


def _change(rng: random.Random, group: Any) -> None:
    """Changes, removes, renames or nests the value at one place of a tree of JSON."""
    while True:
        keys = list(group) if isinstance(group, dict) else range(len(group))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(group[key], (dict, list)) and group[key] and rng.random() < 0.75:
            group = group[key]
            continue
        what = rng.randrange(6)
        if what == 0:
            del group[key]
        elif what == 1 and isinstance(group, dict):
            group[key[:-1] + chr(ord(key[-1:] or "a") ^ 1)] = group.pop(key)
        elif what == 2:
            group[key] = {"a": group[key]} if rng.random() < 0.5 else [group[key]]
        elif what == 3 and isinstance(group[key], (int, float)):
            group[key] = group[key] * rng.choice((2, -1, 0.5, 1000)) + rng.choice((0, 1))
        else:
            group[key] = copy.deepcopy(rng.choice(_ODD))
        return


def flipped(rng: random.Random) -> bytes:
    """Flips a few bits of the text of the metadata, as a failing disk does."""
    meta, config = _template()
    data = bytearray(json.dumps(meta).encode())
    for _ in range(rng.choice((1, 1, 2))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data) + LINE + json.dumps(config).encode()


def read_checkpoint(data: bytes, folder: Path) -> str:
    """Opens or checks a run of this metadata and config.

    A run that opens must have a usable decision. Under an unchanged seal it must be the saved run.
    """
    meta_text, _, config_text = data.partition(LINE)
    workdir = _run_folder(folder)
    (workdir / "config.json").write_bytes(config_text)
    opened = zlib.crc32(data) % OPENED_OF == 0
    try:
        trained = _opened(workdir, meta_text) if opened else _checked(workdir, meta_text)
    except UserError as error:
        assert str(error).strip() and "\n" not in str(error), str(error)
        return f"refused: {str(error).partition(repr(str(workdir)))[2][:60]}"
    except _Damaged as error:
        return f"damaged: {str(error)[:30]}"
    decision = trained.decision
    assert 0 <= decision.threshold <= 1 and 0 < decision.temperature < float("inf"), decision
    assert isinstance(trained.trained_on, str)
    saved = _template()[0]
    if trained.meta.get("seal") == saved["seal"]:
        assert trained.meta == saved, "a changed run was opened without an error"
    return "opened" if opened else "checked"


class _Damaged(Exception):
    """The checkpoint is damaged; training would take the checkpoint before it."""


def _checked(workdir: Path, text: bytes) -> TrainedRun:
    config = read_config(workdir)
    refuse_foreign_network(config, workdir)
    try:
        meta = json.loads(text)
        check_seal(meta)
    except (ValueError, RecursionError) as error:
        raise _Damaged(str(error)) from error
    check_meta(meta, workdir)
    check_config(meta, config, workdir)
    return TrainedRun(config, None, None, {}, meta)  # type: ignore[arg-type]


def _opened(workdir: Path, text: bytes) -> TrainedRun:
    (workdir / META).write_bytes(text)
    return open_run(workdir)


def _run_folder(folder: Path) -> Path:
    workdir = folder / "run"
    if not workdir.exists():
        shutil.copytree(_REFERENCE, workdir)
    return workdir


def seeds() -> list[bytes]:
    """Returns the unchanged run. It is opened once here, because JAX starts slowly."""
    open_run(_REFERENCE)
    return [_joined(*_template())]


TARGETS = {"checkpoint": Target(read_checkpoint, seeds, (changed_values, changed_values, flipped))}
