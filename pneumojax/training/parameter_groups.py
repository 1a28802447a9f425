"""Which parameters are trained, from when on and at what rate: for fine-tuning."""

from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.terminal import plain_table

# Labels of groups, and what they mean.
GROUPS = {
    "heads": "from the first step on",
    "backbone": "after the frozen epochs",
    "frozen": "never",
}


def is_fine_tuning(config: ConfigDict) -> bool:
    """Whether parts of the network are treated apart."""
    settings = config.finetune
    return bool(settings.frozen_epochs or settings.unfreeze_from or settings.backbone_rate != 1)


def groups_of(config: ConfigDict, params: Mapping[str, Any]) -> dict[str, Any]:
    """A tree like `params` with the name of each array's group.

    Heads are the top-level modules whose names end in "_head"; everything else is the backbone, of
    which what stands before `config.finetune.unfreeze_from` is frozen for good. Order is that of
    the film's way through the network: stem, modules, heads.

    Raises:
        UserError: there is no such stage.
    """
    flat = flatten_dict(params)
    stages = sorted({stage_of(place) for place in flat if not _is_head(place)})
    first = config.finetune.unfreeze_from
    names = ["/".join(map(str, stage[1:])) for stage in stages]
    if first and first not in names:
        raise UserError(
            f"config.finetune.unfreeze_from is {first!r}: the stages are {', '.join(names)}."
        )
    begins = names.index(first) if first else 0
    trained = set(stages[begins:])
    labels = {
        place: "heads"
        if _is_head(place)
        else "backbone"
        if stage_of(place) in trained
        else "frozen"
        for place in flat
    }
    return unflatten_dict(labels)


def print_groups(config: ConfigDict, params: Mapping[str, Any], steps_per_epoch: int) -> None:
    """A line for each group: what trains, at what rate, from which step on, how many."""
    labels, flat = flatten_dict(groups_of(config, params)), flatten_dict(params)
    rate = config.optimizer.learning_rate
    rates = {"heads": rate, "backbone": rate * config.finetune.backbone_rate, "frozen": 0.0}
    begins = {"heads": "1", "backbone": f"{config.finetune.frozen_epochs * steps_per_epoch + 1:,}"}
    rows = []
    for group in GROUPS:
        places = [place for place in flat if labels[place] == group]
        count = sum(flat[place].size for place in places)
        stages = list(dict.fromkeys("/".join(map(str, stage_of(p)[1:])) for p in sorted(places)))
        shown = stages if len(stages) < 4 else [stages[0], "...", stages[-1]]
        if places:
            rows.append(
                (
                    group,
                    ", ".join(shown),
                    f"{rates[group]:g}",
                    begins.get(group, "never"),
                    f"{count:,}",
                )
            )
    print(plain_table(("group", "stages", "rate", "from step", "parameters"), rows))


def stage_name(place: tuple) -> str:
    """The stage that an array belongs to, such as "stem1", "modules/4" or "main_head"."""
    return "/".join(map(str, stage_of(place)[1:]))


def _is_head(place: tuple) -> bool:
    return str(place[0]).endswith("_head")


def stage_of(place: tuple) -> tuple:
    """A stage's rank and name: (0, "stem1"), (1, "modules", 4), (2, "main_head")."""
    if place[0] == "modules":
        return 1, "modules", int(place[1])
    return (2 if _is_head(place) else 0), place[0]
