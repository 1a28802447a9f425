"""A runner without Apache Beam, and a folder of films with a damaged one."""

import shutil

import pytest

from tests.predict.conftest import first, workdir

__all__ = ["first", "workdir"]


class InThisProcess:
    """Finishes shards one after another, as one worker of a pipeline does.

    stop_after: shards until it ends by an exception, like a worker that is killed between two.
    """

    decoders = 1

    def __init__(self, stop_after=None):
        self.finished = []
        self._stop_after = stop_after

    def run(self, shards, job):
        with job.opened() as finish:
            for shard in shards:
                if job.is_finished(shard):
                    continue
                if len(self.finished) == self._stop_after:
                    raise KeyboardInterrupt
                finish(shard)
                self.finished.append(shard)


@pytest.fixture
def films_with_damage(films_root, tmp_path):
    """The 70 training films, and one file that is no film."""
    root = shutil.copytree(films_root, tmp_path / "films")
    (root / "train" / "NORMAL" / "IM-9000-0001.jpeg").write_bytes(b"no film")
    return root
