"""Who takes part in which contest, and the process that each of them is."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PEERS = Path(__file__).resolve().parent / "peers"
CONTESTS = ("train_step", "inference", "latency", "input", "startup")
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

    @property
    def command(self) -> list[str]:
        return [self.python, str(PEERS / f"{self.worker}_worker.py")]

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer; `{"error": line}` where it could not be started, failed or died."""
        if self._process is None:
            log = open(os.devnull, "w")  # noqa: SIM115, as long as the process
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps(question | self.options), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        return json.loads(answer) if answer else {"error": f"cannot run in {self.python}"}

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def contestants_of(contest: str, peer_python: str) -> list[Contestant]:
    """In the order in which a round asks them; PneumoJAX first, it writes the shared weights."""
    films = {"inference": 128, "latency": 1}.get(contest, 0)
    options = {"films": films} if films else {}
    ours = [Contestant("PneumoJAX", "jax", options=options)]
    if contest == "input":
        ours = [
            Contestant("PneumoJAX", "jax"),
            Contestant("PneumoJAX, later passes", "jax", options={"later": True}),
        ]
    peers = [
        Contestant("Keras on TensorFlow", "keras", options=options),
        Contestant("PyTorch", "torch", peer_python, options),
    ]
    if contest in ("train_step", "inference", "latency"):
        compiled = options | {"compile": True}
        peers.append(Contestant("PyTorch, compiled", "torch", peer_python, compiled))
    if contest in ("inference", "latency"):
        peers.append(Contestant("ONNX Runtime", "onnx", options=options))
    if contest in ("train_step", "inference"):
        peers.append(Contestant(PEAK, "jax", contest="matrix_product"))
    for contestant in ours + peers:
        if contest == "latency":
            contestant.contest = "inference"
    return ours + peers
