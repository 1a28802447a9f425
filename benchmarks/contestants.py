"""Who takes part in which contest, and the process that each of them is."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PEERS = Path(__file__).resolve().parent / "peers"
CONTESTS = ("train_step", "inception_v3", "inference", "latency", "input", "startup")
PEAK = "float32 matrix product"


@dataclass
class Contestant:
    """One worker process; what it is asked and answers is one line of JSON each."""

    name: str
    worker: str
    python: str = sys.executable
    options: dict[str, Any] = field(default_factory=dict)
    contest: str = ""  # where it plays another than the others
    _process: subprocess.Popen | None = None
    _log: IO[str] | None = None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer; `{"error": line}` where it could not be started, failed or died."""
        try:
            if self._process is None:
                self._start([], {})
            assert self._process and self._process.stdin
            print(json.dumps(question | self.options), file=self._process.stdin, flush=True)
        except OSError as error:
            return {"error": self._last_words(error.strerror or "cannot be started")}
        return self._answer()

    def start_up(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """`seconds` from the start of a new process to the end of its first training step."""
        self.close()
        began = time.perf_counter()
        try:
            self._start(["startup", json.dumps(self.options)], variables)
        except OSError as error:
            self.close()
            return {"error": error.strerror or "cannot be started"}
        answer = self._answer()
        seconds = time.perf_counter() - began
        self.close()
        return answer if "error" in answer else {"seconds": seconds, **answer}

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()  # waits, and closes its pipes
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _start(self, arguments: list[str], variables: Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115, until `close`
        self._process = subprocess.Popen(
            [self.python, str(PEERS / f"{self.worker}_worker.py"), *arguments],
            env=os.environ | dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def _answer(self) -> dict[str, Any]:
        assert self._process and self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries may greet when they are imported
                return json.loads(line)
        return {"error": self._last_words("ended without a word")}

    def _last_words(self, otherwise: str) -> str:
        """The last line that it wrote to standard error, where Python names the exception."""
        if self._log is None:
            return otherwise
        self._log.seek(0)
        return ([line for line in self._log.read().splitlines() if line] or [otherwise])[-1][:300]


def _of_inception_v3(peer_python: str) -> list[Contestant]:
    # Steps in a row, as in training. The first ones after a pause take longer, since they get
    # gigabytes from the system anew; the median of few would be of those.
    options = {"network": "inception_v3", "size": 299, "batch": 16, "repeats": 8}
    ghost, compiled = options | {"microbatch": 4}, options | {"compile": True}
    found = [
        Contestant("PneumoJAX", "jax", options=options),
        Contestant("PneumoJAX, batch norm over 4 films", "jax", options=ghost),
        Contestant("torchvision, compiled", "torch", peer_python, compiled),
        Contestant("Keras Applications", "keras", options=options),
        Contestant("torchvision", "torch", peer_python, options),
    ]
    for contestant in found:
        contestant.contest = "train_step"
    return found


def contestants_of(contest: str, peer_python: str) -> list[Contestant]:
    """In the order in which a round asks them; PneumoJAX first, it writes the shared weights."""
    films = {"inference": 128, "latency": 1}.get(contest, 0)
    options = {"films": films} if films else {}
    if contest == "latency":
        options["repeats"] = 20  # one call takes milliseconds
    if contest == "inception_v3":
        return _of_inception_v3(peer_python)
    compiled = options | {"compile": True}
    if contest == "input":
        found = [
            Contestant("PneumoJAX", "jax"),
            Contestant("PneumoJAX, later passes", "jax", options={"later": True}),
        ]
    else:
        found = [
            Contestant("PneumoJAX", "jax", options=options),
            Contestant("JAX, stock", "stock_jax", options=options),
            Contestant("PyTorch, compiled", "torch", peer_python, compiled),
        ]
    found += [
        Contestant("Keras on TensorFlow", "keras", options=options),
        Contestant("PyTorch", "torch", peer_python, options),
    ]
    if contest in ("inference", "latency"):
        found.append(Contestant("ONNX Runtime", "onnx", options=options))
    if contest in ("train_step", "inference"):
        found.append(Contestant(PEAK, "jax", contest="matrix_product"))
    for contestant in found:
        if contest == "latency":
            contestant.contest = "inference"
    return found
