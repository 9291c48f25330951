"""Words for people: no control characters, no surprises, the same number written the same way everywhere."""

from __future__ import annotations

import math
import re

from harness.judge.interval import Interval
from harness.units import MIB

_OF = re.compile(r"([^\s:;]+/[^\s:;]+): ([^;]+)")
_BYTES = 100_000
REPLACED = "\N{REPLACEMENT CHARACTER}"


def clean(text: str, *, most: int = 4000) -> str:
    """One line without control, bidirectional or other invisible characters, at most `most` characters long.

    What a guest or a cluster said reaches every form through here.
    """
    flat = " ".join(text[: most * 2].split())
    shown = flat if flat.isprintable() else "".join(c if c.isprintable() else REPLACED for c in flat)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def gathered(seen: str) -> str:
    """What was seen of each VMI, those of one word together: `11 VMIs, guest-1 … guest-11: MemTotal 228999168 bytes`.

    Text that is not `<namespace>/<name>: words; …` throughout, or says the same of fewer than four, stays as it is.
    """
    parts = [_OF.fullmatch(part) for part in seen.split("; ")]
    said: dict[str, list[str]] = {}
    for part in parts:
        if part is None:
            return seen
        said.setdefault(part[2], []).append(part[1])
    return "; ".join(
        f"{len(names)} VMIs, {names[0].rpartition('/')[2]} … {names[-1].rpartition('/')[2]}: {words}"
        if len(names) > 3
        else "; ".join(f"{name}: {words}" for name in names)
        for words, names in said.items()
    )


def margin(value: float | None) -> str:
    """A finding's distance from its bound, in seconds or bytes: what is beyond a day of seconds is bytes."""
    if value is None:
        return ""
    return f"{value / MIB:+.3g} MiB" if abs(value) >= _BYTES else f"{value:+.3g}"


def number(value: float) -> str:
    """Four significant digits, thousands kept whole: `0.0123`, `2.241`, `12345`."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        shown = str(int(value))
    else:
        shown = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return shown.replace("-", "−")


def between(low: str, high: str) -> str:
    """`30.9 … 40.8 µs`: two values as shown, the unit once where it is the same."""
    value, space, unit = low.rpartition(" ")
    return f"{value if space and high.endswith(f' {unit}') else low} … {high}"


def spread(interval: Interval, unit: str) -> str:
    """`2.2 s (2.1 … 2.4)`; `at least 2 s` or `at most 3 s` where one end is open."""
    low, high = interval.low, interval.high
    if math.isinf(low) and math.isinf(high):
        return "unknown"
    if math.isinf(high):
        return f"at least {number(low)} {unit}"
    if math.isinf(low):
        return f"at most {number(high)} {unit}"
    middle = f"{number((low + high) / 2)} {unit}"
    return middle if high - low < 5e-4 else f"{middle} ({number(low)} … {number(high)})"


def finite(value: float) -> float | None:
    """A value fit for JSON: tenths of milliseconds, None for what has no bound."""
    return round(value, 4) + 0.0 if math.isfinite(value) else None
