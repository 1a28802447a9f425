"""The report's sections on the run: what was evaluated, on which films, and how it was chosen."""

from pneumojax.evaluation.audits.metadata import Metadata
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.section import Section, Table


def identity(evaluation: Evaluation) -> Section:
    facts = evaluation.facts
    run, epoch = facts.provenance, facts.epoch
    rows = [
        ("run", facts.run),
        ("checkpoint", f"epoch {'unknown' if epoch is None else epoch}, step {facts.step:,}"),
        ("seed", str(facts.config["seed"])),
        ("source revision", run["revision"]),
        ("trained by", " ".join(run["command"])),
        ("devices", ", ".join(run["devices"])),
        ("platform", run["platform"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in run["versions"].items())),
        ("films scored", f"{facts.split}, fingerprint {facts.films}"),
        *((f"films of {k}", f"fingerprint {v}") for k, v in run["films"].items() if v),
        ("evaluated with", ", ".join(f"{k} {v}" for k, v in facts.versions.items())),
    ]
    fields = [(k, str(v)) for k, v in facts.config.items()]
    config = Table(("field", "value"), fields, folded="Every field of the config")
    return Section("Identity", [], [Table(("what", "value"), rows), config])


def flow(evaluation: Evaluation) -> Section:
    found = evaluation.facts.flow
    rows = [
        (
            row.side,
            row.class_name,
            row.pathogen,
            f"{row.films:,}",
            "unknown" if row.patients is None else f"{row.patients:,}",
        )
        for row in found.films
    ]
    text = [f"{found.audit.removeprefix('audit: ').capitalize()}."]
    text.append(
        f"{found.duplicates:,} of the films scored are byte-identical to another of them."
        if found.duplicates
        else "No two of the films scored are byte-identical."
    )
    if found.lateral:
        text.append(
            f"{found.lateral:,} of the films scored are lateral views by their DICOM headers; the "
            "network is meant for frontal films."
        )
    tables = [Table(("side", "class", "pathogen", "films", "patients"), rows)]
    if found.rejected:
        tables.append(Table(("left out", "reason"), found.rejected))
    else:
        text.append("No file was left out as unreadable.")
    text.append(
        "Splits are divided by patient, as told by a table, DICOM headers or the names of the "
        "files; docs/data.md has the rule."
    )
    return Section("Flow of films", text, tables)


def population(evaluation: Evaluation) -> Section:
    if evaluation.facts.synthetic:
        text = [
            "The films are drawings made by a program. Metrics on them show that the code works."
        ]
    elif columns := _columns(evaluation):
        text = [
            f"The films came with the columns {', '.join(columns)}; the section on subgroups by "
            "metadata has the metrics of each group. Who the patients are and how the films were "
            "labelled has to be known from where they come.",
        ]
    else:
        text = [
            "Only films, classes and names are read from a folder. If these are the films of "
            "Kermany et al. (Cell 172:1122, 2018), they show children of one to five years in "
            "anterior-posterior views from one hospital in Guangzhou. They were labelled by two "
            "physicians, and the official test films also by a third.",
            "Age, sex and device are not available. These films cannot show whether the network "
            "is equally good for girls and boys, or on other devices.",
        ]
    return Section("Population and reference standard", text)


def _columns(evaluation: Evaluation) -> list[str]:
    """The names of the columns that came with the films."""
    found = (finding for finding in evaluation.findings if isinstance(finding, Metadata))
    return [name for finding in found for name in finding.names]


def prevalence(evaluation: Evaluation) -> Section:
    text = [
        f"{evaluation.summary.prevalence:.1%} of the films scored are "
        f"{evaluation.summary.class_names.positive}; in training it was "
        f"{evaluation.facts.flow.training_prevalence:.1%}. Predictive values, accuracy and "
        "probabilities depend on it; sensitivity, specificity and AUROC do not."
    ]
    return Section("Prevalence", text)


def selection(evaluation: Evaluation) -> Section:
    facts = evaluation.facts
    chosen = facts.selection
    if facts.out_of_fold:
        return Section("Selection", [_folds(evaluation)])
    if not chosen.films:
        text = ["The run had no validation films: its last checkpoint is evaluated."]
    else:
        films = f"{chosen.films:,} validation films"
        how = f", with the best {chosen.metric} on {films}. None of them"
        if chosen.metric == "last":
            how = f". None of the {films}"
        text = [
            f"The checkpoint is that of epoch {facts.epoch} of {chosen.epochs}{how} was used in "
            "training."
        ]
        if facts.split == "val":
            text.append(
                "The films scored here are those that chose epoch, threshold and temperature, so "
                "these metrics are somewhat better than on films that chose nothing."
            )
    if facts.split == "train":
        text.append("The films scored here are those that the network was trained on.")
    if facts.members:
        text.append(
            f"{len(facts.members)} runs answer together; identity, training and explanations are "
            "those of the first."
        )
    text.append(
        "Only one seed was trained: intervals cover the choice of films, not that of the seed."
    )
    return Section("Selection", text)


def _folds(evaluation: Evaluation) -> str:
    folds = evaluation.facts.out_of_fold
    assert folds
    areas = ", ".join(f"{area:.3f}" for area in folds.auroc_by_fold)
    return (
        f"{folds.folds} networks of one recipe were trained, each without one fold of the "
        "patients. Each film was scored by the one not trained on it or its patient; their logits "
        "are pooled as they are. Identity, training and explanations are those of the first. "
        f"AUROC by fold: {areas}; of the pool {evaluation.summary.auroc.value:.3f}, and "
        f"{folds.auroc_calibrated_apart:.3f} with each fold's logits divided by its own "
        "temperature. Only one seed was trained for each."
    )
