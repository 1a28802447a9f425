"""A study before its first trial: what is searched, and by which figures. Kept in study.json."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.flat import differences
from pneumojax.config.load import run_name
from pneumojax.errors import UserError
from pneumojax.fields import Field, is_flag, is_group, is_text, list_of, read_record
from pneumojax.files import write_json
from pneumojax.run.stored_config import completed, is_synthetic
from pneumojax.tuning.objective import Objective
from pneumojax.tuning.space import Space, record_of

STUDY = "study.json"
_FIELDS = (
    Field(("config",), is_group, "an object"),
    Field(("space",), is_group, "an object"),
    Field(("objectives",), list_of(is_text), "a list of texts"),
    Field(("sampler",), is_text, "text"),
    Field(("storage",), is_text, "text"),
    Field(("prunes",), is_flag, "true or false"),
)


@dataclass(frozen=True)
class Plan:
    """A study.

    config: the config of which each trial changes the fields in `space`; its seed is also that of
        the proposals.
    sampler: "tpe" or "random". storage: a key of `storage.FILES`.
    prunes: whether hopeless trials are stopped; only with one objective.
    """

    config: ConfigDict
    space: Space
    objectives: tuple[Objective, ...]
    sampler: str
    storage: str
    prunes: bool

    def __post_init__(self) -> None:
        if self.prunes and len(self.objectives) > 1:
            raise UserError("trials are pruned by one objective; name one, or leave --prune out")

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def evaluates(self) -> bool:
        """Whether an objective is a figure of the evaluation."""
        return not all(objective.is_of_an_epoch for objective in self.objectives)

    @property
    def is_synthetic(self) -> bool:
        return is_synthetic(self.config)

    @property
    def name(self) -> str:
        """`<config name>-tune-<8 hex digits>`, for the default folder: a digest of the study."""
        record = self.record() | {"config": run_name(self.config)}
        digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
        return f"{self.config.name}-tune-{digest[:8]}"

    def record(self) -> dict[str, Any]:
        """The study as JSON values."""
        return {
            "config": self.config.to_dict(),
            "space": record_of(self.space),
            "objectives": [str(objective) for objective in self.objectives],
            "sampler": self.sampler,
            "storage": self.storage,
            "prunes": self.prunes,
        }


def begin_study(folder: Path, plan: Plan) -> None:
    """Makes the folder of a study; raises UserError if it holds another study or other files."""
    path = folder / STUDY
    if path.exists():
        _refuse_another(read_record(path, _FIELDS), plan, folder)
        return
    # A process that was killed before it wrote the file may have left its temporary copy.
    if folder.exists() and any(not found.name.startswith(".") for found in folder.iterdir()):
        raise UserError(
            f"{str(folder)!r} holds files but no study; name another folder", flag="workdir"
        )
    write_json(path, plan.record())


def _refuse_another(stored: dict[str, Any], plan: Plan, folder: Path) -> None:
    changed = [str(change) for change in differences(completed(stored["config"]), plan.config)]
    ours = json.loads(json.dumps(plan.record()))
    changed += [
        f"{name}: {json.dumps(stored[name])} -> {json.dumps(ours[name])}"
        for name in ours
        if name != "config" and stored[name] != ours[name]
    ]
    if changed:
        raise UserError(
            f"{str(folder)!r} is another study ({'; '.join(changed)[:500]}); repeat its command, "
            "or name another folder",
            flag="workdir",
        )
