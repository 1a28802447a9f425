"""What each ingredient of augmentation costs, beside nothing and beside a training step.

Command:   python -m benchmarks.augmentation --write
Ingredients take turns, so that what else the machine does falls on all of them alike.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.hardware import hardware
from configs import base, reference
from pneumojax.augment.augment import film_keys, make_augment
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]

STORED = ROOT / "records" / "performance" / "augmentation.json"
PAGE = ROOT / "docs" / "augmentation.md"
BEGIN, END = "<!-- augmentation -->\n", "<!-- /augmentation -->\n"
FILMS, SIDE, ROUNDS = 64, 150, 9
GEOMETRY = ("crop_area", "crop_aspect", "rotation", "shift", "flip")
SINGLE = (
    "gamma",
    "contrast",
    "brightness",
    "blur",
    "downscale",
    "sharpen",
    "noise",
    "jpeg",
    "erase",
)


def variants() -> dict[str, dict[str, Any]]:
    """Fields of `config.augment` for each row of the table, with the reference's strengths."""
    strong, off = reference.get_config().augment.to_dict(), base.get_config().augment.to_dict()
    some = {"geometry": {name: strong[name] for name in GEOMETRY}}
    some |= {name: {name: strong[name]} for name in SINGLE}
    rows = {name: off | fields | {"size": 128} for name, fields in some.items()}
    return {"resize alone": off | {"size": 128}} | rows | {"the reference recipe": strong}


def measure() -> dict[str, float]:
    """Milliseconds for a batch of each variant, the median of rounds."""
    films = np.random.default_rng(0).random((FILMS, SIDE, SIDE, 1), np.float32)
    keys = film_keys(0, jnp.int32(0), jnp.arange(FILMS))
    steps = {name: jax.jit(make_augment(fields, SIDE)) for name, fields in variants().items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):  # the first compiles
        for name, step in steps.items():
            began = time.perf_counter()
            jax.block_until_ready(step(films, keys))
            seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(times[1:]) for name, times in seconds.items()}


def render(stored: Mapping[str, Any]) -> str:
    """Markdown: a row for each variant."""
    alone = stored["milliseconds"]["resize alone"]
    lines = [
        f"{stored['films']} films of {stored['side']} pixels to 128, compiled, on "
        f"{stored['hardware']}: `{stored['command']}`, [figures](../records/performance/augmentation.json). Each row but "
        "the last is one ingredient on top of the resizing.",
        "",
        "| on | milliseconds | more than resizing |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {value:.0f} | {value - alone:+.0f} |"
        for name, value in stored["milliseconds"].items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, and with --write stores the figures and renders the page's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    found = {
        "command": "python -m benchmarks.augmentation --write",
        "hardware": hardware(),
        "films": FILMS,
        "side": SIDE,
        "milliseconds": measure(),
    }
    print(render(found))
    if parser.parse_args().write:
        write_json(STORED, found)
        page = PAGE.read_text()
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(
            head + BEGIN + "\n" + render(json.loads(STORED.read_text())) + "\n" + END + tail
        )


if __name__ == "__main__":
    main()
