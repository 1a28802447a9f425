"""The facts that a user of a network should know: its films, its validation and its limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumojax.api.figures import Figure, fields_of_figures, figures_in
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.fields import Field, is_count, is_group, is_text, list_of, read_record
from pneumojax.files import printable
from pneumojax.inference.ensemble import OUT_OF_FOLD
from pneumojax.inference.predictor import Predictor
from pneumojax.run.film_list import read_films

CARD = "card.json"  # facts of a released network that its run folder does not hold otherwise
_LIMITS = (
    "It knows films like those it was trained on. Films of other hospitals, machines, ages or "
    "views may get wrong answers without a warning.",
    "Figures of validation films come from the same source as the training films, so they are too "
    "good for films of others.",
)

_CARD = (
    Field(("validated",), is_text, "text"),
    Field(("figures",), is_group, "an object"),
    Field(("limits",), list_of(is_text), "a list of texts"),
    *fields_of_figures("figures"),
)
_METRICS = (Field(("n",), is_count, "a count"), *fields_of_figures())


@dataclass(frozen=True)
class Info:
    """Facts about a network.

    networks: the names of the run folders.
    classes: the names of class 0 and class 1; probabilities are of class 1.
    image_size: side of the square that the network sees, pixels.
    threshold: the probability from which a film is called class 1.
    trained_on: the source or the folder of the training films.
    films: how many films were trained on.
    licence: that of the training films, or "" if the run does not know it.
    validated: the films on which the figures were measured, and how.
    figures: metrics with their 95 % intervals, by name; {} before an evaluation.
    limits: what the network cannot be expected to do.
    """

    networks: tuple[str, ...]
    classes: tuple[str, str]
    image_size: int
    threshold: float
    trained_on: str
    films: int
    licence: str
    validated: str
    figures: Mapping[str, Figure]
    limits: tuple[str, ...]
    disclaimer: str = DISCLAIMER

    def __repr__(self) -> str:
        size = self.image_size
        films = f"{self.films:,} films" if self.films else "films that the run does not list"
        lines = [
            f"network     {', '.join(self.networks)}: {size} x {size} pixels, {self.classes[1]} "
            f"against {self.classes[0]}, called from {self.threshold:.3g}",
            f"trained on  {films}: {self.trained_on}",
            f"licence     {self.licence or 'of the films: unknown'}",
            f"validated   {self.validated}",
            *(f"            {name}: {figure}" for name, figure in self.figures.items()),
            *(f"limit       {limit}" for limit in self.limits),
            self.disclaimer,
        ]
        return "\n".join(map(printable, lines))


def info_of(predictor: Predictor) -> Info:
    """Reads the facts from the run folders of a predictor.

    The figures are those of `card.json`, or of the evaluation of a single run on its validation
    films, or of a cross-validation out of fold.
    """
    trained, folder = predictor.first, predictor.workdirs[0]
    negative, positive = trained.meta["class_names"]
    source = trained.meta.get("films_source") or {}
    described = ", ".join(filter(None, map(source.get, ("name", "attribution", "doi"))))
    listed = [path for path in predictor.workdirs if (path / "films.csv").exists()]
    rows = [row for path in listed for row in read_films(path) if row["side"] == "train"]
    has_card = len(predictor.members) == 1 and (folder / CARD).exists()
    card = read_record(folder / CARD, _CARD) if has_card else {}
    validated, figures = _validation(predictor, card)
    return Info(
        networks=tuple(path.name for path in predictor.workdirs),
        classes=(negative, positive),
        image_size=trained.preprocessing.image_size,
        threshold=predictor.decision.threshold,
        trained_on=described or trained.trained_on,
        # The folds of a cross-validation share films.
        films=len(rows) if len(listed) == 1 else len({(r["file"], r["sha256"]) for r in rows}),
        licence=source.get("licence", ""),
        validated=validated,
        figures=figures,
        limits=tuple(card.get("limits", _LIMITS)),
    )


def _validation(predictor: Predictor, card: Mapping[str, Any]) -> tuple[str, dict[str, Figure]]:
    """The words about a validation, and its figures."""
    if card:
        return card["validated"], figures_in(card["figures"])
    folder = predictor.workdirs[0]
    if len(predictor.members) == 1:
        path = folder / "evaluation" / "val" / "metrics.json"
        how = "validation films, which the network was not trained on"
    elif predictor.decision.rule == "out of fold":
        path = folder.parent / OUT_OF_FOLD / "metrics.json"
        how = "films, each by the network that was not trained on its patient"
    else:
        return "not as an ensemble", {}
    if not path.exists():
        return "not yet: `evaluate` measures the figures", {}
    record = read_record(path, _METRICS)
    return f"{record['n']:,} {how}", figures_in(record)
