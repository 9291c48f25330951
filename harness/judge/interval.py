"""Intervals of uncertainty and three-valued truth.

Everything measured is an interval `[low, high]`; what is asked of it is true, false, or straddles the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

INFINITY = math.inf


class Truth(Enum):
    """What can be said of a statement about an uncertain quantity."""

    TRUE = "true"
    FALSE = "false"
    STRADDLES = "straddles"

    @classmethod
    def of(cls, value: bool) -> Truth:
        """Return the certain truth."""
        return cls.TRUE if value else cls.FALSE


def every(truths: Iterable[Truth]) -> Truth:
    """Kleene's and: one false decides, else one unknown leaves it open. True of nothing."""
    seen = set(truths)
    if Truth.FALSE in seen:
        return Truth.FALSE
    return Truth.STRADDLES if Truth.STRADDLES in seen else Truth.TRUE


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval the true value lies in; either end may be infinite."""

    low: float
    high: float

    def minus(self, earlier: Interval) -> Interval:
        """Return the interval of the difference of two independent quantities."""
        return Interval(self.low - earlier.high, self.high - earlier.low)

    def floor(self, least: float) -> Interval:
        """Return the interval knowing that the value is at least `least`."""
        return Interval(max(self.low, least), max(self.high, least))

    def before(self, other: Interval) -> Truth:
        """Whether this certainly comes no later than the other."""
        if self.high <= other.low:
            return Truth.TRUE
        return Truth.FALSE if self.low > other.high else Truth.STRADDLES

    def at_most(self, bound: float) -> Truth:
        """Whether the value is at most `bound`."""
        if self.high <= bound:
            return Truth.TRUE
        return Truth.FALSE if self.low > bound else Truth.STRADDLES

    def at_least(self, bound: float) -> Truth:
        """Whether the value is at least `bound`."""
        if self.low >= bound:
            return Truth.TRUE
        return Truth.FALSE if self.high < bound else Truth.STRADDLES

    def within(self, least: float | None, most: float | None) -> Truth:
        """Whether the value lies between the bounds, either of which may be absent."""
        parts = []
        if least is not None:
            parts.append(self.at_least(least))
        if most is not None:
            parts.append(self.at_most(most))
        return every(parts)

    def margin(self, least: float | None, most: float | None) -> float | None:
        """Return the distance to the nearest bound: negative when violated for certain, 0 when a bound is straddled."""
        distances = []
        for bound, sign in ((least, 1.0), (most, -1.0)):
            if bound is None:
                continue
            nearest = self.low if sign > 0 else self.high
            farthest = self.high if sign > 0 else self.low
            inside = sign * (nearest - bound)
            outside = sign * (farthest - bound)
            distances.append(inside if inside >= 0 else min(outside, 0.0))
        finite = [d for d in distances if math.isfinite(d)]
        return min(finite) if finite else None


def hull(intervals: Iterable[Interval]) -> Interval | None:
    """Return the smallest interval that holds all, or None of none."""
    found = list(intervals)
    if not found:
        return None
    return Interval(min(i.low for i in found), max(i.high for i in found))


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def seconds(interval: Interval) -> str:
    """Return `2.2 s (2.1 … 2.4)`, `2 s`, `at least 2 s`, `at most 3 s`, for people."""
    low, high = interval.low, interval.high
    if math.isinf(high) and math.isinf(low):
        return "an unknown time"
    if math.isinf(high):
        return f"at least {_number(low)} s"
    if math.isinf(low):
        return f"at most {_number(high)} s"
    if high - low < 0.0005:
        return f"{_number(low)} s"
    return f"{_number((low + high) / 2)} s ({_number(low)} … {_number(high)})"


def moment(interval: Interval) -> str:
    """Return `t = 26.35 s (26.3 … 26.4)` for people."""
    return f"t = {seconds(interval)}"


def rounded(value: float | None) -> float | None:
    """Return a value fit for findings: tenths of milliseconds, no infinities."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, 4) + 0.0
