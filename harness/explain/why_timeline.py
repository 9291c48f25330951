"""What happened to one VM, in order of time: every line a fact with its uncertainty and the records that show it."""

from __future__ import annotations

import math

from harness.explain.why_guest import boots
from harness.explain.why_index import Index
from harness.explain.why_model import Acted, Fact, Successor
from harness.explain.why_restart import owner
from harness.explain.why_threshold import censored
from harness.explain.why_words import size, span
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.judge.tracks import Mark, PodTrack
from harness.records import served

_BOOTS = 4
"""More boots than this are summed up."""


def facts(
    run: Run, index: Index, ending: Ending, *, acted: Acted | None, successor: Successor | None
) -> tuple[Fact, ...]:
    """Return the facts of one life, in order."""
    found = [
        *_life(index, ending),
        *_pressure(index, ending, acted),
        *_decision(ending, acted),
        *_guest(ending),
        *_kernel(index, ending),
        *_events(run, index, ending),
        *_end(index, ending),
        *_after(successor),
    ]
    found = [fact for fact in found if fact.when.low <= run.timeline.end]
    return tuple(sorted(found, key=lambda fact: (fact.when.high, fact.when.low, fact.proof)))


def _at(mark: Mark) -> Interval:
    return Interval(mark.t, mark.t)


def _life(index: Index, ending: Ending) -> list[Fact]:
    vmi = ending.incarnation.vmi
    if vmi is None:
        return []
    running = next((p for p in vmi.phases if p.phase == "Running"), None)
    own = index.phase_since(vmi.object, "Running", vmi.last.t)
    node = f" on {ending.incarnation.node}" if ending.incarnation.node else ""
    if running is not None and running.t > vmi.first.t:
        return [Fact(when=_at(running), text=f"VMI Running{node}", proof=(running.line,))]
    if own is not None:
        return [Fact(when=own, text=f"VMI Running{node} (its own time)", proof=(vmi.first.line,))]
    return (
        [Fact(when=Interval(-math.inf, running.t), text=f"VMI Running{node}", proof=(running.line,))]
        if running
        else []
    )


def _pressure(index: Index, ending: Ending, acted: Acted | None) -> list[Fact]:
    if acted is None or ending.eviction is None:
        return []
    node, told = ending.eviction.node, ending.eviction.told
    found = []
    if acted.crossing is not None:
        text = f"{node} falls below {acted.quantity} available (by {acted.crossing_source})"
        if censored(acted.crossing):
            text = f"{node} is below {acted.quantity} available already at the first sample (by {acted.crossing_source})"
        found.append(Fact(when=acted.crossing, text=text, proof=acted.proof))
    for what, flips in (
        ("MemoryPressure", index.pressure),
        ("taint memory-pressure:NoSchedule", index.taints),
    ):
        reign = [f for f in flips.get(node, ()) if f.on]
        begin = next((f for f in reversed(reign) if f.when.low <= told.high), None)
        over = next((f for f in flips.get(node, ()) if begin and not f.on and begin.t < f.t < told.low), None)
        if begin is None or over is not None:
            begin = next((f for f in reign if f.when.low > told.low and f.when.low - told.high < 25), None)
        if begin is None:
            continue
        word = f"{node} reports {what}" if what == "MemoryPressure" else f"{node} gets the {what}"
        found.append(Fact(when=_cut(begin.when, begin.t), text=word, proof=(begin.line,)))
        clear = next((f for f in flips.get(node, ()) if not f.on and f.t > begin.t), None)
        if clear is not None:
            word = f"{node}: {what} is over" if what == "MemoryPressure" else f"{node} loses the taint"
            found.append(Fact(when=_cut(clear.when, clear.t), text=word, proof=(clear.line,)))
    return found


def _cut(own: Interval, arrival: float) -> Interval:
    """Prefer the arrival where the object's own time is a whole second that holds it."""
    return Interval(arrival, arrival) if own.low <= arrival <= own.high + 0.5 else own


def _decision(ending: Ending, acted: Acted | None) -> list[Fact]:
    eviction = ending.eviction
    if eviction is None:
        return []
    saw = f": available {acted.available}, threshold {acted.quantity}" if acted and acted.quantity else ""
    source = "" if eviction.by_event else " (bounded by the pod's condition, its event was not recorded)"
    kind = f"{acted.kind} eviction" if acted and acted.kind else "eviction"
    return [Fact(when=eviction.told, text=f"kubelet decides: {kind}{saw}{source}", proof=eviction.proof)]


def _guest(ending: Ending) -> list[Fact]:
    found = []
    power = ending.first("power", after=ending.eviction.told.low - 0.1 if ending.eviction else -math.inf)
    for said, text in (
        (power, "guest: the ACPI power button"),
        (ending.last("bye"), "guest: bye"),
        (ending.last("power-down"), "guest: its kernel powers down"),
        (ending.last("panic"), "guest: kernel panic"),
        (ending.first("oom"), "guest: its own kernel kills for memory"),
    ):
        if said is not None:
            reason = f" ({said.parsed.reason})" if said.parsed.word == "bye" and said.parsed.reason else ""
            found.append(Fact(when=_at(said), text=text + reason, proof=(said.line,)))
    again = boots(ending.lines)[1:]
    found += [
        Fact(when=_at(boot.begin), text="guest: boots again, in the same QEMU", proof=(boot.begin.line,))
        for boot in again[:_BOOTS]
    ]
    if len(again) > _BOOTS:
        found.append(
            Fact(
                when=_at(again[-1].begin),
                text=f"guest: boot {len(again) + 1}, the last seen",
                proof=(again[-1].begin.line,),
            )
        )
    return found


def _kernel(index: Index, ending: Ending) -> list[Fact]:
    found = []
    for kill in ending.kills:
        words = next(
            (w for w in index.kernel if w.pid == kill.pid and abs(w.t - kill.t) < 5 and kill.pid is not None),
            None,
        )
        whose = (
            f", {kill.scope} limit"
            if kill.scope in {"container", "pod"}
            else f", scope {kill.scope}"
            if kill.scope
            else ""
        )
        text = f"kernel: OOM kill{whose}"
        if words is not None:
            text = f"kernel kills {words.process or 'process'} ({kill.pid}) for memory{whose}"
            if words.limit is not None and words.usage is not None:
                text += f": {size(words.usage)} of {size(words.limit)} used"
            if words.rss is not None:
                text += f", rss {size(words.rss)}"
            if words.adj is not None:
                text += f", oom_score_adj {words.adj}"
        elif kill.pid is None and not kill.scope:
            text = "container status: OOMKilled"
        found.append(Fact(when=Interval(kill.t, kill.t), text=text, proof=kill.lines))
    return found


def _events(run: Run, index: Index, ending: Ending) -> list[Fact]:
    vmi = ending.incarnation.vmi
    mine = {ending.incarnation.uid, *(pod.uid for pod in ending.incarnation.pods)}
    mine |= {ending.eviction.pod_uid} if ending.eviction is not None else set()
    found = []
    for event in run.timeline.events:
        if event.when.high <= run.timeline.window_start or event.uid not in mine:
            continue
        if event.reason == "ShuttingDown":
            found.append(
                Fact(when=event.when, text="virt-handler signals a graceful shutdown", proof=(event.line,))
            )
        elif event.reason == "Stopped":
            found.append(Fact(when=event.when, text=f'event Stopped: "{event.message}"', proof=(event.line,)))
        elif event.reason == "Killing" and _main(event.message, ending):
            found.append(
                Fact(
                    when=event.when,
                    text=f"kubelet: {event.message[0].lower()}{event.message[1:]} (SIGTERM)",
                    proof=(event.line,),
                )
            )
    if vmi is not None and vmi.uid in index.deleting:
        mark, own = index.deleting[vmi.uid]
        found.append(
            Fact(
                when=_cut(own, mark.t) if own else _at(mark),
                text=_deletion(ending, mark),
                proof=(mark.line,),
            )
        )
    failed = [w for w in index.words if w.reason == "SyncFailed" and vmi is not None and w.uid == vmi.uid]
    if failed:
        text = "virt-handler can't reach the launcher (SyncFailed)"
        found.append(Fact(when=failed[0].when, text=text, proof=(failed[0].line,)))
    return found


def _deletion(ending: Ending, mark: Mark) -> str:
    """Name who deletes it: a VM whose VMI is over deletes it before it makes the next one (vm.go), else unknown."""
    vmi = ending.incarnation.vmi
    after = vmi is not None and vmi.final is not None and vmi.final.t <= mark.t
    if after and owner(ending.incarnation)[0] == "VirtualMachine":
        return "its VirtualMachine deletes the VMI that is over"
    return "VMI is deleted through the API"


def _main(message: str, ending: Ending) -> bool:
    return not ending.incarnation.is_vmi or "compute" in message


def _end(index: Index, ending: Ending) -> list[Fact]:
    vmi, pod = ending.incarnation.vmi, ending.incarnation.pod
    found = []
    if ending.gone is not None and (pod is None or pod.node):
        what = "QEMU is gone" if ending.incarnation.is_vmi else "its processes are gone"
        found.append(Fact(when=ending.gone, text=what, proof=ending.proof))
    if pod is not None and pod.final is not None:
        reason = str(served.dig(pod.object, "status", "reason") or "")
        told = f", reason {reason}" if reason else ", without a reason" if ending.eviction else ""
        found.append(
            Fact(
                when=_over(pod, pod.final),
                text=f"pod {pod.final.phase}{told}{_exit(ending)}",
                proof=(pod.final.line,),
            )
        )
    if pod is not None and pod.deleted is not None:
        found.append(
            Fact(when=_at(pod.deleted), text="pod deleted, and with it its status", proof=(pod.deleted.line,))
        )
    if vmi is not None and vmi.final is not None:
        own = index.phase_since(vmi.object, vmi.final.phase, vmi.last.t)
        when = _cut(own, vmi.final.t) if own is not None else _at(vmi.final)
        found.append(Fact(when=when, text=f"VMI {vmi.final.phase}", proof=(vmi.final.line,)))
    if vmi is not None and vmi.deleted is not None:
        found.append(Fact(when=_at(vmi.deleted), text="VMI deleted", proof=(vmi.deleted.line,)))
    return found


def _over(pod: PodTrack, final: Mark) -> Interval:
    """Return when a pod's end was published: seen, or by its own times where it was over when first served."""
    if not pod.born_final:
        return _at(final)
    if pod.disruption is not None:
        return pod.disruption.when
    ended = pod.termination
    return (
        ended.finished if ended is not None and ended.finished is not None else Interval(-math.inf, final.t)
    )


def _exit(ending: Ending) -> str:
    pod = ending.incarnation.pod
    found = pod.termination if pod is not None else None
    if found is None or found.exit_code is None:
        return ""
    if found.reason == "ContainerStatusUnknown":
        return (
            f"; {found.container}: ContainerStatusUnknown (the {found.exit_code} beside it was not observed)"
        )
    return f"; {found.container}: exit code {found.exit_code}, {found.reason}"


def _after(successor: Successor | None) -> list[Fact]:
    if successor is None:
        return []
    made = Fact(
        when=successor.created,
        text=f"a new VMI of that name, made by {successor.by}",
        proof=successor.created_by_record,
    )
    if successor.running is None:
        return [made]
    where = "the same node" if successor.same_node else successor.node
    after = f", {span(successor.down)} after the death" if successor.down is not None else ""
    return [
        made,
        Fact(
            when=successor.running,
            text=f"the new VMI is Running on {where}{after}",
            proof=successor.running_by_record,
        ),
    ]
