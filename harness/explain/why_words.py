"""Amounts and times as people read them."""

from __future__ import annotations

import math

from harness.judge.interval import Interval

MIB = 1 << 20


def size(amount: int) -> str:
    """Return bytes as `512Mi`, `682.4Mi`; below one mebibyte in `Ki`."""
    if abs(amount) < MIB:
        return f"{amount / 1024:.0f}Ki" if amount else "0"
    text = f"{amount / MIB:.1f}"
    return f"{text.removesuffix('.0')}Mi"


def signed(amount: int) -> str:
    """Return bytes with a sign: `+682.4Mi`, `-22Mi`."""
    return f"+{size(amount)}" if amount > 0 else size(amount)


def point(value: float) -> str:
    """Return seconds with the digits that mean something."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def moment(when: Interval) -> str:
    """Return a time of the run: `63.7 s`, `62.9 … 63.4 s`, `before 0.5 s`."""
    if math.isinf(when.low):
        return f"before {point(when.high)} s" if math.isfinite(when.high) else "unknown"
    if math.isinf(when.high):
        return f"after {point(when.low)} s"
    if when.high - when.low < 0.06:
        return f"{when.high:.2f} s"
    return f"{when.low:.1f} … {when.high:.1f} s"


def span(length: Interval) -> str:
    """Return a duration: `2.1 s`, `2.0 … 2.2 s`, `at least 36.7 s`."""
    low, high = max(0.0, length.low) if math.isfinite(length.low) else -math.inf, length.high
    if math.isinf(low) and math.isinf(high):
        return "an unknown time"
    if math.isinf(high):
        return f"at least {point(low)} s"
    if math.isinf(low) or (low == 0.0 and high > 0.1):
        return f"at most {point(high)} s"
    if high - low < 0.06 or point(low) == point(high):
        return f"{point((low + high) / 2)} s"
    return f"{point(low)} … {point(high)} s"


def several(names: list[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
