"""`condition`: a condition of a VMI, its pod, its VM or its node, at the end of the window or ever in it."""

from __future__ import annotations

from collections.abc import Callable

from harness.judge.checks.evicted import settling
from harness.judge.endings import Ending
from harness.judge.interval import Truth, hull
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.judge.tracks import ConditionMark, Track
from harness.spec.expectations import Condition

_TRACK: dict[str, Callable[[Run, Ending], Track | None]] = {
    "vmi": lambda _run, ending: ending.incarnation.vmi,
    "pod": lambda _run, ending: ending.incarnation.pod,
    "vm": lambda run, ending: run.timeline.vms.get(ending.key),
    "node": lambda run, ending: run.timeline.nodes.get(ending.incarnation.node),
}
_NAMES = {"vmi": "VMI", "pod": "pod", "vm": "VM", "node": "node"}


def look_condition(run: Run, wanted: Condition) -> Seen:
    """Judge one condition of each subject; more than one state of it only where `ever` is asked."""
    name = _NAMES[wanted.object]

    def one(ending: Ending) -> Seen:
        track = _TRACK[wanted.object](run, ending)
        if track is None:
            return unobservable(f"its {name} was not recorded", open_=not run.timeline.closed)
        states = _effective(run, track.conditions.get(wanted.type, []))
        fitting = [s for s in states if _fits(s, wanted)]
        absent = not states or states[0].t > track.first.t
        if wanted.ever:
            return _ever(run, wanted, track, fitting=fitting, absent=absent, states=states)
        last = states[-1] if states else None
        right = _fits(last, wanted) if last is not None else wanted.status == "absent"
        text = f"{name} {_told(wanted.type, last)}"
        proof = (last.line if last is not None else track.last.line,)
        if not run.timeline.closed:
            return undecided(f"{text} so far", proof=proof, open_=not right or settling(run))
        return Seen(
            truth=Truth.of(right),
            text=text,
            proof=proof,
            reason="" if right else f"{text} instead of {_asked(wanted)}",
            timed=False,
        )

    return run.each(wanted.of, one)


def _ever(
    run: Run,
    wanted: Condition,
    track: Track,
    *,
    fitting: list[ConditionMark],
    absent: bool,
    states: list[ConditionMark],
) -> Seen:
    name = _NAMES[wanted.object]
    if fitting or (wanted.status == "absent" and absent):
        first = fitting[0] if fitting else None
        return Seen(
            truth=Truth.TRUE,
            text=f"{name} {_told(wanted.type, first)}",
            proof=(first.line if first is not None else track.first.line,),
            span=hull([first.when]) if first is not None else None,
            timed=False,
        )
    seen = ", ".join(_told(wanted.type, s) for s in states) or _told(wanted.type, None)
    if not run.timeline.closed:
        return undecided(f"{name} {seen} so far", open_=True)
    return Seen(
        truth=Truth.FALSE,
        text=f"{name} {seen}",
        proof=tuple(s.line for s in states) or (track.last.line,),
        reason=f"never {_asked(wanted)}",
        timed=False,
    )


def _effective(run: Run, states: list[ConditionMark]) -> list[ConditionMark]:
    """Return the states in the window: what was so when it began, and what it became."""
    start = run.timeline.window_start
    before = [s for s in states if s.t <= start]
    return [*before[-1:], *(s for s in states if s.t > start)]


def _fits(state: ConditionMark, wanted: Condition) -> bool:
    return state.status == wanted.status and (wanted.reason is None or state.reason == wanted.reason)


def _told(kind: str, state: ConditionMark | None) -> str:
    if state is None:
        return f"{kind} absent"
    return f"{kind} {state.status}{f' ({state.reason})' if state.reason else ''}"


def _asked(wanted: Condition) -> str:
    return f"{wanted.status}{f' ({wanted.reason})' if wanted.reason else ''}"
