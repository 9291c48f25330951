"""`evicted` and `survives`: whom the kubelet evicted, how many, in which order, how long after what."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from harness.judge.availability import capacity, crossing, kubelet_config, series, threshold
from harness.judge.endings import Ending
from harness.judge.evictions import Eviction
from harness.judge.interval import INFINITY, Interval, Truth, every, hull, moment, seconds
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.spec.expectations import Evicted, Survives

SETTLE = 12.0
"""Seconds to watch on after the last death before 'no further one' is believed: one eviction pass (10 s) and a bit."""


def settling(run: Run) -> bool:
    """Whether more watching may still overturn that nothing (more) happened."""
    if run.timeline.closed:
        return False
    deaths = [e.gone.high for e in run.endings if e.gone is not None and not e.stale and e.incarnation.fleet]
    return not deaths or run.timeline.last_t < max(deaths) + SETTLE


def _scope(run: Run, fleets: Iterable[str]) -> set[str]:
    """Return the nodes the named fleets ran on; empty where unknown (then every node counts)."""
    wanted = set(fleets)
    living = (
        e.incarnation.node for m in run.cast.members if not wanted or m.fleet in wanted for e in run.inside(m)
    )
    return {node for node in living if node}


def _observable(run: Run) -> bool:
    kinds = run.timeline.kinds
    return "Pod" in kinds or "Event" in kinds


def look_evicted(run: Run, wanted: Evicted) -> Seen:
    """Judge victims, count, order and latency; all of them must be right."""
    if not _observable(run):
        return unobservable("neither pods nor events were recorded", open_=not run.timeline.closed)
    admissible = set(wanted.fleets) or set(run.cast.fleets)
    if "all" in admissible:
        admissible = set(run.cast.fleets)
    nodes = _scope(run, admissible)
    here = [e for e in run.evictions if not nodes or not e.node or e.node in nodes]
    seen = [e for e in here if e.may_be_memory]
    count = len(seen)
    closed = run.timeline.closed
    certain = sum(bool(e.resource) for e in seen)
    counted = Interval(float(certain), float(count) if closed else INFINITY)
    parts = [counted.within(float(wanted.min_count), float(wanted.max_count))]
    strangers = [e for e in seen if e.fleet not in admissible]
    parts.append(Truth.of(not strangers))
    text = _told(seen) + _others(here)
    latency: Interval | None = None
    proof = {n for e in seen for n in e.proof}
    reasons: list[str] = []
    if closed and parts[0] is Truth.FALSE:
        reasons.append(text)
    if certain < count and parts[0] is Truth.STRADDLES:
        reasons.append("the kubelet's message does not say for which resource")
    if strangers:
        reasons.append(f"not an admissible victim: {', '.join(e.key for e in strangers)}")
    if seen and (wanted.within is not None or wanted.after is not None):
        since, lines, why = _since(run, wanted.since, seen[0])
        proof.update(lines)
        if since is None:
            parts.append(Truth.STRADDLES)
            reasons.append(why)
        else:
            latency = seen[0].told.minus(since).floor(0.0)
            parts.append(latency.within(wanted.after, wanted.within))
            text += f", {seconds(latency)} after {wanted.since}"
            if parts[-1] is Truth.STRADDLES:
                reasons.append(f"the latency, {seconds(latency)}, straddles a bound")
    if wanted.order:
        parts.append(_ordered(seen, wanted.order))
        if parts[-1] is Truth.FALSE:
            reasons.append("not in the expected order")
    truth = every(parts)
    waiting = not closed and (count < wanted.min_count or settling(run))
    if not closed and not reasons:
        reasons.append("the records end before the window does")
    if (
        truth is Truth.STRADDLES
        and latency is None
        and any("no availability" in r for r in reasons)
        and closed
    ):
        return unobservable("; ".join(reasons), subjects=tuple(dict.fromkeys(e.key for e in seen)))
    return Seen(
        truth=truth,
        text=text,
        interval=latency,
        margin=latency.margin(wanted.after, wanted.within) if latency is not None else None,
        proof=tuple(sorted(proof)),
        subjects=tuple(dict.fromkeys(e.key for e in seen)),
        reason="; ".join(reasons) if truth is not Truth.TRUE else "",
        span=hull(e.told for e in seen),
        open=waiting,
    )


def _told(seen: list[Eviction]) -> str:
    if not seen:
        return "nobody was evicted"
    each = [f"{e.key} at {moment(e.told)}" for e in seen]
    return f"{len(seen)} evicted: {', '.join(each)}"


def _others(here: list[Eviction]) -> str:
    """Name terminations by the kubelet that were not for memory; they are not what is asked about."""
    found = [f"{e.key} at {moment(e.told)}: {e.resource}" for e in here if not e.may_be_memory]
    return f" (not for memory: {', '.join(found)})" if found else ""


def _since(run: Run, since: str, first: Eviction) -> tuple[Interval | None, tuple[int, ...], str]:
    """Return when the clock of `within` started, its proof, or why that is not known."""
    if since == "threshold-crossed":
        return _crossed(run, first)
    what, _, target = since.partition(":")
    name = "step-done" if what == "step" else what
    for number, action in run.timeline.actions:
        if action.what == name and (not target or action.target == target):
            return Interval(action.t, action.t), (number,), ""
    for stated in run.scenario.stated.actions if run.scenario.stated is not None else ():
        at = stated.get("t")
        if (
            stated.get("what") == name
            and (not target or stated.get("target") == target)
            and isinstance(at, int | float)
        ):
            return Interval(float(at), float(at)), (), ""
    return None, (), f"no action says when {since} was"


def _crossed(run: Run, first: Eviction) -> tuple[Interval | None, tuple[int, ...], str]:
    node = first.node
    values = series(run.timeline, run.provenance, node)
    if not values:
        return None, (), f"no availability of node {node or '(unknown)'} was recorded"
    bound = first.threshold
    if bound is None:
        size = capacity(run.timeline, run.provenance, node) or 0
        bound = threshold(kubelet_config(run.timeline, run.provenance, run.scenario, node), size)
    if bound is None:
        return None, (), f"the eviction threshold of node {node} is not known"
    crossed = crossing(values, bound, before=first.told.high)
    if crossed is None:
        between = [(a, b) for (a, _), (b, low) in pairwise(values) if low < bound]
        for above, below in between:
            if first.threshold is not None and above.when.low <= first.told.high < below.when.low:
                # The kubelet says that it saw it below: its look came between these two of ours.
                at = Interval(above.when.low, first.told.high)
                return at, tuple(sorted({above.line, below.line, *first.proof})), ""
        return None, (), f"our samples of node {node} never fell below {bound} bytes before the eviction"
    return crossed.when, crossed.proof, ""


def _ordered(seen: list[Eviction], order: tuple[str, ...]) -> Truth:
    firsts = [next((e for e in seen if e.fleet == fleet), None) for fleet in order]
    parts: list[Truth] = []
    for earlier, later in pairwise(firsts):
        if later is None:
            continue
        parts.append(Truth.FALSE if earlier is None else earlier.told.before(later.told))
    return every(parts)


def look_survives(run: Run, wanted: Survives) -> Seen:
    """Judge that nobody of a fleet was evicted, killed or shut down by the end of the window."""

    def one(ending: Ending) -> Seen:
        if ending.eviction is not None:
            told, eviction = ending.eviction.told, ending.eviction
            how = "evicted" if eviction.may_be_memory else f"terminated by the kubelet ({eviction.resource})"
            return Seen(
                truth=Truth.FALSE,
                text=f"{how} at {moment(told)}",
                proof=ending.eviction.proof,
                reason=how,
                span=told,
            )
        if ending.gone is not None:
            how = "killed for memory" if ending.kills else "ended"
            return Seen(
                truth=Truth.FALSE,
                text=f"{how} at {moment(ending.gone)}",
                proof=tuple(sorted({*ending.proof, *(n for k in ending.kills for n in k.lines)})),
                reason=how,
                span=ending.gone,
            )
        panic = ending.last("panic")
        if panic is not None:
            return Seen(
                truth=Truth.FALSE,
                text=f"guest panic at t = {panic.t:.3f} s",
                proof=(panic.line,),
                reason="guest panic",
            )
        if not run.timeline.closed:
            return undecided("alive so far; the records end before the window does", open_=settling(run))
        return Seen(truth=Truth.TRUE, text="alive at the end", proof=_last_seen(ending))

    return run.each(wanted.of, one, latest=False)


def _last_seen(ending: Ending) -> tuple[int, ...]:
    marks = [t.last for t in (ending.incarnation.vmi, *ending.incarnation.pods) if t is not None]
    marks += list(ending.lines[-1:])
    return (max(marks, key=lambda m: m.t).line,) if marks else ()
