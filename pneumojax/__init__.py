"""PneumoJAX reads chest X-rays for pneumonia. Research and education only, not a medical device.

    import pneumojax
    pneumojax.load().predict("film.jpeg")

docs/api.md describes the names below. Each is imported at its first use, because JAX takes seconds
to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pneumojax import stats as stats
    from pneumojax.api.load import get_config as get_config
    from pneumojax.api.load import load as load
    from pneumojax.api.load import train as train
    from pneumojax.api.model import Model as Model
    from pneumojax.api.predictions import Predictions as Predictions
    from pneumojax.errors import UserError as UserError
    from pneumojax.predict.prediction import Prediction as Prediction

__version__ = "0.1.0"

_HOMES = {  # name -> the module that defines it
    "Model": "pneumojax.api.model",
    "Prediction": "pneumojax.predict.prediction",
    "Predictions": "pneumojax.api.predictions",
    "UserError": "pneumojax.errors",
    "get_config": "pneumojax.api.load",
    "load": "pneumojax.api.load",
    "train": "pneumojax.api.load",
}
__all__ = [
    "Model",
    "Prediction",
    "Predictions",
    "UserError",
    "__version__",
    "get_config",
    "load",
    "stats",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "stats":
        return importlib.import_module("pneumojax.stats")
    if name not in _HOMES:
        raise AttributeError(f"module 'pneumojax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
