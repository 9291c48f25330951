"""`why`: the whole chain of each dead VM of a run, from what was recorded.

A pure function of a run's records, its scenario (for what is stated) and its provenance. It reads the judge's index, so that
judging and explaining can't see two different runs, and asks the rules for the ranking and the grace, which the judge must
not know.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from harness.explain.why_advice import saved_by, unknown
from harness.explain.why_cause import diagnose
from harness.explain.why_close import closest
from harness.explain.why_guest import LOOP, reaction
from harness.explain.why_index import Index
from harness.explain.why_model import EVICTIONS, OOMS, Diagnosis, Inquest, PostMortem, Report
from harness.explain.why_orphans import orphans
from harness.explain.why_ranking import ranking
from harness.explain.why_restart import nobody, successor
from harness.explain.why_threshold import acted as threshold_acted
from harness.explain.why_timeline import facts
from harness.explain.why_verdict import verdict
from harness.explain.why_words import several
from harness.judge.cast import Incarnation
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.judge.judge import timeline_of
from harness.judge.seen import Run
from harness.records import served
from harness.records.model import Provenance, Record
from harness.spec.model import Scenario

LAG = 5.0
"""Seconds a phase may be behind a death without being remarkable."""


class NoSuchVmi(Exception):
    """The run knows no VMI (or pod) of that name."""


def why(
    provenance: Provenance,
    records: Iterable[tuple[int, Record]],
    scenario: Scenario | None = None,
    *,
    vmi: str = "",
    served_now: bool = False,
) -> Report:
    """Explain every death of a run, or one VMI's end.

    `vmi`: `<namespace>/<name>` or a name that is unique enough; '' means all dead ones. `served_now`: the records are objects as
    still served, not a history: what was over before the first of them counts too. Raises NoSuchVmi.
    """
    scenario = scenario or Scenario.bare(provenance.run)
    index = Index(timeline_of(provenance, scenario)).extend(records)
    run = Run(timeline=index.timeline, provenance=provenance, scenario=scenario)
    everyone = [*run.endings, *orphans(run)]
    lives = sorted((e.incarnation for e in everyone), key=lambda i: i.begin)
    endings = [_sharpened(e) for e in everyone if served_now or vmi or not e.stale]
    if vmi:
        endings = _named(endings, vmi)
    posts = [
        post for e in endings if (post := _post(run, index, e, lives=lives, asked=bool(vmi))) is not None
    ]
    dead = tuple(sorted((p for p in posts if p.cause != "alive"), key=_order))
    alive = tuple(p for p in posts if p.cause == "alive")
    return Report(
        run=provenance.run,
        evidence=provenance.evidence,
        started=provenance.started,
        end=run.timeline.end,
        verdict=_summary(dead, alive),
        dead=dead,
        alive=alive,
        loops=_loops(dead),
        closest=closest(run, index) if not dead else (),
        notes=tuple(_notes(run)),
    )


def _sharpened(ending: Ending) -> Ending:
    """Bound the end of a pod that was over when first served by its own word.

    The condition is published once its containers have stopped (pkg/kubelet/status/status_manager.go, 1.36).
    """
    pod, gone = ending.incarnation.pod, ending.gone
    if gone is None or pod is None or not pod.born_final or pod.disruption is None:
        return ending
    high = min(gone.high, pod.disruption.when.high)
    return dataclasses.replace(ending, gone=Interval(min(gone.low, high), high))


def _named(endings: list[Ending], vmi: str) -> list[Ending]:
    found = [e for e in endings if _is(e, vmi)]
    if not found:
        known = sorted({e.key for e in endings if e.incarnation.is_vmi})
        raise NoSuchVmi(
            f"{vmi}: no VMI of that name in this run" + (f"; there are {several(known)}" if known else "")
        )
    living = [e for e in found if not e.stale]
    return living or found


def _is(ending: Ending, name: str) -> bool:
    mine = ending.incarnation
    keys = {mine.key, *(pod.key for pod in mine.pods)}
    return name in keys or name in {key.partition("/")[2] for key in keys}


def _order(post: PostMortem) -> tuple[float, str]:
    return (post.gone.high if post.gone is not None else math.inf, post.subject)


def _post(
    run: Run, index: Index, ending: Ending, *, lives: list[Incarnation], asked: bool
) -> PostMortem | None:
    mine = ending.incarnation
    acted = threshold_acted(run, index, ending)
    found = diagnose(run, index, ending, acted)
    if (
        not mine.is_vmi
        and not asked
        and not mine.fleet
        and found.cause not in (*EVICTIONS, *OOMS, "other-eviction")
    ):
        return None  # jobs and daemons come and go; a plain pod is of interest when it is a victim
    told = ending.eviction.told if ending.eviction is not None and found.cause in EVICTIONS else None
    if found.cause == "api-delete":
        told = _deleted(index, ending)
    gone = ending.gone
    ranked = (
        ranking(
            run, index, node=ending.eviction.node, moment=ending.eviction.told, victim=ending.eviction.pod_uid
        )
        if ending.eviction is not None and found.cause in EVICTIONS
        else None
    )
    behaved = reaction(ending, told, stopped=_stopped(run, ending))
    window = gone.minus(told).floor(0.0) if gone is not None and told is not None else None
    inquest = Inquest(ending=ending, found=found, acted=acted, ranked=ranked, reaction=behaved, window=window)
    next_ = successor(run, index, ending)
    lives = [i for i in lives if i.key == mine.key and i.is_vmi == mine.is_vmi]
    pod, vmi = mine.pod, mine.vmi
    return PostMortem(
        subject=mine.key,
        uid=mine.uid,
        node=mine.node,
        is_vmi=mine.is_vmi,
        life=next(n for n, i in enumerate(lives, start=1) if i is mine),
        lives=len(lives),
        cause=found.cause,
        certain=found.certain,
        verdict=verdict(inquest),
        because=found.because,
        gone=gone,
        window=window,
        timeline=facts(run, index, ending, acted=acted, successor=next_),
        acted=acted if found.cause in EVICTIONS else None,
        ranking=ranked,
        reaction=behaved if mine.is_vmi and told is not None else None,
        exit_code=pod.termination.exit_code if pod is not None and pod.termination is not None else None,
        exit_reason=pod.termination.reason if pod is not None and pod.termination is not None else "",
        pod_phase=pod.phase if pod is not None else "",
        pod_reason=str(served.dig(pod.object, "status", "reason") or "") if pod is not None else "",
        vmi_phase=vmi.phase if vmi is not None else "",
        deleted=any(track is not None and track.deleted is not None for track in (vmi, pod)),
        phase_lag=_lag(run, index, ending, found),
        successor=next_,
        restarted="" if next_ is not None or gone is None else nobody(index, ending),
        unknown=unknown(run, inquest),
        saved_by=saved_by(run, inquest),
        proof=tuple(sorted({*found.proof, *ending.proof})),
    )


def _stopped(run: Run, ending: Ending) -> str:
    """Return the phase it ended in: its VMI's, else what its last event says of it."""
    vmi = ending.incarnation.vmi
    if vmi is not None and vmi.final is not None:
        return vmi.final.phase
    found = [
        e.message for e in run.timeline.events if e.reason == "Stopped" and e.uid == ending.incarnation.uid
    ]
    return "" if not found else "Succeeded" if "shut down" in found[-1] else "Failed"


def _deleted(index: Index, ending: Ending) -> Interval | None:
    vmi = ending.incarnation.vmi
    if vmi is not None and vmi.uid in index.deleting:
        mark, own = index.deleting[vmi.uid]
        return own or Interval(mark.t, mark.t)
    pod = ending.incarnation.pod
    return (
        Interval(pod.terminating.t, pod.terminating.t)
        if pod is not None and pod.terminating is not None
        else None
    )


def _lag(run: Run, index: Index, ending: Ending, found: Diagnosis) -> Interval | None:
    """Return how long the VMI still said Running after its QEMU was gone, where that is remarkable."""
    vmi, gone = ending.incarnation.vmi, ending.gone
    if vmi is None or gone is None or found.cause == "alive":
        return None
    if vmi.final is None:
        if vmi.phase == "Running" and run.timeline.end - gone.high > 0:
            return Interval(run.timeline.end - gone.high, math.inf)
        return None
    own = index.phase_since(vmi.object, vmi.final.phase, vmi.last.t)
    final = own if own is not None and own.high < vmi.final.t - 1.0 else Interval(vmi.final.t, vmi.final.t)
    lag = final.minus(gone).floor(0.0)
    return lag if lag.low > LAG else None


def _loops(dead: tuple[PostMortem, ...]) -> tuple[str, ...]:
    names = [post.subject for post in dead]
    return tuple(name for name in dict.fromkeys(names) if names.count(name) >= LOOP)


def _summary(dead: tuple[PostMortem, ...], alive: tuple[PostMortem, ...]) -> str:
    if not dead and not alive:
        return "Nobody died, and no VMI was seen."
    if not dead:
        return (
            f"Nobody died: {several([p.subject for p in alive if p.is_vmi])} lived to the end of the records."
        )
    if len(dead) == 1:
        return dead[0].verdict
    loops = _loops(dead)
    looping = f" {several(list(loops))} comes back only to die again." if loops else ""
    counted = several([f"{p.subject}{f' (life {p.life})' if p.lives > 1 else ''}: {p.cause}" for p in dead])
    return f"{len(dead)} deaths. {counted}.{looping}"


def _notes(run: Run) -> list[str]:
    out = []
    if run.scenario.stated is not None and run.scenario.stated.kubelet:
        out.append(
            "The kubelet's configuration is as stated for this recording; where it differs from the recorded configz, it wins."
        )
    if not run.timeline.complete and not run.timeline.closed:
        out.append("The records are not whole.")
    return out
