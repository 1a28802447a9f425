"""A published network in the layout of a Hub repository, which `pneumojax.load` takes.

It holds `README.md` with the metadata of a model card, `model.safetensors`, `config.json`,
`meta.json` with the decision, and `films.csv` with the hashes of the training films.
"""

import shutil
from pathlib import Path

from pneumojax.api.info import CARD, Info, info_of
from pneumojax.errors import UserError
from pneumojax.files import replacing, write_csv, write_json
from pneumojax.inference.predictor import Predictor
from pneumojax.run.film_list import FILM_COLUMNS, read_films
from pneumojax.run.published import anonymous_film, without_paths
from pneumojax.run.weights_folder import write_weights

_LICENCES = {"CC BY 4.0": "cc-by-4.0", "CC0 1.0": "cc0-1.0"}  # as the Hub writes them
_README = """---
library_name: pneumojax
pipeline_tag: image-classification
{licence}tags:
- chest-x-ray
- pneumonia
- jax
- safetensors
---

# {name}

```text
{facts}
```

Use it with PneumoJAX, from a copy of this folder:

```python
import pneumojax

print(pneumojax.load("path/to/this/folder").predict("film.jpeg"))
```

`films.csv` holds the classes and hashes of the training films, by which a prediction recognises a film that the network has seen. It names no patient and no file.
"""  # noqa: E501


def write_hub_folder(predictor: Predictor, folder: Path) -> None:
    """Writes a single network's folder; raises UserError for several networks."""
    if len(predictor.members) > 1:
        raise UserError(
            "safetensors holds one network; export each run by itself, and load them together",
            flag="workdir",
        )
    run, workdir = predictor.first, predictor.workdirs[0]
    config = without_paths(run.config.to_dict())
    write_json(folder / "config.json", config)
    write_weights(folder, run.params, {**run.meta, "config": config})
    if (workdir / "films.csv").exists():
        write_csv(folder / "films.csv", FILM_COLUMNS, map(anonymous_film, read_films(workdir)))
    if (workdir / CARD).exists():
        shutil.copy(workdir / CARD, folder / CARD)
    with replacing(folder / "README.md") as temporary:
        temporary.write_text(_readme(info_of(predictor)), encoding="utf-8")


def _readme(info: Info) -> str:
    licence = _LICENCES.get(info.licence)
    return _README.format(
        licence=f"license: {licence}\n" if licence else "",
        name=info.networks[0],
        facts=repr(info),
    )
