"""Sections on what lies behind a report's figures: parts of films, shortcuts, failures."""

from pneumojax.evaluation.audits.perturbations import PERTURBATIONS
from pneumojax.evaluation.report.sections import Result, Section, Table
from pneumojax.evaluation.terminal import limits_of, value_of


def subgroups(result: Result) -> Section:
    """Figures of parts of the films."""
    found = result["subgroups"]
    rows = []
    for part in found["parts"]:
        cells = [
            f"{value_of(part[key])} ({limits_of(part[key])}){' *' * (key in part['too_few'])}"
            if part[key]["value"] is not None
            else ""
            for key in ("sensitivity", "specificity", "auroc")
        ]
        limits = "" if part["low"] is None else f", {part['low']:.4g} to {part['high']:.4g}"
        rows.append((f"{part['title']}: {part['name']}{limits}", f"{part['n']:,}", *cells))
    text = [
        "By pathogen, and by quarters of the films in width, sharpness and brightness. "
        f"* rests on fewer than {found['few']} films of a class: say nothing of it.",
        "Age and sex are unknown, so whether the network is fair to patients cannot be told.",
    ]
    text += [f"Not divided by {by}: {why}." for by, why in found["undivided"].items()]
    table = Table(("part", "films", "sensitivity", "specificity", "AUROC"), rows)
    captions = {"subgroups": "95 % intervals, Wilson's and DeLong's."}
    return Section("Subgroups", text, [table], captions)


def shortcuts(result: Result) -> Section:
    """What trivial statistics of films predict, and whether the network follows them."""
    found = result["shortcuts"]
    pairs = found["pairs"]
    rows = [
        (
            f"{row['title']} ({row['meaning']})",
            f"{value_of(row['auroc'])} ({limits_of(row['auroc'])})",
            row["higher_in"] or "neither",
            *(_decimals(row["rank_correlation"][key]) for key in ("NORMAL", "PNEUMONIA")),
            _decimals(row["auroc_in_pairs"]),
        )
        for row in found["statistics"]
    ]
    text = [
        "None of these numbers knows any anatomy. One that predicts the label is a shortcut that "
        "the network may have taken: its rank correlation with the logit within a class tells how "
        "far the network follows it where the label gives no reason to.",
    ]
    if pairs["pairs"]:
        text.append(
            f"Among {pairs['pairs']:,} pairs of a normal film and one of PNEUMONIA that are alike "
            f"in {' and '.join(pairs['paired_by'])}, the network's AUROC is "
            f"{value_of(pairs['auroc'])} ({limits_of(pairs['auroc'])}); on all films it is "
            f"{value_of(found['model']['auroc'])}. A statistic that still predicts the label in "
            "the pairs is not balanced by them."
        )
    else:
        text.append("No normal film is like one of PNEUMONIA in sharpness and brightness.")
    softest = result["softest_normal"]
    if softest["value"] is not None:
        text.append(
            f"Of the third of the normal films that is least sharp ({softest['n']:,}), it calls "
            f"{value_of(softest)} ({limits_of(softest)}) normal."
        )
    headings = (
        "statistic",
        "AUROC alone",
        "higher in",
        "with logit, NORMAL",
        "with logit, PNEUMONIA",
        "AUROC in pairs",
    )
    captions = {"shortcuts": "AUROC of each statistic alone; the line is the network's."}
    return Section("Shortcut audit", text, [Table(headings, rows)], captions)


def robustness(result: Result) -> Section:
    """Figures of films made worse."""
    found = result["robustness"]
    rows = [
        (
            kind["title"],
            f"{row['level']:g}",
            *(
                f"{value_of(row[key])} ({limits_of(row[key])})"
                for key in ("auroc", "sensitivity", "specificity", "change")
            ),
        )
        for kind in found["kinds"].values()
        for row in kind["levels"]
    ]
    text = [
        f"The same {found['n']:,} films ({found['normal']:,} normal) at each level, changed at "
        f"the {found['side']} pixels that the network sees, called at the operating point."
    ]
    headings = ("change", "level", "AUROC", "sensitivity", "specificity", "change of AUROC")
    tables = [Table(headings, rows, folded="Every level, with intervals")]
    if stress := found["stress"]:
        tables.insert(0, _stress_table(stress))
        text.append(
            f"Summed up over {stress['settings']} settings of blur, noise, contrast, JPEG and "
            "crop, with intervals by resampling patients. The worst was chosen for being worst."
        )
    captions = {"robustness": "95 % intervals; dashed: films as they are."}
    return Section("Robustness", text, tables, captions)


def _stress_table(stress: Result) -> Table:
    rows = []
    for name, title in (
        ("auroc", "AUROC"),
        ("sensitivity", "sensitivity"),
        ("specificity", "specificity"),
        ("balanced_accuracy", "balanced accuracy"),
    ):
        mean, worst = stress["mean"][name], stress["worst"][name]
        where = PERTURBATIONS[worst["perturbation"]].title
        rows.append(
            (
                title,
                f"{value_of(mean)} ({limits_of(mean)})",
                f"{value_of(worst)} ({limits_of(worst)})",
                f"{where}: {worst['level']:g}",
            )
        )
    return Table(("under stress", "mean", "worst", "worst at"), rows)


def failures(result: Result) -> Section:
    """The films that the network got most wrong."""
    found = result["failures"]
    titles = {
        "false_positives": "Most confident false positives",
        "false_negatives": "Most confident false negatives",
        "doubtful_labels": "Labels worth another look",
    }
    text, tables, captions = [], [], {}
    for key, title in titles.items():
        kind = found[key]
        if not kind["films"]:
            text.append(f"{title}: none.")
            continue
        rows = [(f["file"], f["label"], f"{f['probability']:.3f}") for f in kind["films"]]
        heading = f"{title} ({len(rows)} of {kind['found']:,})"
        tables.append(Table((heading, "label", "probability"), rows))
        if key != "doubtful_labels":
            kind_of = title.removeprefix("Most confident ").removesuffix("s").capitalize()
            for i, (file, _, probability) in enumerate(rows):
                captions[f"{key}-{i}"] = f"{kind_of}, probability {probability}: {file}"
    if captions:
        text.append(
            "Colour marks where evidence for PNEUMONIA lies (Grad-CAM), relative to its strongest "
            "place on that film. It tells what raised the output, not where disease is."
        )
    return Section("Failures", text, tables, captions, layout="small")


def explanations(result: Result) -> Section:
    """Whether the maps depend on the weights."""
    found = result["explanations"]
    rows = [
        (
            row["shuffled"],
            f"{row['compared']}",
            f"{row['vanished']}",
            _decimals(row["median"]),
            "{:.2f} to {:.2f}".format(*row["quartiles"]) if row["quartiles"] else "undefined",
        )
        for row in found["stages"]
    ]
    text = [
        "Do the maps depend on what the network has learned? Weights are shuffled from the heads "
        f"down to the stem, and the maps of {found['films']} films are compared with those as "
        f"trained. {_verdict(found)}"
    ]
    if found["constant"] or any(row["vanished"] for row in found["stages"]):
        text.append(
            f"{found['constant']} of the {found['films']} films have no map as trained, because "
            "nothing on them speaks for pneumonia. A map that vanishes when weights are shuffled "
            "has changed, but it does not tell whether the maps that remain follow the film. "
            "Neither kind of film is counted in the correlations."
        )
    headings = ("shuffled", "films compared", "maps vanished", "median rank correlation")
    table = Table((*headings, "quartiles"), rows)
    stages = ["As trained", *(f"Shuffled: {row['shuffled']}" for row in found["stages"])]
    captions = {f"explanations-{i}": f"{stage}." for i, stage in enumerate(stages)}
    return Section("Explanations", text, [table], captions, layout="wide")


def _verdict(found: Result) -> str:
    """The answer of the randomisation check in one sentence."""
    last = found["stages"][-1]
    if found["passed"] is None:
        return (
            f"Nothing can be said: with all weights shuffled only {last['compared']} of the "
            f"{found['films']} films have a map on both sides, and a verdict needs at least "
            f"{found['fewest']}."
        )
    answer = "They do" if found["passed"] else "They do NOT, so do not trust them"
    return (
        f"{answer}: the median rank correlation with all weights shuffled is "
        f"{last['median']:.2f} over {last['compared']} films, where more than "
        f"{found['limit']:g} would fail."
    )


def _decimals(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
