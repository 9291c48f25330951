"""The cause of a death, told from what was recorded. What can't be told is not guessed: it has a cause of its own.

Order of the questions: who was told to go or killed first, and was the guest gone before that? Sources of the signs:
harness.judge (eviction, kernel kill, endings), KubeVirt's phases and events (rules.phase), the guest's console.
"""

from __future__ import annotations

from dataclasses import replace

from harness.explain.why_guest import Boot, boots, farewell, looping, out_of_memory, panicked
from harness.explain.why_index import Index
from harness.explain.why_model import Acted, Cause, Diagnosis
from harness.explain.why_threshold import MESSAGE, message_of
from harness.judge.endings import DELIVERY, Ending
from harness.judge.interval import Interval
from harness.judge.kmsg import OomKill
from harness.judge.seen import Run
from harness.records import served

AFTERLIFE = 2.0
"""Seconds of life after a kill that show it was another process's."""
_SAME = 10.0
"""Seconds between an OOM kill and the node's SystemOOM event of it, at most."""
_DELIVERY = 0.5
"""Seconds a watch may be behind a console."""


def diagnose(run: Run, index: Index, ending: Ending, acted: Acted | None) -> Diagnosis:
    """Name the cause of one ending."""
    incarnation = ending.incarnation
    refused = next((pod for pod in incarnation.pods[-1:] if pod.rejected), None)
    if refused is not None:
        why = str(served.dig(refused.object, "status", "message") or "").strip()
        return Diagnosis(cause="refused", certain=True, because=why, proof=(refused.last.line,))
    kill = fatal_kill(run, ending)
    told = ending.eviction.told if ending.eviction is not None else None
    panic = panicked(ending)
    bounds = [t for t in (told.low if told else None, kill.t if kill else None) if t is not None]
    forced = min(bounds, default=float("inf"))
    if panic is not None and panic.t - DELIVERY < forced:
        return _panic(ending)
    if kill is not None and (told is None or kill.t <= told.low):
        return _oom(index, ending, kill)
    if ending.eviction is not None and told is not None:
        already = ending.gone is not None and ending.gone.high < told.low
        if not already:
            return _eviction(run, ending, acted, kill)
    again = loop(ending)
    if again is not None and deleted_first(run, index, ending) is None:
        return again
    if not ended(ending, kill):
        return Diagnosis(
            cause="alive", certain=run.timeline.closed, because="no sign of its end in the records"
        )
    return _quiet_end(run, index, ending)


def ended(ending: Ending, kill: OomKill | None) -> bool:
    """Whether it ended: a kill of some other process in its pod ends nobody."""
    if ending.gone is None:
        return False
    if ending.kills and kill is None:
        return bool(_tracks_final(ending))
    return True


def _tracks_final(ending: Ending) -> list[int]:
    vmi, pod = ending.incarnation.vmi, ending.incarnation.pod
    marks = [t.final or t.deleted for t in (vmi, pod) if t is not None]
    return [mark.line for mark in marks if mark is not None]


def fatal_kill(run: Run, ending: Ending) -> OomKill | None:
    """Return the kernel's kill that ended it: not one of another container or of a process it survived."""
    pod = ending.incarnation.pod
    for kill in ending.kills:
        lines = set(kill.lines)
        if kill.pid is None and not kill.scope and pod is not None:
            mine = pod.termination
            elsewhere = any(t.line in lines for t in pod.terminations.values() if t is not mine)
            if elsewhere and (mine is None or mine.line not in lines or mine.reason != "OOMKilled"):
                continue
        if _lived_on(run, ending, kill.t + AFTERLIFE):
            continue
        return kill
    return None


def _lived_on(run: Run, ending: Ending, after: float) -> bool:
    key = ending.incarnation.key
    if any(said.t > after and said.parsed.word not in {"bye", "power-down"} for said in ending.lines):
        return True
    return any(after < t < ending.incarnation.until for t, _, _ in run.timeline.processes.get(key, ()))


def _panic(ending: Ending) -> Diagnosis:
    found = boots(ending.lines)
    panic = found[-1].last("panic")
    assert panic is not None
    oom = out_of_memory(found[-1])
    again = loop(ending)
    if again is not None:
        return again
    if oom is not None:
        lines = tuple(sorted({oom.line, panic.line}))
        return Diagnosis(
            cause="guest-oom", certain=True, because=f"its own kernel: {_quote(oom.text)}", proof=lines
        )
    return Diagnosis(
        cause="guest-panic",
        certain=True,
        because=f"its own kernel: {_quote(panic.text)}",
        proof=(panic.line,),
    )


def loop(ending: Ending) -> Diagnosis | None:
    """Tell a guest that boots again and again inside one QEMU, and why, from each boot's last words."""
    found = looping(ending.lines)
    if not found:
        return None
    ends = found[:-1]
    panics, ooms = [b for b in ends if b.last("panic")], [b for b in ends if out_of_memory(b)]
    byes = [b for b in ends if b.last("bye")]
    if len(ooms) == len(ends):
        why = "each time its own kernel had run out of memory"
    elif len(panics) == len(ends):
        why = "each time after a kernel panic"
    elif byes:
        why = "after a reboot from within"
    else:
        why = "why isn't said on its console"
    return Diagnosis(
        cause="reboot-loop",
        certain=True,
        because=f"{len(found)} boots of one QEMU, {why}",
        proof=tuple(boot.begin.line for boot in found),
    )


def _oom(index: Index, ending: Ending, kill: OomKill) -> Diagnosis:
    named: dict[str, Cause] = {"container": "container-oom", "pod": "pod-oom", "node": "node-oom"}
    # The judge joins status and event into one kill of the node's scope; it is still an inference, not the kernel's word.
    event = next((w for w in index.words if w.reason == "SystemOOM" and w.line in kill.lines), None)
    if kill.scope and event is None:
        words = {
            "container": "its container's limit",
            "pod": "its pod's limit",
            "node": "the node's memory, no pod's limit",
        }
        report = "the kernel's report" if kill.pid is not None else "the kernel's counters"
        return Diagnosis(
            cause=named[kill.scope],
            certain=True,
            because=f"{report}: what ran out was {words[kill.scope]}",
            proof=kill.lines,
        )
    pod = ending.incarnation.pod
    limit = served.container_limits(pod.object).get("compute") if pod is not None else None
    system = event or next(
        (
            w
            for w in index.words
            if w.reason == "SystemOOM" and w.name == ending.incarnation.node and abs(w.t - kill.t) < _SAME
        ),
        None,
    )
    if system is not None:
        return Diagnosis(
            cause="node-oom",
            certain=False,
            because="the node has a SystemOOM event of that moment"
            if kill.event
            else "the container's status says OOMKilled, and the node has a SystemOOM event of that moment",
            proof=tuple(dict.fromkeys((*kill.lines, system.line))),
        )
    if pod is not None and limit is None and ending.incarnation.is_vmi:
        return Diagnosis(
            cause="oom",
            certain=False,
            because="the container's status says OOMKilled; it has no memory limit, so a limit above it or the node's memory ran out",
            proof=kill.lines,
        )
    if limit is not None:
        roomy = _node_had_room(index, ending, kill.t)
        if roomy is None or roomy:
            why = "the node had memory left" if roomy else "there is no SystemOOM event"
            return Diagnosis(
                cause="container-oom",
                certain=False,
                because=f"the container's status says OOMKilled, it has a memory limit, and {why}",
                proof=kill.lines,
            )
    return Diagnosis(
        cause="oom",
        certain=False,
        because="the container's status says OOMKilled; the kernel's report was not recorded",
        proof=kill.lines,
    )


def _node_had_room(index: Index, ending: Ending, t: float) -> bool | None:
    rows = [row for row in index.node_rows.get(ending.incarnation.node, ()) if abs(row.when.low - t) < 15]
    return min(row.available for row in rows) > 256 << 20 if rows else None


def _eviction(run: Run, ending: Ending, acted: Acted | None, kill: OomKill | None) -> Diagnosis:
    eviction = ending.eviction
    assert eviction is not None
    text = message_of(run, eviction)
    match = MESSAGE.search(text)
    resource = match["resource"] if match else ""
    if text and resource != "memory":
        return Diagnosis(cause="other-eviction", certain=True, because=text.strip(), proof=eviction.proof)
    seen = (
        "the kubelet's Evicted event"
        if eviction.by_event
        else "the pod's DisruptionTarget condition, TerminationByKubelet"
    )
    kinds: dict[str, Cause] = {"hard": "hard-eviction", "soft": "soft-eviction"}
    found = Diagnosis(
        cause=kinds.get(acted.kind if acted else "", "eviction"),
        certain=acted is None or not acted.kind or acted.certain,
        because=f"{seen}; {acted.how}" if acted is not None and acted.how else seen,
        proof=eviction.proof,
    )
    if kill is None:
        return found
    if kill.t <= eviction.told.high:
        why = f"{found.because}; the kernel's kill fell into the same moment, which came first can't be told"
        return replace(found, certain=False, because=why)
    return replace(found, because=f"{found.because}; the kernel then killed it before its grace was over")


def deleted_first(run: Run, index: Index, ending: Ending) -> tuple[int, Interval, str] | None:
    """Return line and time of a deletion that came before every sign of the end, and what was deleted."""
    incarnation = ending.incarnation
    found: list[tuple[float, int, Interval, str]] = []
    if incarnation.vmi is not None and incarnation.vmi.uid in index.deleting:
        mark, own = index.deleting[incarnation.vmi.uid]
        found.append((mark.t, mark.line, own or Interval(mark.t, mark.t), "VirtualMachineInstance"))
    pod = incarnation.pod
    if pod is not None and pod.terminating is not None:
        at = pod.terminating
        found.append((at.t, at.line, Interval(at.t, at.t), "pod"))
    first = min(_signs(run, ending), default=float("inf"))
    for t, line, own, what in sorted(found, key=lambda item: item[0]):
        seen_before = own.low <= first and t <= min(first + _DELIVERY, _final_at(ending))
        if seen_before or own.high < min(first, _final_at(ending)):
            return line, own, what
    return None


def _final_at(ending: Ending) -> float:
    vmi = ending.incarnation.vmi
    if vmi is not None and vmi.final is not None:
        return vmi.final.t
    return float("inf")


def _signs(run: Run, ending: Ending) -> list[float]:
    """Times of the first signs that it was about to end."""
    uid = ending.incarnation.vmi.uid if ending.incarnation.vmi is not None else ""
    signs = [
        e.when.high
        for e in run.timeline.events
        if e.reason in {"ShuttingDown", "Stopped"} and uid and e.uid == uid
    ]
    signs += [said.t for said in ending.lines if said.parsed.word in {"bye", "power-down"}]
    if ending.gone is not None:
        signs.append(ending.gone.high)
    return signs


def _quiet_end(run: Run, index: Index, ending: Ending) -> Diagnosis:
    """Nobody evicted or OOM-killed it: it shut down, was deleted, crashed, or vanished."""
    incarnation = ending.incarnation
    vmi, pod = incarnation.vmi, incarnation.pod
    lines = tuple(_tracks_final(ending)) or ending.proof
    if pod is not None and pod.uid in index.disrupted:
        mark, reason, message = index.disrupted[pod.uid]
        return Diagnosis(
            cause="disrupted", certain=True, because=f"{reason}: {message.strip()}", proof=(mark.line,)
        )
    unplaced = _unplaced(index, ending)
    if unplaced is not None:
        return unplaced
    bye = farewell(ending)
    deleted = deleted_first(run, index, ending)
    if deleted is not None:
        line, _, what = deleted
        again = loop(ending)
        return Diagnosis(
            cause="api-delete",
            certain=True,
            because=f"its {what} was deleted before any other sign of an end"
            + (f"; it was in a reboot loop: {again.because}" if again is not None else ""),
            proof=(line,),
        )
    if bye is not None:
        why = "it said bye on its console" if bye.parsed.word == "bye" else "its kernel said it powers down"
        watched = {"Pod", "Event"} <= run.timeline.kinds
        pressed = ending.last("power") is not None
        if not watched:
            why += "; pods and events were not both recorded, so an eviction can't be excluded"
        elif pressed:
            why += " after its power button was pressed, by whom is not recorded"
        return Diagnosis(
            cause="guest-shutdown", certain=watched and not pressed, because=why, proof=(bye.line, *lines)
        )
    oom = _last_oom(boots(ending.lines))
    if oom is not None and ending.gone is not None and ending.gone.low - oom[0] < 10:
        return Diagnosis(
            cause="guest-oom",
            certain=False,
            because="its own kernel was killing for memory when its console ended",
            proof=(oom[1],),
        )
    phase = vmi.final.phase if vmi is not None and vmi.final is not None else ""
    stopped = {
        e.message
        for e in run.timeline.events
        if e.reason == "Stopped" and vmi is not None and e.uid == vmi.uid
    }
    if phase == "Succeeded" or any("shut down" in text for text in stopped):
        return Diagnosis(
            cause="guest-shutdown",
            certain=False,
            because="KubeVirt says it was shut down; its console holds no farewell",
            proof=lines,
        )
    ran = vmi is None or any(p.phase == "Running" for p in vmi.phases) or _ran(index, ending)
    if phase == "Failed" and not ran:
        return Diagnosis(
            cause="failed-to-start",
            certain=True,
            because="it was Failed without ever having been Running",
            proof=lines,
        )
    if (
        phase == "Failed"
        or "crashed" in " ".join(stopped)
        or (pod is not None and (pod.final or pod.termination))
    ):
        return Diagnosis(cause="crashed", certain=True, because=_crash_words(ending), proof=lines)
    return Diagnosis(
        cause="unknown", certain=True, because="its objects vanished without a last word", proof=ending.proof
    )


def _unplaced(index: Index, ending: Ending) -> Diagnosis | None:
    """Return what the scheduler said of a VMI whose pod never had a node: whatever ended it then, nothing ran."""
    pod = ending.incarnation.pod
    if pod is None or ending.incarnation.node or _ran(index, ending):
        return None
    for condition in served.mappings(pod.object, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            said = str(condition.get("message") or "").strip() or "the scheduler gave no reason"
            return Diagnosis(cause="no-node", certain=True, because=said, proof=(pod.last.line,))
    return None


def _ran(index: Index, ending: Ending) -> bool:
    vmi = ending.incarnation.vmi
    if vmi is None:
        return False
    return bool(ending.lines) or index.phase_since(vmi.object, "Running", vmi.last.t) is not None


def _last_oom(found: list[Boot]) -> tuple[float, int] | None:
    oom = found[-1].last("oom") if found else None
    return (oom.t, oom.line) if oom is not None else None


def _crash_words(ending: Ending) -> str:
    pod = ending.incarnation.pod
    found = pod.termination if pod is not None else None
    if found is None or found.exit_code is None or found.reason == "ContainerStatusUnknown":
        return "KubeVirt says it crashed; no exit code was observed"
    signal = found.exit_code - 128 if found.exit_code > 128 else 0
    tail = f" (signal {signal})" if signal else ""
    return f"{found.container} ended with exit code {found.exit_code}{tail}, reason {found.reason or 'none'}"


def _quote(text: str) -> str:
    return '"' + " ".join(text.replace("\r", "").split())[:120] + '"'
