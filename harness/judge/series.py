"""What was measured of one guest over time, and its value at a moment of the run.

Moments are `start` (the guest's `hello`), `step:<name>` (that step done) and `end` (of the window, or of the guest). A
value changes between two samples; at a moment it is known as an interval that holds the samples around it, or exactly
where the load stood still until the next sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.judge.endings import Ending
from harness.judge.interval import Interval, hull
from harness.judge.seen import Run
from harness.judge.tracks import Mark, Row
from harness.records import served
from harness.records.served import count

NEAR = 15.0
"""Seconds a sample may lie from the moment it stands for: older agents speak every 5 s, kubelets look every 10 s."""
_CHANGING = frozenset({"grow", "shrink", "rewrite", "cache", "vram", "file", "tune"})
"""Verbs after which the amount is another one."""
GUEST_SAYS = frozenset({"held", "memtotal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Mark):
    """One sample."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A quantity at a moment. `interval` None: not known, `why` says why."""

    interval: Interval | None
    proof: tuple[int, ...] = ()
    why: str = ""
    span: Interval | None = None


def series(run: Run, ending: Ending, measure: str) -> list[Point]:
    """Return what was sampled of one guest, oldest first: bytes.

    `held`, `memtotal`: as the guest says; `usage`, `working-set`, `swap`: its pod's cgroup; `pss`, `rss`: its QEMU.
    """
    found: list[tuple[float, int, int | None]]
    if measure == "held":
        found = [(s.t, s.line, s.parsed.held) for s in ending.lines]
    elif measure == "memtotal":
        found = [(s.t, s.line, s.parsed.memtotal) for s in ending.lines]
    elif measure in {"pss", "rss"}:
        rows = run.timeline.process_rows.get(ending.key, [])
        mine = ending.incarnation
        found = [(r.t, r.line, count(r.data.get(measure))) for r in rows if mine.begin <= r.t < mine.until]
    else:
        samples = (s for pod in ending.incarnation.pods for s in run.timeline.pod_cgroup.get(pod.uid, ()))
        which = {"usage": "usage", "working-set": "working_set", "swap": "swap"}[measure]
        found = [(s.t, s.line, getattr(s, which)) for s in samples]
    points = [Point(t=t, line=line, value=float(value)) for t, line, value in found if value is not None]
    return sorted(points, key=lambda p: (p.t, p.line))


def host_series(rows: Iterable[Row], field: str) -> list[Point]:
    """Return one field of the machine's samples."""
    found = ((row, row.data.get(field)) for row in rows)
    return [
        Point(t=row.t, line=row.line, value=float(value))
        for row, value in found
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def moment(run: Run, name: str, ending: Ending | None = None) -> tuple[float | None, tuple[int, ...], str]:
    """Return when a moment was, its proof, or why that is not known. Without a guest `start` is the last hello."""
    if name == "end":
        gone = ending.gone if ending is not None else None
        return (run.timeline.end if gone is None else min(gone.low, run.timeline.end)), (), ""
    if name == "start":
        return _start(run, ending)
    step = name.partition(":")[2]
    for line, action in run.timeline.actions:
        if action.what == "step-done" and action.target == step:
            return action.t, (line,), ""
    return None, (), f"step {step} was not done"


def _start(run: Run, ending: Ending | None) -> tuple[float | None, tuple[int, ...], str]:
    if ending is not None:
        hello = ending.first("hello")
        return (None, (), "its hello was not recorded") if hello is None else (hello.t, (hello.line,), "")
    hellos = [hello for e in run.endings if not e.stale and (hello := e.first("hello")) is not None]
    if not hellos:
        return run.timeline.window_start, (), ""
    last = max(hellos, key=lambda said: said.t)
    return last.t, (last.line,), ""


def value_at(run: Run, points: list[Point], name: str, ending: Ending | None = None) -> Value:
    """Return the value at a moment."""
    at, proof, why = moment(run, name, ending)
    if at is None:
        return Value(interval=None, why=why)
    before = next((p for p in reversed(points) if p.t <= at), None)
    after = next((p for p in points if p.t >= at), None)
    if name == "end":
        after = None
    elif after is not None and _stands_still(run, at, after.t):
        before = None
    near = [p for p in (before, after) if p is not None and abs(p.t - at) <= NEAR]
    held = hull(Interval(p.value, p.value) for p in near)
    if held is None:
        return Value(interval=None, why=f"nothing was sampled within {NEAR:g} s of {name}")
    lines = {p.line for p in near}
    return Value(
        interval=held, proof=tuple(sorted({*proof, *lines})), span=Interval(at, max(at, *(p.t for p in near)))
    )


def _stands_still(run: Run, since: float, until: float) -> bool:
    """Whether no step that changes amounts began between a moment and the sample after it."""
    return not any(
        action.what == "step-start"
        and since <= action.t < until
        and str(action.args.get("verb")) in _CHANGING
        for _, action in run.timeline.actions
    )


def change(earlier: Value, later: Value) -> Value:
    """Return how much more it is later."""
    if earlier.interval is None or later.interval is None:
        return Value(interval=None, why=earlier.why or later.why)
    return Value(
        interval=later.interval.minus(earlier.interval),
        proof=tuple(sorted({*earlier.proof, *later.proof})),
        span=hull(s for s in (earlier.span, later.span) if s is not None),
    )


def guest_size(ending: Ending) -> int | None:
    """Return the VMI's `memory.guest`, else what it requests (which the guest then gets), in bytes."""
    vmi = ending.incarnation.vmi
    domain = served.dig(vmi.object, "spec", "domain") if vmi is not None else None
    for path in (("memory", "guest"), ("resources", "requests", "memory"), ("resources", "limits", "memory")):
        found = served.maybe_quantity(served.dig(domain, *path))
        if found is not None:
            return int(found)
    return None
