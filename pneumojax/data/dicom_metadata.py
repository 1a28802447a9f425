"""The facts of DICOM headers that are kept for the films of a cache entry.

A header names the patient, so only the facts that `config.data.dicom_metadata` asks for are kept:
age in years, sex and view, and a patient's ID as a hash. The hash depends on a secret in the file
`SALT` of the cache folder, so nobody without it can find an ID by hashing all possible ones. A
patient has the same hash in every run with that cache folder, and another one elsewhere unless the
file is copied. Beside these facts an entry lists the paths of lateral views, for a warning.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pneumojax.decoding.dicom_header import COLUMNS, is_lateral, metadata
from pneumojax.errors import UserError
from pneumojax.fields import is_text, list_of
from pneumojax.files import failing_clearly

METADATA = "metadata.json"
SALT = "patient_salt"
_SALT_BYTES = 32
_FLAG = "cache_dir"


@dataclass(frozen=True)
class HeaderFacts:
    """The facts of n readable films, with "" where a film has none.

    lateral: the paths of the films that their headers call lateral views.
    columns: "patient" (hashed), "age", "sex" and "view", as far as they are asked for, each (n,).
    """

    lateral: Sequence[str] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


class HeaderCollector:
    """Collects the facts while the films of an entry are decoded."""

    def __init__(self, wanted: Sequence[str], cache_folder: Path):
        self.wanted = tuple(wanted)
        self._columns: dict[str, list[str]] = {COLUMNS[name]: [] for name in wanted}
        self._salt = patient_salt(cache_folder) if "PatientID" in wanted else b""
        self._lateral: list[str] = []
        self._found = False

    @property
    def dependencies(self) -> tuple[object, ...]:
        """The versions and settings that the pixels and facts of DICOM films depend on."""
        decoders = tuple(version(name) for name in ("pydicom", "imagecodecs"))
        return (*decoders, *self.wanted, hashlib.sha256(self._salt).hexdigest())

    def add(self, path: str, header: Mapping[str, str]) -> None:
        """Adds a readable film with the texts of its header; {} if it is no DICOM file."""
        self._found |= bool(header)
        if is_lateral(header):
            self._lateral.append(path)
        values = metadata(header)
        if patient := values.get("patient"):
            values["patient"] = hashed(patient, self._salt)
        for name, column in self._columns.items():
            column.append(values.get(name, ""))

    def write(self, entry: Path) -> None:
        """Writes the facts; an entry without a DICOM film gets no file."""
        if self._found:
            facts = {"lateral": self._lateral, "columns": self._columns}
            (entry / METADATA).write_text(json.dumps(facts))


def read_facts(entry: Path) -> HeaderFacts:
    """The facts that a `HeaderCollector` wrote, of an entry that `headers_fit` accepts."""
    path = entry / METADATA
    return HeaderFacts(**json.loads(path.read_text())) if path.exists() else HeaderFacts()


def merge_facts(
    entry: Path, parts: Sequence[Path], films: Sequence[int], wanted: Sequence[str]
) -> None:
    """Writes the facts of several entries in a row as those of one entry.

    films: the number of readable films of each part, which may have no facts.
    wanted: the keywords that the parts were asked for.
    """
    facts = [read_facts(part) for part in parts]
    if not any((part / METADATA).exists() for part in parts):
        return
    columns = {
        name: [
            value
            for each, count in zip(facts, films, strict=True)
            for value in each.columns.get(name, [""] * count)
        ]
        for name in (COLUMNS[keyword] for keyword in wanted)
    }
    lateral = [path for each in facts for path in each.lateral]
    (entry / METADATA).write_text(json.dumps({"lateral": lateral, "columns": columns}))


def headers_fit(entry: Path, films: int) -> bool:
    """Whether an entry has facts of so many films, or none; raises ValueError if they are no JSON.

    The file may have been changed by somebody else.
    """
    path = entry / METADATA
    if not path.exists():
        return True
    facts: Any = json.loads(path.read_text())
    if not isinstance(facts, dict) or facts.keys() != {"lateral", "columns"}:
        return False
    columns = facts["columns"]
    return (
        list_of(is_text)(facts["lateral"])
        and isinstance(columns, dict)
        and columns.keys() <= set(COLUMNS.values())
        and all(list_of(is_text, films)(column) for column in columns.values())
    )


def hashed(patient: str, salt: bytes) -> str:
    """A patient's name in place of the ID: 16 hex digits of its HMAC-SHA-256 with the salt."""
    return hmac.new(salt, patient.encode(), hashlib.sha256).hexdigest()[:16]


def patient_salt(cache_folder: Path) -> bytes:
    """The secret of a cache folder, in a file that only its owner can read; made at first use.

    Raises:
        UserError: the file is damaged, or cannot be read or written.
    """
    path = cache_folder / SALT
    with (
        failing_clearly(path, _FLAG, "name another folder"),
        contextlib.suppress(FileExistsError),
    ):
        if not path.exists():
            _write_new(path, secrets.token_hex(_SALT_BYTES))
    try:
        salt = bytes.fromhex(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {str(path)!r} ({error})", flag=_FLAG) from error
    if len(salt) != _SALT_BYTES:
        raise UserError(
            f"{str(path)!r} is not the secret for hashing patients' IDs; restore it or remove it, "
            "which gives all patients new hashes",
            flag=_FLAG,
        )
    return salt


def _write_new(path: Path, text: str) -> None:
    """Writes a file that appears whole; FileExistsError if another process was quicker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
        os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
