"""The record of one card: a JSON file that holds every finished case and is never half written."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from pneumojax.errors import UserError
from pneumojax.files import write_json
from pneumojax.runtime import is_leader

COMMAND = "python -m benchmarks.accelerator"


class Record:
    """The results of a card so far; each change is on the disk when the method returns.

    The file is replaced as a whole, so a process that is killed leaves the last finished case.
    """

    def __init__(self, path: Path, identity: dict[str, Any]):
        """Opens or begins the record of a machine with this identity.

        Raises:
            UserError: the file is damaged, or was measured on a machine with other software.
        """
        self.path = path
        if is_leader():
            for unfinished in path.parent.glob(f".{path.name}.*"):  # of processes that were killed
                unfinished.unlink(missing_ok=True)
        self._stored: dict[str, Any] = {"command": COMMAND, "identity": identity, "cases": {}}
        self._stored |= {"begun": {}, "missing": []}
        if not path.exists():
            return
        try:
            found = json.loads(path.read_text())
            known = found["identity"]
            self._stored = {name: found[name] for name in self._stored}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--output: {str(path)!r} is damaged ({error}); move it away"
            ) from error
        for name in sorted(known.keys() | identity.keys()):
            if known.get(name) != identity.get(name):
                raise UserError(
                    f"--output: {str(path)!r} was measured with {name} {known.get(name)!r}, and "
                    f"here it is {identity.get(name)!r}; name another folder"
                )

    def has(self, case: str) -> bool:
        """Whether a case has a result; one that failed has none and is tried again."""
        return "result" in self._stored["cases"].get(case, {})

    def result(self, case: str) -> Any:
        """The result of a case as JSON, or None."""
        return self._stored["cases"].get(case, {}).get("result")

    def attempts(self, case: str) -> int:
        """How often a case was begun and not finished."""
        return self._stored["begun"].get(case, 0)

    def begin(self, case: str) -> None:
        """Counts an attempt, so that a case that ends the process does not hold up the others."""
        self._stored["begun"][case] = self.attempts(case) + 1
        self._write()

    def finish(self, case: str, result: Any, seconds: float) -> None:
        """Stores a dataclass of results and the time that the case took."""
        self._end(case, {"seconds": round(seconds, 2), "result": as_json(result)})

    def fail(self, case: str, error: Exception, seconds: float) -> None:
        """Stores why a case has no result."""
        line = (str(error).strip().splitlines() or [""])[0][:300]
        message = f"{type(error).__name__}: {line}"
        self._end(case, {"seconds": round(seconds, 2), "error": message})

    def set_missing(self, cases: list[str]) -> None:
        """Names the planned cases that have no result yet."""
        self._stored["missing"] = cases
        self._write()

    def _end(self, case: str, entry: dict[str, Any]) -> None:
        self._stored["begun"].pop(case, None)
        self._stored["cases"][case] = entry
        self._stored["missing"] = [name for name in self._stored["missing"] if not self.has(name)]
        self._write()

    def _write(self) -> None:
        write_json(self.path, self._stored)


def as_json(value: Any) -> Any:
    """Dataclasses as dicts; floats that JSON lacks, such as an overflowed loss, as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
