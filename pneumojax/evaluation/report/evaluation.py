"""The whole result of an evaluation, from which its files are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneumojax.data.patients import contradiction_warning
from pneumojax.evaluation.audits.audit import Finding
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.run_facts import RunFacts
from pneumojax.evaluation.summary import Summary
from pneumojax.inference.ensemble import Spread
from pneumojax.stats.estimates import json_ready


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of one network, or of several that answer together, whose `spread` it has."""

    facts: RunFacts
    predictions: Predictions
    summary: Summary
    findings: Sequence[Finding]
    spread: Spread | None = None

    @property
    def cautions(self) -> list[str]:
        """Reasons why the metrics may mean nothing, to be shown with them."""
        summary = self.summary
        lines = (
            summary.trained_on.warning(summary.n),
            contradiction_warning(self.facts.flow.swapped, summary.n),
            summary.few_films_warning,
        )
        return [line for line in lines if line]

    def record(self) -> dict[str, Any]:
        """The content of metrics.json; ValueError if two parts use the same key."""
        whole: dict[str, Any] = {}
        if self.spread:
            deviation = self.spread.deviation
            whole["spread"] = {
                "mean_deviation": float(np.mean(deviation)),
                "largest_deviation": float(np.max(deviation)),
            }
        findings = (finding.record() for finding in self.findings)
        parts: list[Mapping[str, Any]] = [self.facts.record(), *findings, self.summary.record()]
        for part in parts:
            if clash := sorted(whole.keys() & part.keys()):
                raise ValueError(f"metrics.json would have two entries {', '.join(clash)}")
            whole |= part
        return json_ready(whole)
