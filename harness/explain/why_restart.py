"""Who made the next VMI of the same name, where and after what delay; or why nobody did.

KubeVirt restarts no VMI; a VirtualMachine makes a new one (pkg/virt-controller/watch/vm/vm.go, rules.phase.restarts).
"""

from __future__ import annotations

from harness.explain.why_index import Index
from harness.explain.why_model import Successor
from harness.judge.cast import Incarnation
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.judge.tracks import VmiTrack
from harness.records import served
from harness.rules.phase import Strategy, restarts

_STRATEGIES: tuple[Strategy, ...] = ("Always", "RerunOnFailure", "Once", "Manual", "Halted")


def owner(incarnation: Incarnation) -> tuple[str, str]:
    """Return kind and name of what owns a VMI or pod, or ('', '')."""
    track = incarnation.vmi or incarnation.pod
    if track is None or (incarnation.is_vmi and incarnation.vmi is None):
        return "", ""
    for found in served.mappings(track.object, "metadata", "ownerReferences"):
        return str(found.get("kind") or ""), str(found.get("name") or "")
    return "", ""


def strategy(index: Index, incarnation: Incarnation) -> str:
    """Return the runStrategy of the VM that owns a VMI, as last seen before its end, or ''."""
    kind, name = owner(incarnation)
    if kind != "VirtualMachine":
        return ""
    seen = index.vms.get(f"{incarnation.key.partition('/')[0]}/{name}", [])
    inside = [vm for vm in seen if vm.t <= incarnation.until] or seen
    return inside[-1].strategy if inside else ""


def successor(run: Run, index: Index, ending: Ending) -> Successor | None:
    """Return the next VMI of the same name."""
    mine = ending.incarnation
    if not mine.is_vmi or ending.gone is None:
        return None
    later = [i for i in run.cast.incarnations if i.key == mine.key and i.is_vmi and i.begin > mine.begin]
    if not later:
        return None
    new = later[0]
    vmi = new.vmi
    created = _at(run, vmi, "created") or Interval(new.begin, new.begin)
    running = _at(run, vmi, "Running")
    kind, name = owner(new)
    how = strategy(index, mine) or strategy(index, new)
    by = (
        f"{kind} {name}" + (f" (runStrategy {how})" if how else "")
        if kind
        else "whoever created it again (no owner)"
    )
    return Successor(
        by=by,
        created=created,
        running=running,
        delay=created.minus(ending.gone).floor(0.0),
        down=running.minus(ending.gone).floor(0.0) if running is not None else None,
        node=new.node,
        same_node=bool(new.node) and new.node in {mine.node, ending.eviction.node if ending.eviction else ""},
        waited_for=_waited(index, new),
        created_by_record=(vmi.first.line,) if vmi is not None else (),
        running_by_record=tuple(p.line for p in vmi.phases if p.phase == "Running")[:1]
        if vmi is not None
        else (),
    )


def _at(run: Run, vmi: VmiTrack | None, what: str) -> Interval | None:
    """Return when a VMI was created or ran: as seen, or by its own word where it was seen much later."""
    if vmi is None:
        return None
    if what == "created":
        seen: float | None = vmi.first.t
        stamp = served.dig(vmi.object, "metadata", "creationTimestamp")
    else:
        seen = next((p.t for p in vmi.phases if p.phase == what), None)
        stamp = next(
            (
                item.get("phaseTransitionTimestamp")
                for item in served.mappings(vmi.object, "status", "phaseTransitionTimestamps")
                if item.get("phase") == what
            ),
            None,
        )
    if seen is None:
        return None
    own = run.timeline.own(served.maybe_instant(stamp), seen)
    return own if own is not None and own.high < seen - 1.0 else Interval(seen, seen)


def _waited(index: Index, new: Incarnation) -> str:
    uids = {pod.uid for pod in new.pods}
    found = [w.message for w in index.words if w.reason == "FailedScheduling" and w.uid in uids]
    return found[-1] if found else ""


def nobody(index: Index, ending: Ending) -> str:
    """Say why nothing came back."""
    mine = ending.incarnation
    if not mine.is_vmi:
        return ""
    kind, name = owner(mine)
    if kind == "":
        gone = mine.vmi is not None and mine.vmi.deleted is not None
        return f"A bare VMI: nobody restarts it{'' if gone else '; the dead VMI and its pod stay to be looked at'}."
    if kind != "VirtualMachine":
        return f"It belongs to {kind} {name}; no successor of its name was seen."
    how = strategy(index, mine)
    phase = mine.vmi.final.phase if mine.vmi is not None and mine.vmi.final is not None else ""
    known: Strategy | None = next((s for s in _STRATEGIES if s == how), None)
    if known is not None and phase and not restarts(known, phase):
        return f"Its VM has runStrategy {how}, which doesn't restart a VMI that ended {phase}."
    return f"VM {name}{f' (runStrategy {how})' if how else ''} had made no new VMI when the records end."
