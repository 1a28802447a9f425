"""The README's tables on the released network, and beside other libraries."""

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contest_summary import OURS, median_ratio
from tools.docs.contests import KINDS, stored
from tools.docs.marks import table
from tools.docs.places import PERFORMANCE, REFERENCE, ROOT
from tools.docs.reference_card import shown

SHARES = ("sensitivity", "specificity")
PEERS = ROOT / "docs" / "peers.md"
# The rows of docs/peers.md that the README repeats, in its order.
ROWS = (
    "pretrained weights",
    "more than two classes",
    "proven on GPUs",
    "DICOM films, also for training",
    "exact resume within an epoch",
    "split by patient, with an audit",
    "intervals, DeLong, calibration, threshold",
    "report on shortcuts and robustness",
    "paired comparison of networks",
)
# contest -> the library, as its contestant is called there
CONTESTS = {
    "train_step": "training step, batch 64",
    "inception_v3": "training step of Inception-v3, batch 16",
    "inference": "inference, batches of 64",
    "latency": "inference, one film",
}
RIVALS = {
    "Keras": ("Keras on TensorFlow", "Keras Applications"),
    "PyTorch or torchvision": (
        "PyTorch, compiled",
        "PyTorch",
        "torchvision, compiled",
        "torchvision",
    ),
    "ONNX Runtime": ("ONNX Runtime",),
}
_LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")


def released() -> str:
    """Renders how each released network does on each kind of film that it was scored on."""
    stored = ("card.json", "official_test.json", "elsewhere.json")
    return render_released(*(json.loads((REFERENCE / name).read_text()) for name in stored))


def render_released(
    card: Mapping[str, Any], test: Mapping[str, Any], elsewhere: Mapping[str, Any]
) -> str:
    """Renders the figures of the released networks, the present one first.

    Args:
        card: the stored figures of `tools.record_reference`.
        test: the figures of one network on the official test split.
        elsewhere: by the name of a network, its figures of `tools.elsewhere`.
    """
    validation, folds, styles = card["validation"], card["crossvalidation"], card["forecast"]
    own = f"{validation['films']:,} films of {validation['patients']:,} children held out"
    out_of_fold = f"out of fold, {folds['films']:,} films of {folds['patients']:,} children"
    names = (*SHARES, "auroc")
    rows = [
        ["`reference`", own, *(shown(validation["figures"][name]) for name in names)],
        [
            "`reference`",
            f"forecast for another machine: range over {len(styles['groups'])} held-out groups",
            *("{:.3f} to {:.3f}".format(*styles[name]) for name in SHARES),
            "{:.3f} to {:.3f}".format(*_range(styles["groups"])),
        ],
        ["`reference`", *_elsewhere(elsewhere["reference"])],
        ["`reference_1`", out_of_fold, *(shown(folds[name]) for name in names)],
        [
            f"`{test['network']}`",
            f"the official test split, {test['films']} films, scored once",
            *(f"{test[name]:.3f}" for name in names),
        ],
        ["`reference_1`", *_elsewhere(elsewhere["reference_1"])],
    ]
    return table(("network", "films", *SHARES, "AUROC"), rows)


def _range(groups: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The lowest and the highest AUROC of the groups that were held out."""
    areas = [group["auroc"]["value"] for group in groups]
    return min(areas), max(areas)


def _elsewhere(found: Mapping[str, Any]) -> list[str]:
    figures = found["figures"]
    areas = (
        f"{shown(figures[f'elsewhere_auroc_{view}'])} among {view.upper()} films"
        for view in ("ap", "pa")
    )
    shares = (shown(figures[f"elsewhere_{name}"]) for name in SHARES)
    return [f"another hospital: {found['films']} films of adults", *shares, ", ".join(areas)]


def peers() -> str:
    """Renders some rows of docs/peers.md, with links that work from the README."""
    return render_peers(PEERS.read_text())


def render_peers(page: str) -> str:
    """Renders some rows of a page's table of features.

    Raises:
        ValueError: the page lacks a row.
    """
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    cells = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}
    if missing := set(ROWS) - cells.keys():
        raise ValueError(f"docs/peers.md has no row {sorted(missing)}")
    rows = [[name, *(_LINK.sub(r"](docs/\1)", cell) for cell in cells[name])] for name in ROWS]
    return table(("", *cells["expected"]), rows)


def speed() -> str:
    """Renders PneumoJAX's speed in each stored contest, as a multiple of each library's."""
    found = {
        contest: [stored(PERFORMANCE, kind, contest) for kind in KINDS] for contest in CONTESTS
    }
    return render_speed({name: [r for r in results if r] for name, results in found.items()})


def render_speed(results: Mapping[str, list[dict[str, Any]]]) -> str:
    """Renders the median of each library's times over PneumoJAX's, both of the same round.

    A library that takes part twice counts at its fastest. A contest has a row for each result, one
    for each kind of core.
    """
    rows = []
    for contest, title in CONTESTS.items():
        for result in results[contest]:
            rounds = {name: found.get("seconds") for name, found in result["contestants"].items()}
            cells = []
            for names in RIVALS.values():
                times = [rounds[name] for name in names if rounds.get(name)]
                fastest = min(times, key=statistics.median, default=None)
                cells.append(f"{median_ratio(fastest, rounds[OURS]):.2f}" if fastest else "")
            rows.append([title, *cells, f"{result['hardware']}, {result['date']}"])
    return table(("speed of PneumoJAX, divided by that of", *RIVALS, "measured on"), rows)
