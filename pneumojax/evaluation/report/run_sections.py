"""The report's sections on the run: the films, how the checkpoint was chosen, and its identity."""

import shlex
from collections.abc import Sequence

from pneumojax.config.rules import NAMED_SETS
from pneumojax.evaluation.audits.metadata import Metadata
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.section import Section, Table

_SELECTION = "Selection and training"


def films(evaluation: Evaluation) -> Section:
    """The films of each split, who the patients are, and how many films show the disease."""
    found = evaluation.facts.flow
    rows: list[tuple[str, ...]] = [
        (
            row.side,
            row.class_name,
            row.pathogen,
            f"{row.films:,}",
            "unknown" if row.patients is None else f"{row.patients:,}",
        )
        for row in found.films
    ]
    headings: tuple[str, ...] = ("split", "class", "pathogen", "films", "patients")
    if all(row.pathogen in ("none", "unknown") for row in found.films):
        headings, rows = _without_pathogens(headings), list(map(_without_pathogens, rows))
    tables = [Table(headings, rows, folded="Films and patients of each split")]
    if found.rejected:
        title = f"{len(found.rejected):,} files that were left out"
        tables.append(Table(("file", "reason"), found.rejected, folded=title))
    text = [*_population(evaluation), _prevalence(evaluation), _flow(evaluation)]
    return Section("Films and patients", text, tables)


def _without_pathogens(row: Sequence[str]) -> tuple[str, ...]:
    return (*row[:2], *row[3:])


def _population(evaluation: Evaluation) -> list[str]:
    if evaluation.facts.synthetic:
        return ["The films are drawn by a program. Metrics on them show only that the code works."]
    if columns := _columns(evaluation):
        return [
            f"The films came with the columns {', '.join(columns)}, and the section on subgroups "
            "by metadata has the metrics of each group. The report does not know who the patients "
            "are or how the films were labelled.",
        ]
    return [
        "A folder tells only films, classes and file names. If these are the films of Kermany et "
        "al. (Cell 172:1122, 2018), they show children of one to five years in anterior-posterior "
        "views from one hospital in Guangzhou. Two physicians labelled them, and a third checked "
        "the official test films.",
        "Age, sex and device are unknown. These films cannot show whether the network is equally "
        "good for girls and boys, or on other devices.",
    ]


def _columns(evaluation: Evaluation) -> list[str]:
    """The names of the columns that came with the films."""
    found = (finding for finding in evaluation.findings if isinstance(finding, Metadata))
    return [name for finding in found for name in finding.names]


def _prevalence(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.summary.prevalence:.1%} of the films scored are "
        f"{evaluation.summary.class_names.positive}; in training it was "
        f"{evaluation.facts.flow.training_prevalence:.1%}. Predictive values, accuracy and "
        "probabilities depend on this prevalence; sensitivity, specificity and AUROC do not."
    )


def _flow(evaluation: Evaluation) -> str:
    found = evaluation.facts.flow
    lines = [f"{found.audit.removeprefix('audit: ').capitalize()}."]
    lines.append(
        f"{found.duplicates:,} of the films scored are byte-identical to another of them."
        if found.duplicates
        else "No two of the films scored are byte-identical."
    )
    if found.lateral:
        lines.append(
            f"{found.lateral:,} of the films scored are lateral views by their DICOM headers; the "
            "network is meant for frontal films."
        )
    if not found.rejected:
        lines.append("No file was left out as unreadable.")
    lines.append(
        "Splits are divided by patient, as told by a table, DICOM headers or file names "
        "(docs/data.md has the rule)."
    )
    return " ".join(lines)


def selection(evaluation: Evaluation) -> Section:
    """How the checkpoint was chosen, and the curves of its training."""
    facts = evaluation.facts
    text = [_folds(evaluation)] if facts.out_of_fold else _checkpoint(evaluation)
    if not facts.history:
        return Section(_SELECTION, [*text, "The run folder has no log of epochs."])
    if facts.epoch is None:
        text.append("The checkpoint does not say after which epoch it was saved.")
        caption = "Loss and validation by epoch."
    else:
        caption = f"Loss and validation by epoch. The dashed line is epoch {facts.epoch}."
    return Section(_SELECTION, text, pictures={"training": caption})


def _checkpoint(evaluation: Evaluation) -> list[str]:
    facts = evaluation.facts
    chosen = facts.selection
    if facts.epoch == 0:  # stored by `tools.join`; a training counts its epochs from 1
        text = [
            "This run trained nothing: it was made from the weights of other runs. None of its "
            f"{chosen.films:,} validation films was used in their training."
        ]
    elif not chosen.films:
        text = ["The run had no validation films, so its last checkpoint is evaluated."]
    else:
        count = f"{chosen.films:,} validation films"
        how = f", with the best {chosen.metric} on {count}. None of them"
        if chosen.metric == "last":
            how = f". None of the {count}"
        text = [
            f"The checkpoint is that of epoch {facts.epoch} of {chosen.epochs}{how} was used in "
            "training."
        ]
        if facts.split == "val":
            text.append(
                "Epoch, threshold and temperature were chosen on the films scored here, so these "
                "metrics are somewhat better than on other films."
            )
    if facts.split == "train":
        text.append("The network was trained on the films scored here.")
    if facts.members:
        text.append(
            f"{len(facts.members)} runs answer together. The identity, the training and the "
            "explanations in this report are those of the first run."
        )
    text.append(
        "The network was trained with one seed. Intervals cover the choice of films, and not the "
        "choice of the seed."
    )
    return text


def _folds(evaluation: Evaluation) -> str:
    folds = evaluation.facts.out_of_fold
    assert folds
    areas = ", ".join(f"{area:.3f}" for area in folds.auroc_by_fold)
    return (
        f"{folds.folds} networks were trained by one recipe, each without one fold of the "
        "patients. Each film was scored by the network that was not trained on it or on its "
        "patient, and the logits were pooled without rescaling. The identity, the training and the "
        f"explanations in this report are those of the first network. AUROC by fold: {areas}. "
        f"AUROC of the pooled logits: {evaluation.summary.auroc.value:.3f}, or "
        f"{folds.auroc_calibrated_apart:.3f} if each fold's logits are divided by the fold's own "
        "temperature. Each network was trained with one seed."
    )


def identity(evaluation: Evaluation) -> Section:
    """The run, its software and its whole config, which a page shows folded."""
    facts = evaluation.facts
    run, epoch = facts.provenance, facts.epoch
    rows = [
        ("run", facts.run),
        ("checkpoint", f"epoch {'unknown' if epoch is None else epoch}, step {facts.step:,}"),
        ("seed", str(facts.config["seed"])),
        ("source revision", run["revision"]),
        ("trained by", shlex.join(run["command"])),
        ("devices", ", ".join(run["devices"])),
        ("platform", run["platform"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in run["versions"].items())),
        ("films scored", f"{facts.split}, fingerprint {facts.films}"),
        *((f"films of {k}", f"fingerprint {v}") for k, v in run["films"].items() if v),
        ("evaluated with", ", ".join(f"{k} {v}" for k, v in facts.versions.items())),
    ]
    fields = {name: str(value) for name, value in facts.config.items()}
    if fields.get("data.table") and fields.get("data.root") in NAMED_SETS:
        fields["data.root"] += " (not used, because data.table lists the films)"
    tables = [
        Table(("property", "value"), rows),
        Table(("field of the config", "value"), [*fields.items()]),
    ]
    return Section("Identity of the run", [], tables, folded=True)
