"""The tasks that a child process runs, by name.

A task is a function of JSON values and the bytes of one file. It returns JSON values and arrays, or
raises FilmError or UserError with the reason why it refuses the file.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

Answer = tuple[dict[str, Any], list[np.ndarray]]
Task = Callable[[dict[str, Any], bytes], Answer]

TASKS = {  # name -> module:function, imported when the task is first run
    "film": "pneumojax.isolation.films:decode_task",
    "training films": "pneumojax.isolation.films:decode_training_task",
    "hdf5": "pneumojax.weights.hdf5:read_task",
}


def find_task(name: str) -> Task:
    """Imports the function of a task; raises KeyError if there is no task of this name."""
    module, _, function = TASKS[name].partition(":")
    return getattr(importlib.import_module(module), function)
