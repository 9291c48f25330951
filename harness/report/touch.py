"""Touch latency of guests, from their `@ stat` lines (docs/architecture.md, guest console protocol).

A guest reads 128 random held pages a second and reports p50, p99 and max of the last second in nanoseconds, and how
many took more than 1 ms (`stalls`). Percentiles over a run are nearest-rank percentiles of these seconds, so that
`sort | awk` gives the same number. Seconds in which a guest held nothing are left out.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field

_STAT = re.compile(r"^@ stat\b")
_FIELD = re.compile(r" (held|p50|p99|max|stalls)=(\d+)")


@dataclass(slots=True)
class Touch:
    """The seconds of one guest: nanoseconds."""

    p50: array[int] = field(default_factory=lambda: array("q"))
    p99: array[int] = field(default_factory=lambda: array("q"))
    longest: int = 0
    stalls: int = 0
    first: int = 0
    """Line of the first second counted."""

    @property
    def seconds(self) -> int:
        """Seconds counted."""
        return len(self.p50)


def nearest_rank(values: array[int], percent: int) -> int:
    """Return the nearest-rank percentile of a non-empty list: the smallest value that `percent` % do not exceed."""
    ordered = sorted(values)
    return ordered[(len(ordered) * percent + 99) // 100 - 1]


class TouchReader:
    """Collects touch latencies, line by line."""

    def __init__(self) -> None:
        self.guests: dict[str, Touch] = {}

    def add(self, number: int, vmi: str, line: str) -> None:
        """Take a console line; what is no `@ stat` line is not looked at."""
        if not _STAT.match(line):
            return
        found = {name: int(value) for name, value in _FIELD.findall(line[:400]) if len(value) < 16}
        if not found.get("held") or not {"p50", "p99"} <= found.keys():
            return
        touch = self.guests.setdefault(vmi, Touch())
        touch.first = touch.first or number
        touch.p50.append(found["p50"])
        touch.p99.append(found["p99"])
        touch.longest = max(touch.longest, found.get("max", 0))
        touch.stalls += found.get("stalls", 0)
