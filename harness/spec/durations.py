"""Durations as Go and Kubernetes write them (`90s`, `1m30s`, `500ms`), in seconds."""

from __future__ import annotations

import re
from typing import Final

from harness.units import Seconds

UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def parse_duration(text: str) -> Seconds:
    """Seconds of a non-negative Go duration (time.ParseDuration); `0` needs no unit. Raises ValueError."""
    if text == "0":
        return Seconds(0.0)
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"'{text}' is not a duration")
    # Rounded to nanoseconds, Go's resolution, so that sums like 1m30s stay exact.
    return Seconds(round(sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text)), 9))


def suggest_duration(text: str) -> str | None:
    """What was probably meant by a wrong duration, or None."""
    compact = text.replace(" ", "").casefold()
    for words, unit in (
        (("milliseconds", "millisecond", "msec"), "ms"),
        (("seconds", "second", "secs", "sec"), "s"),
        (("minutes", "minute", "mins", "min"), "m"),
        (("hours", "hour", "hrs", "hr"), "h"),
    ):
        for word in words:
            compact = re.sub(rf"(?<=\d){word}(?=\d|$)", unit, compact)
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        compact += "s"
    try:
        parse_duration(compact)
    except ValueError:
        return None
    return compact
