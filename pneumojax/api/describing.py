"""How labelled films are described, where they differ from those of a run."""

from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.check import check
from pneumojax.config.flat import flatten
from pneumojax.config.load import nearest_fields
from pneumojax.data.naming import FilmNaming, naming_of
from pneumojax.errors import UserError


def description_of(data: Mapping[str, Any], config: ConfigDict) -> FilmNaming:
    """The description by a run's config with other fields of `config.data`, by their names there.

    Raises UserError for a field that does not exist and for a value that it cannot have.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"data is {data!r}; pass a dict such as {{'positive': ('sick',)}}")
    changed = config.copy_and_resolve_references()
    fields = flatten(config.data)
    for name, value in data.items():
        if name not in fields:
            near = " or ".join(map(repr, nearest_fields(str(name), fields)))
            meant = f"did you mean {near}?" if near else "name fields of config.data"
            raise UserError(f"data has the unknown field {name!r}; {meant}")
        try:
            changed.update_from_flattened_dict({f"data.{name}": value})
        except (TypeError, ValueError) as error:
            before = reduce(getitem, name.split("."), config.data)
            raise UserError(
                f"data[{name!r}] is {value!r}; pass a {type(before).__name__}, such as {before!r}"
            ) from error
    check(changed)
    return naming_of(changed)
