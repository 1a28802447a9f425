"""The audits of an evaluation, in the order of the report."""

from pneumojax.evaluation.audits import (
    evidence,
    explanations,
    failures,
    metadata,
    robustness,
    shortcuts,
    subgroups,
)
from pneumojax.evaluation.audits.audit import Audit

AUDITS: tuple[Audit, ...] = (
    failures.audit,
    metadata.audit,
    subgroups.audit,
    shortcuts.audit,
    robustness.audit,
    evidence.audit,
    explanations.audit,
)
