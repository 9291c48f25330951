"""Go durations as they stand in a KubeletConfiguration: `1m30s`, `500ms`, `-1s`.

Source: Go time.ParseDuration. Unit: seconds.
"""

from __future__ import annotations

import re
from typing import Final

from harness.rules.errors import ThresholdError
from harness.units import Seconds

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]*\.?[0-9]*)([a-zµμ]+)")
_WHOLE: Final = re.compile(r"([+-]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")


def parse_duration(text: str) -> Seconds:
    """Parse a Go duration. Raises ThresholdError with Go's text."""
    if text in {"0", "+0", "-0"}:
        return Seconds(0.0)
    match = _WHOLE.fullmatch(text)
    if match is None:
        bare = re.fullmatch(r"[+-]?[0-9]+\.?[0-9]*", text)
        why = "missing unit in duration" if bare else "invalid duration"
        raise ThresholdError(f'time: {why} "{text}"')
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(match[2]))
    return Seconds(-total if match[1] == "-" else total)


def of(value: object) -> Seconds:
    """Parse a duration as YAML gives it; a bare 0 is one too. Raises ThresholdError."""
    return parse_duration(str(value))


def text(seconds: float) -> str:
    """Print seconds as Go does for whole seconds: `1m30s`, `5m0s`, `10s`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
