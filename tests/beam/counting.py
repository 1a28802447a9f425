"""A job whose shards are empty files, for workers of Beam, which import it by this name."""

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pneumojax.errors import UserError


@dataclass(frozen=True)
class Counting:
    """Writes a line to `log` for each shard that it finishes.

    kills: how often the shard "3" kills its worker before it can be finished.
    refused: a shard that ends in a UserError.
    """

    folder: Path
    kills: int = 0
    refused: str = ""

    @property
    def lines(self):
        """The shard and the worker of each line."""
        return [line.split() for line in (self.folder / "log").read_text().splitlines()]

    def is_finished(self, shard):
        return (self.folder / shard).exists()

    @contextmanager
    def opened(self):
        yield self._finish

    def _finish(self, shard):
        if shard == self.refused:
            raise UserError(f"shard {shard} is refused; name another")
        killed = self.folder / "kills"
        with open(killed, "a") as stream:
            if shard == "3" and stream.tell() < self.kills:
                stream.write("x")
                stream.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        with open(self.folder / "log", "a") as stream:
            stream.write(f"{shard} {os.getpid()}\n")
        (self.folder / shard).touch()
