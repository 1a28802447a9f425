"""The contestants of each contest. Each one is a process of its own."""

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

ROOT = Path(__file__).resolve().parents[1]
CONTESTS = ("train_step", "inception_v3", "inference", "latency", "input", "startup")
PEAK = "float32 matrix product"
# Contests in which each round has a play after a pause and then plays in a row: how many in all.
STATES = {"train_step": 4, "inception_v3": 4, "inference": 4, "latency": 40}
# Keras and TensorFlow read these when they are imported.
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass
class Contestant:
    """One worker process. Each question and each answer is one line of JSON.

    Attributes:
        worker: the module that the process runs.
        options: fields added to every question.
        contest: the contest that the worker is asked for, if it differs from the others'.
    """

    name: str
    worker: str
    python: str = sys.executable
    options: dict[str, Any] = field(default_factory=dict)
    contest: str = ""
    _process: subprocess.Popen | None = None
    _log: IO[str] | None = None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Returns the worker's answer, or `{"error": line}` if it cannot start, fails or dies."""
        try:
            if self._process is None:
                self._start([], {})
            assert self._process and self._process.stdin
            print(json.dumps(question | self.options), file=self._process.stdin, flush=True)
        except OSError as error:
            return {"error": self._last_line(error.strerror or "cannot be started")}
        return self._answer()

    def start_up(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """Times a new process from its start to the end of its first training step, in seconds."""
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
        return answer if "error" in answer else {"seconds": [seconds], **answer}

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()  # waits for its end and closes its pipes
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _start(self, arguments: list[str], variables: Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115, `close` closes it
        self._process = subprocess.Popen(
            [self.python, "-m", self.worker, *arguments],
            cwd=ROOT,
            env=os.environ | ENVIRONMENT | dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def _answer(self) -> dict[str, Any]:
        assert self._process and self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):  # some libraries print a greeting when they are imported
                return json.loads(line)
        return {"error": self._last_line("ended without a word")}

    def _last_line(self, otherwise: str) -> str:
        """Returns the last line of standard error, where Python names the exception."""
        if self._log is None:
            return otherwise
        self._log.seek(0)
        return ([line for line in self._log.read().splitlines() if line] or [otherwise])[-1][:300]


def contestants_of(contest: str, peer_python: str) -> list[Contestant]:
    """Lists the contestants in the order in which a round asks them.

    PneumoJAX comes first, because it writes the weights that the others load.
    """
    if contest == "inception_v3":
        return _inception_v3(peer_python)
    films = {"inference": 128, "latency": 1}.get(contest, 0)
    options = {"films": films} if films else {}
    if contest in STATES:
        options["repeats"] = STATES[contest]
    if contest == "input":
        found = [_ours("PneumoJAX"), _ours("PneumoJAX, later passes", {"later": True})]
    else:
        found = [
            _ours("PneumoJAX", options),
            Contestant("JAX, stock", "benchmarks.peers.stock_jax_worker", options=options),
            _torch("PyTorch, compiled", peer_python, options | {"compile": True}),
        ]
    found += [
        _keras("Keras on TensorFlow", options),
        _torch("PyTorch", peer_python, options),
    ]
    if contest in ("inference", "latency"):
        found.append(Contestant("ONNX Runtime", "benchmarks.peers.onnx_worker", options=options))
    if contest == "latency":
        for contestant in found:
            contestant.contest = "inference"
    if contest in STATES:
        found.append(_product({"repeats": STATES[contest]}))
    return found


def other_work() -> Contestant:
    """A process that keeps all cores busy while the contestants are idle."""
    return _product({})


def _product(options: dict[str, Any]) -> Contestant:
    product = _ours(PEAK, options)
    product.contest = "matrix_product"
    return product


def _inception_v3(peer_python: str) -> list[Contestant]:
    options = {"network": "inception_v3", "size": 299, "batch": 16}
    options["repeats"] = STATES["inception_v3"]
    found = [
        _ours("PneumoJAX", options),
        _ours("PneumoJAX, batch norm over 4 films", options | {"microbatch": 4}),
        _torch("torchvision, compiled", peer_python, options | {"compile": True}),
        _keras("Keras Applications", options),
        _torch("torchvision", peer_python, options),
    ]
    for contestant in found:
        contestant.contest = "train_step"
    return [*found, _product({"repeats": STATES["inception_v3"]})]


def _ours(name: str, options: dict[str, Any] | None = None) -> Contestant:
    return Contestant(name, "benchmarks.peers.jax_worker", options=options or {})


def _keras(name: str, options: dict[str, Any]) -> Contestant:
    return Contestant(name, "benchmarks.peers.keras_worker", options=options)


def _torch(name: str, python: str, options: dict[str, Any]) -> Contestant:
    return Contestant(name, "benchmarks.peers.torch_worker", python, options)
