"""Finds the package and the configs, search spaces and reference network that come with it.

In a checkout `pneumojax/configs` and `pneumojax/models` are links to the folders `configs/` and
`models/` at its top. An installed package holds copies of them in these places.
"""

import os
from pathlib import Path

from pneumojax.errors import UserError

# Resolved, so that a path to the checkout's own folders compares as equal.
_CONFIGS = (Path(__file__).parent / "configs").resolve()
_MODELS = (Path(__file__).parent / "models").resolve()
_ROOT = str(Path(__file__).resolve().parents[1])


def python_path() -> str:
    """PYTHONPATH with which a new process imports this package, wherever it was imported here."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([_ROOT, *(path for path in others if path not in ("", _ROOT))])


def reference_run() -> Path:
    """The run folder of the reference network; it is read-only, and may be absent."""
    return _MODELS / "reference"


def is_published(workdir: Path) -> bool:
    """Whether a folder is that of a network that comes with the package, and so is read-only."""
    return workdir.resolve().parent == _MODELS


def named_run(name: str) -> Path:
    """The folder of a run: a path, or the name of a network that comes with the package.

    A folder of that name in the working directory is taken first.
    """
    published = _MODELS / name
    is_name = Path(name).name == name and (published / "config.json").exists()
    return published if is_name and not Path(name).exists() else Path(name)


def config_names() -> tuple[str, ...]:
    """The names of the shipped configs, such as "base", in alphabetical order."""
    files = _CONFIGS.glob("*.py")
    return tuple(sorted(file.stem for file in files if file.stem != "__init__"))


def config_file(name: str) -> Path:
    """The file of a shipped config; raises UserError with the known names for any other name."""
    if name not in config_names():
        raise UserError(
            f"{name!r} is neither a file nor a config of PneumoJAX; its configs are "
            f"{', '.join(config_names())}",
            flag="config",
        )
    return _CONFIGS / f"{name}.py"


def space_names() -> tuple[str, ...]:
    """The names of the shipped search spaces, in alphabetical order."""
    return tuple(sorted(file.stem for file in (_CONFIGS / "spaces").glob("*.toml")))


def space_file(name: str) -> Path:
    """The file of a shipped search space by its name; any other name is the path of a file."""
    return _CONFIGS / "spaces" / f"{name}.toml" if name in space_names() else Path(name)
