"""Writes models/reference/card.json, from which `pneumojax.load().info` tells what is known.

Command:   python -m tools.model_card
The figures are those of records/reference/: `tools.record_reference` stored the network's own and
its forecast, `tools.elsewhere` those of another hospital.
"""

import json
from collections.abc import Mapping
from typing import Any

from pneumojax.files import write_json
from tools.docs.front import SHARES
from tools.docs.places import REFERENCE, ROOT
from tools.docs.reference_card import shown
from tools.record_reference import POOLED

STORED = ROOT / "models" / "reference" / "card.json"


def card(found: Mapping[str, Any], elsewhere: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of the network, how it was validated, and its limits.

    Args:
        found: the stored figures of `tools.record_reference`.
        elsewhere: the network's record of `tools.elsewhere`.
    """
    own, forecast = found["validation"], found["forecast"]
    ranges = {name: "{:.3f} to {:.3f}".format(*forecast[name]) for name in SHARES}
    there = {name: shown(figure) for name, figure in elsewhere["figures"].items()}
    return {
        "validated": f"{own['films']:,} films of {own['patients']:,} patients who were held out "
        "from both networks of this mean, at its threshold",
        "figures": {name: own["figures"][name] for name in POOLED},
        "limits": [
            "The training films are frontal views of children of one to five years from one "
            "hospital. Adults, lateral views, other diseases and other machines are outside of "
            "what it knows.",
            "The figures come from the source of the training films, so they are too good for "
            f"films of others. For another machine, a sensitivity of {ranges['sensitivity']} and a "
            f"specificity of {ranges['specificity']} are forecast. On {elsewhere['films']} films "
            "of adults of another hospital its specificity was "
            f"{there['elsewhere_specificity']}, its sensitivity {there['elsewhere_sensitivity']}, "
            f"and its AUROC {there['elsewhere_auroc_ap']} among AP and "
            f"{there['elsewhere_auroc_pa']} among PA films.",
            "Within a class its logit still follows statistics of the picture, such as sharpness, "
            "which say nothing about the lung by themselves.",
            "It warns of many films unlike those that it was trained on, but not of all.",
        ],
    }


def main() -> None:
    """Writes the card of the released network."""
    found, elsewhere = (
        json.loads((REFERENCE / f"{name}.json").read_text()) for name in ("card", "elsewhere")
    )
    write_json(STORED, card(found, elsewhere["reference"]))


if __name__ == "__main__":
    main()
