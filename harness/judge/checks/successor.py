"""`successor`: the VMI of the same name that follows one that ended: whether, where, how soon, and using how much."""

from __future__ import annotations

import math

from harness.judge.cast import Incarnation, Member
from harness.judge.checks.bounded import all_of, bounded, scaled, share
from harness.judge.checks.evicted import settling
from harness.judge.endings import NO_QEMU, Ending
from harness.judge.interval import Interval, Truth, seconds
from harness.judge.samples import MemorySample
from harness.judge.seen import Run, Seen, merge, undecided, unobservable
from harness.records import served
from harness.spec.expectations import Successor


def look_successor(run: Run, wanted: Successor) -> Seen:
    """Judge the successors of each subject that ended: of the first incarnation that did."""
    if wanted.of == "victim":
        if not run.victims:
            return undecided("nobody was evicted or OOM-killed in this run", open_=not run.timeline.closed)
        ended = list({e.key: e for e in reversed(run.victims)}.values())
        return merge([_of_one(run, wanted, e) for e in sorted(ended, key=lambda e: (e.began_to_end, e.key))])
    members = run.cast.of(wanted.of)
    if not members:
        return unobservable(f"the scenario has no fleet {wanted.of!r}")
    return merge([_of_member(run, wanted, member) for member in members])


def _of_member(run: Run, wanted: Successor, member: Member) -> Seen:
    waiting = not run.timeline.closed
    here = run.inside(member)
    if not here:
        return unobservable(f"{member.name} was never seen", subjects=(member.name,), open_=waiting)
    ended = next((e for e in here if e.gone is not None), None)
    if ended is not None:
        return _of_one(run, wanted, ended)
    if wanted.min_count == 0 and not waiting:
        return Seen(truth=Truth.TRUE, text="it did not end", subjects=(here[0].key,), timed=False)
    return undecided("it was not seen to end", subjects=(here[0].key,), open_=waiting)


def _of_one(run: Run, wanted: Successor, ended: Ending) -> Seen:
    mine = ended.incarnation
    later = [
        i
        for i in run.cast.incarnations
        if i.key == mine.key and i.is_vmi and i.begin > mine.begin and i.begin <= run.timeline.end
    ]
    closed = run.timeline.closed
    counted = Interval(float(len(later)), float(len(later)) if closed else math.inf)
    truth = counted.within(float(wanted.min_count), float(wanted.max_count))
    text = f"{len(later)} successor{'s' if len(later) != 1 else ''}"
    waiting = not closed and (len(later) < wanted.min_count or settling(run))
    parts = [
        Seen(
            truth=truth,
            text=text,
            proof=tuple(sorted({*ended.proof, *(i.vmi.first.line for i in later if i.vmi is not None)})),
            reason="" if truth is Truth.TRUE else text if closed else f"{text} so far",
            timed=False,
            open=waiting,
        )
    ]
    if later:
        first = later[0]
        if wanted.node != "any":
            parts.append(_where(run, wanted, mine, first))
        if wanted.after is not None or wanted.within is not None:
            parts.append(_when(run, wanted, ended, first))
        if wanted.max_usage is not None:
            parts.append(_usage(run, wanted, ended, first))
    joined = all_of(parts)
    return Seen(
        truth=joined.truth,
        text=joined.text,
        interval=joined.interval,
        margin=joined.margin,
        proof=joined.proof,
        subjects=(mine.key,),
        reason=joined.reason,
        span=joined.span,
        timed=joined.timed,
        open=joined.open,
    )


def _where(run: Run, wanted: Successor, old: Incarnation, new: Incarnation) -> Seen:
    if not old.node or not new.node:
        return undecided("the successor is on no node yet", open_=not run.timeline.closed)
    right = (old.node == new.node) == (wanted.node == "same")
    text = f"on {new.node}, its predecessor on {old.node}"
    pod = new.pod
    return Seen(
        truth=Truth.of(right),
        text=text,
        proof=() if pod is None else (pod.last.line,),
        reason="" if right else text,
        timed=False,
    )


def _when(run: Run, wanted: Successor, ended: Ending, new: Incarnation) -> Seen:
    began = ended.eviction.told if ended.eviction is not None else ended.gone
    reached, proof = _reached(run, wanted, new)
    waiting = not run.timeline.closed
    if began is None:
        return undecided("when its predecessor ended is not known", open_=waiting)
    if reached is None:
        object_ = new.pods if wanted.until == "scheduled" else new.vmi
        if not object_:
            return unobservable(f"whether the successor was {wanted.until} was not recorded", open_=waiting)
        if waiting:
            return undecided(f"the successor is not {wanted.until} yet", open_=True)
        late = Interval(max(0.0, run.timeline.end - began.high), math.inf)
        text = f"not {wanted.until} {seconds(late)} after the end"
        seen = bounded(late, wanted.after, wanted.within, text=text, timed=True)
        return seen if seen.truth is Truth.FALSE else undecided(text)
    took = reached.minus(began).floor(0.0)
    seen = bounded(
        took,
        wanted.after,
        wanted.within,
        text=f"{wanted.until} {seconds(took)} after the end",
        timed=True,
    )
    return Seen(
        truth=seen.truth,
        text=seen.text,
        interval=took,
        margin=seen.margin,
        proof=tuple(sorted({proof, *ended.proof})),
        reason=seen.reason,
        span=Interval(began.low, reached.high),
    )


def _reached(run: Run, wanted: Successor, new: Incarnation) -> tuple[Interval | None, int]:
    """Return when the successor got so far, by its object's own word where it has one."""
    if wanted.until == "scheduled":
        for pod in new.pods:
            bound = next((c for c in pod.conditions.get("PodScheduled", []) if c.status == "True"), None)
            if bound is not None:
                return bound.when, bound.line
        return None, 0
    vmi = new.vmi
    running = next((p for p in vmi.phases if p.phase == "Running"), None) if vmi is not None else None
    if vmi is None or running is None:
        return None, 0
    stated = next(
        (
            run.timeline.own(served.maybe_instant(item.get("phaseTransitionTimestamp")), running.t)
            for item in served.mappings(vmi.object, "status", "phaseTransitionTimestamps")
            if item.get("phase") == "Running"
        ),
        None,
    )
    return stated or Interval(running.t - 1.0, running.t), running.line


def _usage(run: Run, wanted: Successor, ended: Ending, new: Incarnation) -> Seen:
    before = _samples(run, ended.incarnation)
    running = next((p.t for p in new.vmi.phases if p.phase == "Running"), None) if new.vmi else None
    if running is None:
        return undecided("the successor does not run yet", open_=not run.timeline.closed)
    after = [s for s in _samples(run, new) if s.t >= running]
    if not before or not after:
        return unobservable("usage of its pod's cgroup was not recorded", open_=not run.timeline.closed)
    last, first = before[-1], after[0]
    part = scaled(Interval(float(first.usage), float(first.usage)), float(last.usage))
    seen = bounded(part, None, wanted.max_usage, text=f"uses {share(part)} of what its predecessor did")
    return Seen(
        truth=seen.truth,
        text=seen.text,
        interval=part,
        margin=seen.margin,
        proof=(last.line, first.line),
        reason=seen.reason,
        timed=False,
    )


def _samples(run: Run, incarnation: Incarnation) -> list[MemorySample]:
    """Return samples of its pods that hold a QEMU."""
    found = (s for pod in incarnation.pods for s in run.timeline.pod_cgroup.get(pod.uid, ()))
    return sorted((s for s in found if s.usage >= NO_QEMU), key=lambda s: s.t)
