"""Opens trained networks for use from Python, finds configs, and trains."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumojax import runtime
from pneumojax.errors import UserError
from pneumojax.shipped import is_published, named_run, reference_run

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from pneumojax.api.model import Model

AnyPath = str | os.PathLike[str]
# Published networks are read-only, so their results are written to where users have their runs.
RESULTS = Path("runs")


def load(
    runs: AnyPath | Sequence[AnyPath] | None = None,
    *,
    any_network: bool = False,
    cache_dir: AnyPath | None = None,
    progress: bool = False,
) -> "Model":
    """Opens a trained network: a run folder, several that answer together, or the bundled one.

    Args:
        runs: a run folder, or a folder of `export --format=safetensors`; a list of them, whose mean
            probability is the answer; the folder of a cross-validation, for all its folds; None for
            the reference network; the name of an earlier one, such as "reference_1".
        any_network: lets a run name a network class that is not PneumoJAX's. Importing the class
            runs its code.
        cache_dir: decoded films and compiled networks; None means that of the command line.
        progress: prints what the command line prints.

    If the rule of a run's decision has changed since it was trained, a new decision is fitted on
    its validation films and stored in the run folder.

    Raises:
        UserError: a run cannot be opened, or the runs do not fit together.
    """
    cache, folders = cache_folder(cache_dir), _folders(runs)
    runtime.use_compilation_cache(cache)
    from pneumojax.api.model import Model, Places
    from pneumojax.api.quiet import quiet
    from pneumojax.inference.ensemble import output_folder
    from pneumojax.inference.predictor import Predictor
    from pneumojax.predict.answering import Answerer

    with quiet(progress=progress):
        predictor = Predictor.open(folders, any_network=any_network, cache_dir=cache)
    if len(folders) == 1 and is_published(folders[0]):
        results = RESULTS.absolute() / folders[0].name
    else:
        results = output_folder(folders)
    return Model(Answerer.of(predictor), Places(results, cache))


def get_config(name: AnyPath = "base") -> "ConfigDict":
    """A shipped config by its name, or the config of a file; its fields can be changed.

    Raises UserError, with the names of the shipped configs, if there is no such file or config.
    """
    from pneumojax.config.load import load_file

    return load_file(os.fspath(name))


def train(
    config: "ConfigDict | AnyPath",
    workdir: AnyPath,
    *,
    cache_dir: AnyPath | None = None,
    verify_films: bool = False,
    download: bool = False,
    progress: bool = False,
) -> "Model":
    """Trains as the command `train` does, evaluates on validation films, and opens the network.

    Args:
        config: of `get_config`, or its name. A network class that it names is trusted.
        workdir: the run folder; an interrupted or shorter run in it is continued.
        cache_dir: as for `load`.
        verify_films: whether to hash every film again before trusting the cache.
        download: whether published weights to start from may be fetched.
        progress: prints what the command line prints.
    """
    cache, folder = cache_folder(cache_dir), Path(workdir).expanduser().absolute()
    runtime.use_compilation_cache(cache)
    from pneumojax.api.quiet import quiet
    from pneumojax.api.training import checked, evaluate_trained
    from pneumojax.training import loop

    ready = checked(get_config(config) if isinstance(config, str | os.PathLike) else config)
    with quiet(progress=progress):
        loop.train(ready, folder, cache, verify_films=verify_films, download=download)
        evaluate_trained(ready, folder, cache)
    return load(folder, any_network=True, cache_dir=cache)


def cache_folder(cache_dir: AnyPath | None) -> Path:
    """The folder of decoded films and compiled networks; None means the command line's."""
    return Path(runtime.CACHE_DIR if cache_dir is None else cache_dir).expanduser().absolute()


def _folders(runs: AnyPath | Sequence[AnyPath] | None) -> tuple[Path, ...]:
    if runs is None:
        if not (reference_run() / "config.json").exists():
            raise UserError(f"the reference network is not in {str(reference_run())!r}; name a run")
        return (reference_run(),)
    if isinstance(runs, str | os.PathLike):
        runs = [runs]
    named = list(runs) if isinstance(runs, Iterable) else []
    if not named or not all(isinstance(name, str | os.PathLike) for name in named):
        raise UserError(f"runs is {runs!r}; pass a run folder, or a list of run folders")
    return tuple(named_run(os.fspath(name)).expanduser().absolute() for name in named)
