"""The run folder: where everything of one run lies, and what it says about where it came from.

.lock               held by the process that trains
config.json         the resolved config
provenance.json     versions, devices, command, films' fingerprint and audit
films.csv           every film used, its side, patient, pathogen and hash
rejected_films.csv  every file left out, and why
start.json          weights that the run began from, if it began from any
metrics.jsonl       a line each step, a line each epoch
checkpoints/        latest/ to resume from, best/ to evaluate
tensorboard/        event files
evaluation/         a folder for each split evaluated
preview.png         what `--mode=preview` drew
profile.json        what `--mode=profile` measured
profile.png         the same as a page
profile/            the trace of a few steps
"""

import copy
import csv
import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from configs import base
from pneumojax.config import differences
from pneumojax.config_limits import wrong_field
from pneumojax.data.splits import Splits
from pneumojax.errors import UserError
from pneumojax.fields import Field, is_group, is_text, list_of, mapping_of, optional, read_record
from pneumojax.files import read_csv, refuse_links_out, write_csv, write_json
from pneumojax.run import lock

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")
OUR_NETWORKS = "pneumojax.nn."
_HIDDEN = "hash-"
# Digests of the films of each side; null where a side has none.
FINGERPRINTS = (
    Field(("films",), mapping_of(optional(is_text)), "an object of texts or null", False),
    Field(("films", "train"), is_text, "text"),
    Field(("films", "validation"), optional(is_text), "text or null"),
)
PROVENANCE = (
    Field(("films",), is_group, "an object"),
    *FINGERPRINTS,
    Field(("versions",), mapping_of(is_text), "an object of texts"),
    Field(("devices",), list_of(is_text), "a list of texts"),
    Field(("command",), list_of(is_text), "a list of texts"),
    Field(("platform",), is_text, "text"),
    Field(("revision",), is_text, "text"),
)
FILM_COLUMNS = ("file", "side", "label", "patient", "patient_known", "pathogen", "sha256")


def begin(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder of a run, or checks that it is of the same config.

    Raises:
        UserError: as `claim`.
    """
    if not claim(workdir, config):
        write_json(workdir / "config.json", config.to_dict())


def claim(workdir: Path, config: ConfigDict) -> bool:
    """Makes the folder, or checks that it is empty or of a run of this config; whether of a run.

    Raises:
        UserError: the config could not be read again, or the folder cannot be written, holds
            another config's run, links that lead out of it, or somebody's other files.
    """
    if wrong := wrong_field(config.to_dict()):
        raise UserError(f"config.{wrong}")
    refuse_links_out(workdir)
    if (workdir / "config.json").exists():
        refuse_other_config(workdir, config)
        return True
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # What a process that was killed in `begin` left is no reason to refuse its next start.
        ours = (lock.NAME, ".config.json.")
        occupied = any(not path.name.startswith(ours) for path in workdir.iterdir())
    except OSError as error:
        raise UserError(f"--workdir: cannot make {str(workdir)!r}: {error.strerror}") from error
    if occupied:
        raise UserError(f"--workdir: {str(workdir)!r} holds files but no run; name another folder")
    return False


def read_config(workdir: Path) -> ConfigDict:
    """The config that a run was started with.

    Raises:
        UserError: the folder holds no run, or something else in its place.
    """
    path = workdir / "config.json"
    if not path.exists():
        known = sorted(str(p.parent) for p in workdir.parent.glob("*/config.json"))
        hint = f"; runs beside it: {', '.join(known[:5])}" if known else ""
        raise UserError(f"--workdir: no run in {str(workdir)!r} (no config.json){hint}")
    values = read_record(path, ())
    try:
        config = completed(values)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} is not the config of a run") from error
    if wrong := wrong_field(config.to_dict()):
        raise UserError(f"{str(path)!r} cannot be used: {wrong}")
    return config


def completed(values: dict[str, Any]) -> ConfigDict:
    """The config with the fields that runs of earlier versions lack, at what they did then.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it is no config of a run.
    """
    values = copy.deepcopy(values)
    values["data"].setdefault("reduced_decode", False)
    if "auxiliary_weight" in values["loss"]:  # of one auxiliary head, when there was no second
        values["loss"]["auxiliary_weights"] = [values["loss"].pop("auxiliary_weight")]
    config = base.get_config().to_dict()
    if values["model"].get("network", config["model"]["network"]) != config["model"]["network"]:
        config["model"] = {}  # another network's arguments are its own
    for name, value in values.items():
        if isinstance(config.get(name), dict) and not isinstance(value, dict):
            raise TypeError(f"{name} is no group of fields")
        config[name] = config.get(name, {}) | value if isinstance(value, dict) else value
    return ConfigDict(config).lock()


def refuse_foreign_network(config: ConfigDict, workdir: Path, named_by_user: str = "") -> None:
    """Raises UserError where a run folder's config names a class that is none of PneumoJAX's.

    To import it would run its module, which may lie in that very folder. `named_by_user` is a
    class that the command's own config names.
    """
    network = config.model.network
    if not str(network).startswith(OUR_NETWORKS) and network != named_by_user:
        raise UserError(
            f"--workdir: the config in {str(workdir)!r} names the network {str(network)!r}, which "
            "is not one of PneumoJAX's, and importing it runs its code. If you know whose it is, "
            "add --any_network"
        )


def refuse_other_config(workdir: Path, config: ConfigDict) -> None:
    """Raises UserError with the fields in which a folder's run differs from `config`."""
    different = differences(read_config(workdir), config)
    if different:
        raise UserError(
            f"--workdir: {str(workdir)!r} is a run of another config ("
            + "; ".join(different)
            + "); name another folder or use that config"
        )


def write_provenance(workdir: Path, sides: Splits, config: ConfigDict) -> None:
    """Records films and surroundings.

    Raises:
        UserError: the films are not those that the run began with.
    """
    path = workdir / "provenance.json"
    now = provenance(config) | {"films": sides.fingerprint, "audit": sides.audit.as_dict()}
    if path.exists():
        before = read_provenance(workdir)
        if before["films"] != now["films"]:
            raise UserError(
                f"data.root: the films have changed since {str(workdir)!r} began "
                f"({before['films']} -> {now['films']}); restore them or name another --workdir"
            )
        return
    both = {"train": sides.train}
    if sides.validation is not None:
        both["validation"] = sides.validation
    write_csv(
        workdir / "films.csv",
        FILM_COLUMNS,
        (
            (path, side, label, who.patient, int(who.known), who.pathogen, digest)
            for side, films in both.items()
            for path, label, who, digest in zip(
                films.paths, films.labels, films.identities, films.digests, strict=True
            )
        ),
    )
    write_csv(workdir / "rejected_films.csv", ("file", "reason"), sides.rejected)
    write_json(path, now)


def read_provenance(workdir: Path) -> dict[str, Any]:
    """The record that `write_provenance` wrote.

    Raises:
        UserError: it is not there, or not what a run wrote.
    """
    return read_record(workdir / "provenance.json", PROVENANCE)


def read_films(workdir: Path) -> list[dict[str, str]]:
    """The rows of films.csv, see `FILM_COLUMNS`.

    Raises:
        UserError: it is not there, or not what a run wrote.
    """
    path = workdir / "films.csv"
    try:
        rows = read_csv(path)
        for row in rows:
            if set(row) != set(FILM_COLUMNS) or row["label"] not in ("0", "1"):
                raise ValueError("a line of it is no film")
            if row["side"] not in ("train", "validation"):
                raise ValueError(f"side is {row['side'][:20]!r}, not train or validation")
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{str(path)!r} is not the list of films of a run: {error}") from error
    return rows


def hidden(patient: str) -> str:
    """Stands for a patient, or for a file that names none, without saying which; itself of itself.

    A released run has these in its films.csv: enough to tell whether a patient was trained on.
    """
    if patient.startswith(_HIDDEN):
        return patient
    return _HIDDEN + hashlib.sha256(patient.encode(errors="surrogateescape")).hexdigest()[:16]


def is_synthetic(config: ConfigDict) -> bool:
    """Whether the run's films are the embedded drawings."""
    return config.data.root == "synthetic"


def provenance(config: ConfigDict) -> dict[str, Any]:
    """Versions, devices, command and source revision of this process."""
    return {
        "synthetic": is_synthetic(config),
        "versions": versions(),
        "devices": [str(device) for device in jax.devices()],
        "platform": platform.platform(),
        "command": sys.argv,
        "revision": _revision(),
    }


def versions() -> dict[str, str]:
    """Of Python and of every package that results depend on."""
    installed = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | installed


def _revision() -> str:
    """The checkout's commit, "unknown" outside one."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return result.stdout.strip() or "unknown"
