"""The report's sections on the run: what was evaluated, on which films, and how it was chosen."""

from pneumojax.evaluation.report.sections import Result, Section, Table


def identity(result: Result) -> Section:
    """What was evaluated, and from what it can be made again."""
    run, epoch = result["provenance"], result["epoch"]
    rows = [
        ("run", result["run"]),
        ("checkpoint", f"epoch {'unknown' if epoch is None else epoch}, step {result['step']:,}"),
        ("seed", str(result["config"]["seed"])),
        ("source revision", run["revision"]),
        ("trained by", " ".join(run["command"])),
        ("devices", ", ".join(run["devices"])),
        ("platform", run["platform"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in run["versions"].items())),
        ("films scored", f"{result['split']}, fingerprint {result['films']}"),
        *((f"films of {k}", f"fingerprint {v}") for k, v in run["films"].items() if v),
        ("evaluated with", ", ".join(f"{k} {v}" for k, v in result["versions"].items())),
    ]
    fields = [(k, str(v)) for k, v in result["config"].items()]
    config = Table(("field", "value"), fields, folded="Every field of the config")
    return Section("Identity", [], [Table(("what", "value"), rows), config])


def flow(result: Result) -> Section:
    """Films found, left out and divided, and the proof that patients are apart."""
    found = result["flow"]
    rows = [
        (
            row["side"],
            row["class"],
            row["pathogen"],
            f"{row['films']:,}",
            "unknown" if row["patients"] is None else f"{row['patients']:,}",
        )
        for row in found["films"]
    ]
    text = [f"{found['audit'].removeprefix('audit: ').capitalize()}."]
    text.append(
        f"{found['duplicates']:,} of the films scored are byte-identical to another of them."
        if found["duplicates"]
        else "No two of the films scored are byte-identical."
    )
    tables = [Table(("side", "class", "pathogen", "films", "patients"), rows)]
    if found["rejected"]:
        tables.append(Table(("left out", "reason"), [tuple(row) for row in found["rejected"]]))
    else:
        text.append("No file was left out as unreadable.")
    text.append("Splits are divided by patient, read from file names; docs/data.md has the rule.")
    return Section("Flow of films", text, tables)


def population(result: Result) -> Section:
    """Whose films these are, as far as anything is known."""
    if result["synthetic"]:
        text = [
            "The films are drawings made by a program. Figures on them show that the code works."
        ]
    else:
        text = [
            "Nothing but films, classes and names is read from a folder. If these are the films of "
            "Kermany et al. (Cell 172:1122, 2018): children of one to five years, one hospital in "
            "Guangzhou, anterior-posterior views; labelled by two physicians, and a third for the "
            "official test films.",
            "Age, sex and device are not available. Whether the network is equally good for girls "
            "and boys, or on other devices, cannot be said from these films.",
        ]
    return Section("Population and reference standard", text)


def prevalence(result: Result) -> Section:
    """The share of pneumonia, here and in training."""
    share = result["flow"]["training_prevalence"]
    text = [
        f"{result['prevalence']:.1%} of the films scored are PNEUMONIA; in training it was "
        f"{share:.1%}. Predictive values, accuracy and probabilities depend on it; sensitivity, "
        "specificity and AUROC do not."
    ]
    return Section("Prevalence", text)


def selection(result: Result) -> Section:
    """How the checkpoint was chosen."""
    chosen = result["selection"]
    if "out_of_fold" in result:
        folds = result["out_of_fold"]
        areas = ", ".join(f"{area:.3f}" for area in folds["auroc_by_fold"])
        return Section(
            "Selection",
            [
                f"{folds['folds']} networks of one recipe were trained, each without one fold of "
                "the patients. Each film was scored by the one not trained on it or its patient; "
                "their logits are pooled as they are. Identity, training and explanations are of "
                f"the first. AUROC by fold: {areas}; of the pool {result['auroc']['value']:.3f}, "
                f"and {folds['auroc_calibrated_apart']:.3f} with each fold's logits divided by its "
                "own temperature. One seed was trained for each."
            ],
        )
    if not chosen["films"]:
        text = ["The run had no validation films: its last checkpoint is evaluated."]
    else:
        text = [
            f"The checkpoint is that of epoch {result['epoch']} of {chosen['epochs']}, with the "
            f"best {chosen['metric']} on {chosen['films']:,} validation films. Training saw none "
            "of them."
        ]
        if result["split"] == "val":
            text.append(
                "The films scored here are those that chose epoch, threshold and temperature, so "
                "these figures are somewhat better than on films that chose nothing."
            )
    if result["split"] == "train":
        text.append("The films scored here are those that the network was trained on.")
    if "members" in result:
        text.append(
            f"{len(result['members'])} runs answer together; identity, training and explanations "
            "are of the first."
        )
    text.append("One seed was trained. Intervals hold for films, not for another training.")
    return Section("Selection", text)
