"""The run of the prediction tests: initial weights in a checkpoint, enough to predict with."""

from tests.predict.conftest import first, workdir

__all__ = ["first", "workdir"]
