"""Fine-tuning: which parameters are trained, from which step on, and at which rate."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.terminal import plain_table, say
from pneumojax.tree_paths import by_path, nested


def is_fine_tuning(config: ConfigDict) -> bool:
    """Whether heads are trained from the first step and others later, slower or never."""
    settings = config.finetune
    return bool(settings.frozen_epochs or settings.unfreeze_from or settings.backbone_rate != 1)


def groups_of(config: ConfigDict, params: Mapping[str, Any]) -> dict[str, Any]:
    """A tree like `params` with the name of each array's group.

    Heads are the top-level modules whose names end in "_head". Everything else is the backbone,
    except the stages before `config.finetune.unfreeze_from`, which stay frozen.
    """
    flat = by_path(params)
    stages = sorted({stage_of(path) for path in flat if not _is_head(path)})
    first = config.finetune.unfreeze_from
    names = [_name(stage) for stage in stages]
    if first and first not in names:
        raise UserError(
            f"config.finetune.unfreeze_from is {first!r}: the stages are {', '.join(names)}"
        )
    frozen = set(stages[: names.index(first)] if first else ())

    def group(path: tuple) -> str:
        if _is_head(path):
            return "heads"
        return "frozen" if stage_of(path) in frozen else "backbone"

    return nested({path: group(path) for path in flat})


def print_groups(config: ConfigDict, params: Mapping[str, Any], steps_per_epoch: int) -> None:
    """Prints a line for each group: its stages, rate, first step and number of parameters."""
    labels, flat = by_path(groups_of(config, params)), by_path(params)
    rate = config.optimizer.learning_rate
    unfrozen = config.finetune.frozen_epochs * steps_per_epoch + 1
    groups = {
        "heads": (rate, "1"),
        "backbone": (rate * config.finetune.backbone_rate, f"{unfrozen:,}"),
        "frozen": (0.0, "never"),
    }
    rows = []
    for group, (rate, begins) in groups.items():
        paths = sorted(path for path in flat if labels[path] == group)
        if not paths:
            continue
        stages = list(dict.fromkeys(stage_name(path) for path in paths))
        shown = stages if len(stages) < 4 else [stages[0], "...", stages[-1]]
        count = sum(flat[path].size for path in paths)
        rows.append((group, ", ".join(shown), f"{rate:g}", begins, f"{count:,}"))
    say(plain_table(("group", "stages", "rate", "from step", "parameters"), rows))


def stage_name(path: tuple) -> str:
    """The stage of the array at a parameter path: "stem1", "modules/4" or "main_head"."""
    return _name(stage_of(path))


def stage_of(path: tuple) -> tuple:
    """A key that sorts stages in the order of the forward pass: stem, modules, heads."""
    if path[0] == "modules":
        return 1, "modules", int(path[1])
    return (2 if _is_head(path) else 0), path[0]


def _name(stage: tuple) -> str:
    return "/".join(map(str, stage[1:]))


def _is_head(path: tuple) -> bool:
    return str(path[0]).endswith("_head")
