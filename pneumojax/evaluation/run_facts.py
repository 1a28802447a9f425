"""What a report tells besides figures: the run, its films, and how its checkpoint was chosen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pneumojax.config.flat import flatten
from pneumojax.data.film_set import FilmSet
from pneumojax.data.films import CLASS_NAMES
from pneumojax.data.patients import count_contradictions
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.run.film_list import read_films
from pneumojax.run.history import read_history
from pneumojax.run.provenance import read_provenance, versions
from pneumojax.run.stored_config import is_synthetic

Film = tuple[int, str, str | None]  # label, pathogen, patient


def report_context(
    trained: TrainedRun, workdir: Path, films: FilmSet, split: str, audit_line: str
) -> dict[str, Any]:
    """The context of `write_evaluation`, from a run folder and the films that were scored.

    Args:
        split: what the films are called in the report.
        audit_line: the audit of these films against those trained on.
    """
    meta, config = trained.meta, trained.config
    seen = {"train": "train", "validation": "val"}
    sides: dict[str, list[Film]] = {}
    for row in read_films(workdir):
        who = row["patient"] if row["patient_known"] == "1" else None
        film = int(row["label"]), row["pathogen"], who
        sides.setdefault(seen[row["side"]], []).append(film)
    seen_sides = set(sides)
    training = [label for label, *_ in sides["train"]]
    if split not in sides:
        sides[split] = [
            (int(label), who.pathogen, who.patient if who.known else None)
            for label, who in zip(films.labels, films.identities, strict=True)
        ]
    history = read_history(workdir)
    return {
        "synthetic": is_synthetic(config),
        "run": workdir.name,
        "split": split,
        "root": str(films.root),
        "films": films.fingerprint,
        "step": meta["step"],
        "epoch": meta.get("epoch"),
        "patients_known": all(films.patients_known),
        "versions": versions(),
        "provenance": read_provenance(workdir),
        "config": flatten(config.to_dict()),
        "flow": {
            "films": film_flow(sides),
            "rejected": [list(pair) for pair in films.rejected],
            "swapped": count_contradictions(films.paths, films.labels),
            "duplicates": len(films) - len(set(films.digests)),
            "audit": audit_line,
            "training_prevalence": sum(training) / len(training),
        },
        "selection": {
            "metric": config.checkpoint.best_metric,
            "epochs": config.epochs,
            "films": len(sides["val"]) if "val" in seen_sides else 0,
        },
        "history": history,
    }


def film_flow(
    sides: Mapping[str, Sequence[tuple[int, str, str | None]]],
) -> list[dict[str, Any]]:
    """Films and patients of each side, class and pathogen.

    Args:
      sides: for each side its films as (label, pathogen, patient); None for an unknown patient.
    """
    rows = []
    for side, films in sides.items():
        for label, pathogen in sorted({(label, pathogen) for label, pathogen, _ in films}):
            patients = [who for *kind, who in films if kind == [label, pathogen]]
            rows.append(
                {
                    "side": side,
                    "class": CLASS_NAMES[label],
                    "pathogen": pathogen,
                    "films": len(patients),
                    "patients": None if None in patients else len(set(patients)),
                }
            )
    return rows
