"""One number of a run, and what several modules need to make one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.judge.cast import Incarnation
from harness.judge.endings import Ending
from harness.judge.tracks import Track

PROOF = 8
"""Records cited of one number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number of a run."""

    key: str
    """Stable name for machines: `fit`, `detection`, …"""
    group: str
    """`counts`, `latency` or `touch`."""
    name: str
    subject: str = ""
    """VMI it is about; '' for the whole run."""
    text: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int = 1
    """Observations it rests on."""
    censored: int = 0
    """Of these, how many were only seen not to have happened."""
    note: str = ""
    proof: tuple[int, ...] = ()
    derive: str = ""
    """Command that re-derives it, where records of proof alone do not."""


def ran(incarnation: Incarnation) -> tuple[float, int] | None:
    """Return time and line at which a VMI (or plain pod) was first seen Running."""
    tracks: Sequence[Track] = [incarnation.vmi] if incarnation.vmi is not None else incarnation.pods
    marks = [(p.t, p.line) for track in tracks for p in track.phases if p.phase == "Running"]
    return min(marks, default=None)


def was_alive(ending: Ending) -> bool:
    """Whether it lived though no Running phase was recorded: its console spoke, or it was evicted."""
    return bool(ending.lines) or ending.eviction is not None


def first_lines(lines: Iterable[int]) -> tuple[int, ...]:
    """The first `PROOF` lines, each once, in order."""
    return tuple(dict.fromkeys(sorted(lines)))[:PROOF]
