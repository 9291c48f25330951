"""What judging one expectation yields, and what all expectations are judged against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from harness.judge.cast import Cast, Incarnation, Member
from harness.judge.endings import Ending, attributed_kills, endings
from harness.judge.evictions import Eviction, evictions
from harness.judge.interval import Interval, Truth, every, hull
from harness.judge.kmsg import OomKill
from harness.judge.model import Findings
from harness.judge.timeline import Timeline
from harness.records.model import Provenance
from harness.spec.model import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen, against one literal. `truth` None: not observable, `reason` says why."""

    truth: Truth | None
    text: str
    interval: Interval | None = None
    margin: float | None = None
    proof: tuple[int, ...] = ()
    subjects: tuple[str, ...] = ()
    reason: str = ""
    span: Interval | None = None
    """When the decisive things happened, in seconds of the run."""
    timed: bool = True
    """The interval rests on our own clock, so that our own lateness can spoil it."""
    open: bool = False
    """More watching could still decide (or, for what must not happen, still overturn) this."""


def undecided(
    reason: str, *, subjects: tuple[str, ...] = (), proof: tuple[int, ...] = (), open_: bool = False
) -> Seen:
    """Return that what was seen does not decide."""
    return Seen(truth=Truth.STRADDLES, text=reason, reason=reason, subjects=subjects, proof=proof, open=open_)


def unobservable(reason: str, *, subjects: tuple[str, ...] = (), open_: bool = False) -> Seen:
    """Return that nothing could be seen, and why.

    `open_`: it may yet come, since the window is not over (or was cut short): then this is only undecided.
    """
    if open_:
        return undecided(f"{reason} before the records ended", subjects=subjects, open_=True)
    return Seen(truth=None, text=reason, reason=reason, subjects=subjects)


def merge(parts: list[Seen]) -> Seen:
    """Join what was seen of several subjects of one check: all must hold.

    One that is false decides; else one that can't be observed or decided leaves the whole so.
    """
    if len(parts) == 1:
        return parts[0]
    truths = [p.truth for p in parts if p.truth is not None]
    truth: Truth | None = every(truths)
    if truth is not Truth.FALSE and any(p.truth is None for p in parts):
        truth = None if truth is Truth.TRUE else truth
    margins = [p.margin for p in parts if p.margin is not None]
    decisive = [p for p in parts if p.truth is truth] or parts
    return Seen(
        truth=truth,
        text="; ".join(f"{', '.join(p.subjects)}: {p.text}" if p.subjects else p.text for p in parts),
        interval=hull(p.interval for p in parts if p.interval is not None),
        margin=min(margins, default=None),
        proof=tuple(sorted({n for p in parts for n in p.proof})),
        subjects=tuple(dict.fromkeys(s for p in parts for s in p.subjects)),
        reason="; ".join(dict.fromkeys(p.reason for p in decisive if p.reason)),
        span=hull(p.span for p in parts if p.span is not None),
        timed=any(p.timed for p in parts),
        open=any(p.open for p in parts),
    )


@dataclass
class Run:
    """Everything the judging of an expectation may look at."""

    timeline: Timeline
    provenance: Provenance
    scenario: Scenario
    control: Findings | None = None
    """What this run's control found."""

    @cached_property
    def cast(self) -> Cast:
        """Who is who."""
        return Cast(self.timeline, self.scenario)

    @cached_property
    def evictions(self) -> list[Eviction]:
        """Whose pod a kubelet terminated, in order: for memory, or for another reason (`Eviction.resource`)."""
        return evictions(self.timeline, self.cast)

    @cached_property
    def kills(self) -> list[tuple[Incarnation | None, OomKill]]:
        """Whom the host's kernel killed for memory, in order."""
        return attributed_kills(self.timeline, self.cast)

    @cached_property
    def endings(self) -> list[Ending]:
        """How everyone ended."""
        return endings(self.timeline, self.cast, self.evictions)

    @cached_property
    def victims(self) -> list[Ending]:
        """Members of the fleets who were evicted or OOM-killed, first one first."""
        found = [e for e in self.endings if e.is_victim and e.incarnation.fleet]
        return sorted(found, key=lambda e: (e.began_to_end, e.key))

    @property
    def column(self) -> str:
        """The KubeVirt column of constants: stated for a recording, else observed."""
        stated = self.scenario.stated
        if stated is not None and stated.kubevirt_column:
            return stated.kubevirt_column
        return self.provenance.versions.get("kubevirtColumn", "")

    def ending(self, incarnation: Incarnation) -> Ending:
        """Return the ending of one incarnation."""
        return next(e for e in self.endings if e.incarnation is incarnation)

    def inside(self, member: Member) -> list[Ending]:
        """Return the endings of a member's incarnations that were alive in the window."""
        return [e for e in map(self.ending, member.incarnations) if not e.stale]

    def each(self, of: str, look: Callable[[Ending], Seen], *, latest: bool = True) -> Seen:
        """Judge every subject `of` names: a fleet's members, `all`, or the victims."""
        if of == "victim":
            if not self.victims:
                waiting = not self.timeline.closed
                return undecided("nobody was evicted or OOM-killed in this run", open_=waiting)
            return merge([_of(look(e), e.key) for e in self.victims])
        members = self.cast.of(of)
        if not members:
            return unobservable(f"the scenario has no fleet {of!r}")
        parts: list[Seen] = []
        for member in members:
            living = self.inside(member)
            if not living:
                gone = bool(member.incarnations)
                why = (
                    f"{member.name} was over before the run began"
                    if gone
                    else f"{member.name} was never seen"
                )
                parts.append(
                    unobservable(why, subjects=(member.name,), open_=not gone and not self.timeline.closed)
                )
            else:
                parts += [_of(look(e), e.key) for e in (living[-1:] if latest else living)]
        return merge(parts)


def _of(seen: Seen, key: str) -> Seen:
    return seen if seen.subjects else replace(seen, subjects=(key,))
