"""The result of a comparison, and its form in comparison.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.compare.comparison import Comparison
from pneumojax.evaluation.compare.configs import ConfigDifferences
from pneumojax.evaluation.compare.pairing import PairedFilms
from pneumojax.evaluation.compare.predictions_csv import PredictionsFile
from pneumojax.stats.estimates import json_ready


@dataclass(frozen=True)
class ComparisonResult:
    """Files of predictions, by the network's letter, compared on the films that they share."""

    warnings: Sequence[str]
    files: Mapping[str, PredictionsFile]
    paired: PairedFilms
    configs: ConfigDifferences
    comparison: Comparison

    @property
    def synthetic(self) -> bool:
        return any(file.synthetic for file in self.files.values())

    def record(self) -> dict[str, Any]:
        """The content of comparison.json."""
        comparison, compared = self.comparison, set(self.paired.files)
        networks = {
            name: {
                "path": str(file.path),
                "not_compared": [film for film in file.films if film not in compared],
                "without_probability": file.without_probability,
                "figures": comparison.networks[name].estimates,
                "predictive_values": comparison.networks[name].predictive_values,
            }
            for name, file in self.files.items()
        }
        stored: dict[str, Any] = json_ready(
            {
                "disclaimer": DISCLAIMER,
                "synthetic": self.synthetic,
                "warnings": self.warnings,
                "notes": self.paired.notes,
                "configs": self.configs,
                **vars(comparison),
                "networks": networks,
            }
        )
        return stored
