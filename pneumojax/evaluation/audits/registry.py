"""The audits of an evaluation, in the order of the report."""

from pneumojax.evaluation.audits import (
    explanations,
    failures,
    metadata,
    robustness,
    shortcuts,
    subgroups,
)
from pneumojax.evaluation.audits.audit import Audit

AUDITS: tuple[Audit, ...] = (
    metadata.audit,
    subgroups.audit,
    shortcuts.audit,
    robustness.audit,
    failures.audit,
    explanations.audit,
)
