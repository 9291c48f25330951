"""Whether a run may be judged at all: its control, and its own health.

A control run is the same load without the cause. If it shows the effect too, the effect says nothing about the
cause, and decided findings become undecided. The harness's own lateness or losses spoil a measurement where they
overlap its decisive moments and are larger than its margin; they don't spoil what has no measure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.judge.findings import Verdict
from harness.judge.model import Finding, Findings
from harness.judge.timeline import Health, Timeline

_DECIDED = frozenset({"holds", "differs", "refuted"})


def control_failures(control: Findings | None) -> list[str]:
    """Return why a control run does not vouch for the main run; nothing where it does or there is none."""
    if control is None:
        return []
    failures = [] if control.complete else [f"control {control.run}: its records are incomplete"]
    failures += [
        f"control {control.run}: {f.check} {f.kind}: {f.seen}"
        for f in control.findings
        if f.outcome != "holds"
    ]
    return failures


def spoilt(timeline: Timeline, verdict: Verdict) -> str:
    """Return which health note spoils a verdict, or ''."""
    seen = verdict.seen
    if seen is None or not seen.timed or seen.span is None or seen.margin is None:
        return ""
    for health in timeline.health:
        if _overlaps(health, seen.span.low, seen.span.high) and abs(seen.margin) < health.seconds:
            return (
                f"the harness was late itself ({health.what} of {health.seconds:.3f} s at t = {health.t:.3f} s), "
                f"which is more than the margin of {abs(seen.margin):.3f} s"
            )
    return ""


def _overlaps(health: Health, low: float, high: float) -> bool:
    return health.begin <= high and health.until >= low


def undecide(findings: Iterable[Finding], reason: str) -> list[Finding]:
    """Return the findings with every decided one undecided for a reason."""
    return [
        msgspec.structs.replace(f, outcome="undecided", surprise=False, reason=reason)
        if f.outcome in _DECIDED
        else f
        for f in findings
    ]
