"""Metrics with one interval; an `Estimate` of `stats.estimates` has two."""

from dataclasses import dataclass

from pneumojax.stats.estimates import LEVEL
from pneumojax.stats.intervals import Interval, wilson
from pneumojax.stats.metrics import Floats


@dataclass(frozen=True)
class Limited:
    """A metric with one interval; nan where undefined."""

    value: float
    low: float
    high: float
    method: str

    @classmethod
    def of(cls, value: float | Floats, interval: Interval, method: str) -> "Limited":
        return cls(float(value), *interval, method)


@dataclass(frozen=True)
class Share(Limited):
    """The share of n films that have a property, with Wilson's interval."""

    n: int

    @classmethod
    def count(cls, k: int, n: int) -> "Share":
        value = k / n if n else float("nan")
        return cls(value, *wilson(k, n, LEVEL), "wilson", n)
