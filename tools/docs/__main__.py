"""Renders the tables of every page from the stored figures, and with --draw its pictures.

Command:   python -m tools.docs [--draw]
Nothing is measured: the figures come from records/. The text between a page's marks is replaced.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from tools.docs import (
    accelerator,
    augmentation,
    beam,
    contests,
    devices,
    export,
    front,
    kernels,
    network,
    patient_folds,
    profiles,
    reference_card,
    reliability,
    results,
    roofline,
    scaling,
    second_seed,
    soak,
    streaming,
    tuning,
    votes,
)
from tools.docs.marks import placed
from tools.docs.places import IMAGES, ROOT

# page -> mark -> the function that renders the text between the marks
PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "released": front.released,
        "peers": front.peers,
        "speed": front.speed,
        "results": results.rendered,
    },
    "docs/performance.md": {
        "overview": contests.overview,
        "benchmarks": contests.rendered,
        "profiles": profiles.rendered,
    },
    "docs/roofline.md": {
        "roofline": roofline.rendered,
        "peaks": roofline.render_peaks,
    },
    "docs/reliability.md": {
        "counts": reliability.counts,
        "soak": reliability.quarters_of_the_soak,
        "devices": devices.rendered,
    },
    "docs/accelerator.md": {"accelerator": accelerator.rendered, "kernels": kernels.rendered},
    "docs/export.md": {"types": export.rendered},
    "docs/beam.md": {"killed": beam.killed, "measured": beam.rendered},
    "docs/tuning.md": {"searches": tuning.rendered},
    "docs/augmentation.md": {"augmentation": augmentation.rendered},
    "docs/reference_model.md": {
        "in brief": front.released,
        "second seed": second_seed.rendered,
        "patient folds": patient_folds.rendered,
        "votes": votes.rendered,
    }
    | {name: lambda name=name: reference_card.rendered(name) for name in reference_card.PARTS},
}
PICTURES: dict[str, Callable[[Path], None]] = {
    "network.png": network.draw_network,
    "reference_training.png": reference_card.draw_curves,
    "roofline.png": roofline.draw_stored,
    "scaling.png": scaling.draw_stored,
    "soak.png": soak.draw_stored,
    "streaming.png": streaming.draw_stored,
    "synthetic_films.png": network.draw_films,
    "tuning.png": tuning.draw_stored,
}


def rendered(page: str) -> str:
    """Returns the text of a page with its tables rendered from the records."""
    texts = {name: render() for name, render in PAGES[page].items()}
    return placed((ROOT / page).read_text(), texts)


def main() -> None:
    """Writes the pages, and the pictures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="draw the pictures in docs/images too")
    arguments = parser.parse_args()
    for page in PAGES:
        (ROOT / page).write_text(rendered(page))
    for name, draw in PICTURES.items() if arguments.draw else ():
        draw(IMAGES / name)
        print(f"{name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
