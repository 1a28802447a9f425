"""The requests that a training process sends to the child process of a tracker, as JSON lines."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pneumojax.files import printable
from pneumojax.tracking.tracker import Outcome, Record

_LONGEST_REASON = 500  # characters
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]*@")  # "user:password@" in an address
_SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|KEY")  # in the name of an environment variable


@dataclass(frozen=True)
class Begin:
    """The first request to a child process, which describes the run to track.

    tracker: "mlflow" or "wandb".
    workdir: the run folder, absolute.
    id: 32 hex digits, by which a tracker finds the run again.
    name: the name to show.
    params: the config, flattened.
    tags: texts about the run by name.
    resumed_step: the last step of metrics.jsonl that training keeps; later lines may still be
        written. None means that nothing is trained now, so all lines count.
    """

    tracker: str
    workdir: str
    id: str
    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    resumed_step: int | None

    @property
    def is_training(self) -> bool:
        return self.resumed_step is not None


@dataclass(frozen=True)
class Records:
    """A request to record figures."""

    records: tuple[Record, ...]


@dataclass(frozen=True)
class Keep:
    """A request to store files and folders, whose paths are relative to the run folder."""

    name: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class End:
    """The last request, after which the child process ends."""

    outcome: Outcome


Request = Begin | Records | Keep | End


def encode_request(request: Request) -> bytes:
    """A request as one line. NaN and infinity stand in it, although JSON has no such numbers."""
    fields = asdict(request)
    return (json.dumps({"is": type(request).__name__} | fields, default=str) + "\n").encode()


def decode_request(line: bytes) -> Request:
    """The request that `encode_request` made into a line."""
    fields = json.loads(line)
    match fields.pop("is"):
        case "Begin":
            return Begin(**fields)
        case "Records":
            return Records(tuple(Record(**record) for record in fields["records"]))
        case "Keep":
            return Keep(fields["name"], tuple(map(Path, fields["paths"])))
        case kind:
            assert kind == "End"
            return End(Outcome(fields["outcome"]))


def reason_of(error: BaseException, environment: Mapping[str, str] = os.environ) -> str:
    """The first line of an error, without credentials.

    Libraries quote the address of their server, which may hold a password. The values of
    environment variables whose names say that they are secret are removed too.
    """
    line = (str(error).strip().splitlines() or [""])[0]
    for name, value in environment.items():
        if len(value) >= 4 and _SECRET.search(name.upper()):
            line = line.replace(value, "***")
    line = _CREDENTIALS.sub("***@", line)
    return printable(f"{type(error).__name__}: {line}"[:_LONGEST_REASON])
