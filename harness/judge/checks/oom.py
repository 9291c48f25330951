"""`oom`: whom a kernel killed for memory, whose limit it was, how often, before an eviction or after."""

from __future__ import annotations

from dataclasses import dataclass

from harness.judge.checks.evicted import settling
from harness.judge.endings import DELIVERY
from harness.judge.interval import INFINITY, Interval, Truth, every
from harness.judge.seen import Run, Seen, unobservable
from harness.spec.expectations import Oom


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kill:
    t: float
    scope: str
    key: str
    proof: tuple[int, ...]


def _kills(run: Run, fleets: set[str]) -> list[_Kill]:
    found = [
        _Kill(t=kill.t, scope=kill.scope, key=victim.key, proof=kill.lines)
        for victim, kill in run.kills
        if victim is not None and victim.fleet in fleets
    ]
    for ending in run.endings:
        if ending.stale or ending.incarnation.fleet not in fleets:
            continue
        panic = next(
            (s for s in ending.lines if s.parsed.word == "panic" and "memory" in s.parsed.reason), None
        )
        said = ending.first("oom") or panic
        if said is not None:
            found.append(_Kill(t=said.t, scope="guest", key=ending.key, proof=(said.line,)))
    return sorted(found, key=lambda k: (k.t, k.key, k.scope))


def _unexplained(run: Run, fleets: set[str]) -> list[str]:
    """Return who died of a cause not seen, which might have been the kernel."""
    return [
        e.key
        for e in run.endings
        if e.incarnation.fleet in fleets
        and not e.stale
        and e.gone is not None
        and e.eviction is None
        and not e.kills
        and e.last("bye", "power-down") is None
        and (e.incarnation.vmi is None or e.incarnation.vmi.phase != "Succeeded")
        and e.last("oom", "panic") is None
    ]


def look_oom(run: Run, wanted: Oom) -> Seen:
    """Judge scope, victims and count; a kill whose scope is not known leaves a question of scope open."""
    fleets = set(wanted.fleets) or set(run.cast.fleets)
    if "all" in fleets:
        fleets = set(run.cast.fleets)
    if not any(run.inside(m) for m in run.cast.named(fleets)):
        return unobservable(f"nobody of {', '.join(sorted(fleets))} was seen", open_=not run.timeline.closed)
    kills = _kills(run, fleets)
    certain = [k for k in kills if wanted.scope is None or k.scope == wanted.scope]
    possible = [k for k in kills if wanted.scope is None or k.scope in {wanted.scope, ""}]
    closed = run.timeline.closed
    hidden = [] if run.timeline.oom.watched else _unexplained(run, fleets)
    most = float(len(possible) + len(hidden)) if closed else INFINITY
    counted = Interval(float(len(certain)), most)
    parts = [counted.within(float(wanted.min_count), float(wanted.max_count))]
    reasons: list[str] = []
    if parts[0] is Truth.STRADDLES:
        if len(possible) > len(certain):
            reasons.append("no kernel record says at whose limit the kill was")
        if hidden:
            reasons.append(f"no kernel log was recorded, and {', '.join(hidden)} died of a cause not seen")
        if not closed:
            reasons.append("the records end before the window does")
    evicted = [e for e in run.evictions if e.may_be_memory]
    if wanted.before_eviction is not None and possible and evicted:
        told, first = evicted[0].told, possible[0].t
        killed = Interval(first - DELIVERY, first)
        parts.append(killed.before(told) if wanted.before_eviction else told.before(killed))
        if parts[-1] is not Truth.TRUE:
            reasons.append(
                "the first eviction and the first kill are in the other order, or too close to say"
            )
    elif wanted.before_eviction is False and possible:
        parts.append(Truth.FALSE if closed else Truth.STRADDLES)
        reasons.append("nobody was evicted")
    others = [k for k in kills if k not in possible]
    text = ", ".join(f"{k.key} killed at t = {k.t:.3f} s, scope {k.scope or 'unknown'}" for k in kills)
    truth = every(parts)
    if others and truth is not Truth.TRUE:
        reasons.append(f"killed at another scope: {', '.join(k.scope for k in others)}")
    return Seen(
        truth=truth,
        text=text or "nobody was killed for memory",
        proof=tuple(sorted({n for k in kills for n in k.proof})),
        subjects=tuple(dict.fromkeys(k.key for k in kills)),
        reason="; ".join(reasons) if truth is not Truth.TRUE else "",
        span=Interval(kills[0].t, kills[-1].t) if kills else None,
        open=not closed and (len(certain) < wanted.min_count or settling(run)),
    )
