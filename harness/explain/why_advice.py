"""What can no longer be known of a death, and what would have prevented it as far as the rules say so.

Nothing here is a promise: a counterfactual is worked out for the decision that was seen, with the figures that were
recorded; what the node would have done next is another question, and said so.
"""

from __future__ import annotations

from harness.explain.forecast import KILL, POLL
from harness.explain.why_model import EVICTIONS, OOMS, Acted, Inquest, Ranking, Reaction
from harness.explain.why_ranking import counterfactual, request_enough
from harness.explain.why_threshold import USING, censored, message_of
from harness.explain.why_words import point, size
from harness.judge.availability import series
from harness.judge.endings import Ending
from harness.judge.seen import Run
from harness.records import served
from harness.rules import overhead, vmi
from harness.rules.errors import RulesError
from harness.rules.thresholds import ALLOCATABLE_MEMORY


def unknown(run: Run, inquest: Inquest) -> tuple[str, ...]:
    """Say what can't be known any more, and why."""
    ending, found, reaction = inquest.ending, inquest.found, inquest.reaction
    out: list[str] = []
    pod, vm = ending.incarnation.pod, ending.incarnation.vmi
    if found.cause == "alive":
        return ()
    if ending.eviction is not None:
        out += _unknown_eviction(run, ending, inquest.acted, inquest.ranked)
    if found.cause in OOMS and not any(k.pid for k in ending.kills):
        out.append("Which process the kernel killed and why it chose it: its report (kmsg) was not recorded.")
    if found.cause == "crashed":
        out += _unknown_crash(run, ending)
    if found.cause == "guest-shutdown" and reaction.kind in {"silent", "untold"} and not ending.lines:
        out.append("Whether the guest shut down or only its QEMU ended: its console was not recorded.")
    power = ending.last("power")
    if found.cause == "guest-shutdown" and power is not None:
        out.append("Who pressed the power button: neither an eviction nor a deletion was recorded.")
    if pod is not None and pod.deleted is not None:
        kept = "this recording" if not pod.born_final else "nothing"
        out.append(
            f"The pod is deleted: exit code, reason and DisruptionTarget are in {kept} only; events go after an hour."
        )
    if pod is not None and pod.final is not None and pod.phase == "Succeeded" and ending.eviction is not None:
        out.append(
            "The pod ended Succeeded without reason or message: all its containers exited 0 in time. Only the condition "
            "DisruptionTarget and the event tell of the eviction."
        )
    if pod is not None and pod.termination is not None and pod.termination.reason == "ContainerStatusUnknown":
        out.append(
            "The exit code: the kubelet found the container gone (ContainerStatusUnknown) and filled in 137."
        )
    if pod is None and vm is None:
        out.append(
            "What its pod and VMI knew: both are deleted. Only events speak of them, and these go after an hour."
        )
    if pod is None and vm is not None:
        out.append("Everything its pod knew: no pod of it was served.")
    if vm is not None and found.cause in (*EVICTIONS, *OOMS):
        out.append("From the VMI itself nothing: KubeVirt copies neither eviction nor OOM into its status.")
    if reaction.kind == "silent" and ending.incarnation.is_vmi and found.cause in EVICTIONS:
        out.append(f"How the guest took it: {reaction.text.partition(';')[0]}.")
    if not run.timeline.closed:
        out.append(
            f"What came after {point(run.timeline.end)} s: the records end there without their closing record."
        )
    return tuple(out)


def _unknown_eviction(run: Run, ending: Ending, acted: Acted | None, ranked: Ranking | None) -> list[str]:
    eviction = ending.eviction
    assert eviction is not None
    out = []
    if acted is not None and not acted.kind:
        out.append(f"Whether the threshold was hard or soft: {acted.how.partition('; ')[2] or acted.how}.")
    text = message_of(run, eviction)
    if text and not USING.search(text):
        out.append(
            "Whose memory it was: the message names no container, since none used more than it requested when it was written."
        )
    if acted is not None and acted.signal == ALLOCATABLE_MEMORY and acted.crossing is not None:
        out.append(
            "The exact crossing: the kubelet acted on allocatableMemory.available, what is left to all pods together; the crossing "
            "above is that of the node."
        )
    if acted is not None and censored(acted.crossing):
        out.append("When the node fell below the threshold: it already was when the records begin.")
    elif acted is not None and acted.crossing is None:
        out.append(
            f"When the node fell below the threshold: {acted.crossing_source or 'no sample shows it'}."
        )
    if ranked is None:
        out.append("Against whom it was ranked: no pod statistics were recorded.")
    elif ranked.source == "cgroup":
        out.append(
            "The figures the kubelet ranked by: no stats/summary was recorded, only what the cgroups held."
        )
    if not eviction.by_event:
        out.append(
            "The moment of the decision: its event was not recorded, the condition comes after the kill."
        )
    return out


def _unknown_crash(run: Run, ending: Ending) -> list[str]:
    out = [
        "Why: KubeVirt keeps no reason in the VMI, and no eviction, OOM kill, panic or deletion was recorded."
    ]
    pod = ending.incarnation.pod
    code = pod.termination.exit_code if pod is not None and pod.termination is not None else None
    if not run.timeline.oom.watched:
        killed = (
            " Exit code 137 may be one: runtimes lose the reason OOMKilled (containerd#8893)."
            if code == 137
            else ""
        )
        out.append(f"Whether the kernel killed it for memory: no kernel log was recorded.{killed}")
    if not ending.lines and ending.incarnation.is_vmi:
        out.append("What the guest was doing: its console was not recorded.")
    return out


def saved_by(run: Run, inquest: Inquest) -> tuple[str, ...]:
    """Say what would have saved it, as far as the rules support it."""
    ending, found = inquest.ending, inquest.found
    if found.cause in EVICTIONS:
        return (
            *_ranked_out(inquest.ranked, is_vmi=ending.incarnation.is_vmi),
            *_threshold(run, ending, inquest.acted),
            *_in_time(inquest.acted, inquest.reaction),
        )
    if found.cause in {"container-oom", "pod-oom"}:
        return tuple(_larger_limit(run, ending))
    if found.cause in {"node-oom", "oom"}:
        return tuple(_earlier_eviction(run, ending))
    if found.cause == "guest-oom" or (found.cause == "reboot-loop" and "run out of memory" in found.because):
        total = next((s.parsed.memtotal for s in ending.lines if s.parsed.memtotal), None)
        has = f" than its {size(total)}" if total else ""
        return (
            f"More guest memory{has}, or less in the guest. No request, limit or threshold on the host plays a part.",
        )
    return ()


def _ranked_out(ranked: Ranking | None, *, is_vmi: bool) -> list[str]:
    if ranked is None or not ranked.first or ranked.source != "stats/summary":
        return []
    mine = next(row for row in ranked.rows if row.victim)
    out = []
    enough = request_enough(ranked)
    if enough is not None:
        request, other = enough
        what = "request and limit" if mine.qos == "Guaranteed" else "request"
        whose = "The pod's, with KubeVirt's overhead in it; it" if is_vmi else "It"
        out.append(
            f"A {what} of {size(request)} or more in place of {size(mine.usage.request)}: "
            f"{other} would have been first. ({whose} must also fit the node, and then {other} dies.)"
        )
    higher = counterfactual(ranked, priority=mine.usage.priority + 1)
    if higher != mine.subject:
        out.append(f"A higher priorityClass than the others': {higher} would have been first.")
    if enough is None and higher == mine.subject:
        out.append(
            "Neither a larger request nor a higher priority: there was nobody else to take on this node."
        )
    if not mine.usage.exceeds and not any(row.usage.exceeds for row in ranked.rows if not row.usage.critical):
        out.append(
            "Less memory used outside the pods: every pod kept to its request, so node daemons or the system took the rest. "
            "systemReserved and kubeReserved only keep the scheduler from promising it; they cap nobody who is not in "
            "enforceNodeAllocatable."
        )
    return out


def _threshold(run: Run, ending: Ending, acted: Acted | None) -> list[str]:
    if acted is None or acted.value is None or ending.eviction is None:
        return []
    told = ending.eviction.told
    values = [
        a
        for s, a in series(run.timeline, run.provenance, ending.eviction.node)
        if s.when.high <= told.high + 2
    ]
    lowest = min(
        [*values, *([acted.available_value] if acted.available_value is not None else [])], default=None
    )
    if lowest is None or lowest <= 0:
        return []
    text = (
        f"A threshold of at most {size(lowest)} would not have been crossed by then; what would have stopped the growth "
        "below it is the kernel's OOM killer, which gives no grace at all."
    )
    return [text]


def _in_time(acted: Acted | None, reaction: Reaction) -> list[str]:
    out = []
    if reaction.kind in {"deaf", "unheard", "cut"}:
        window = (
            f"the {point(acted.grace)} s it had"
            if acted is not None and acted.grace is not None
            else "the window it had"
        )
        out.append(
            f"A guest that listens to the ACPI power button and is off within {window} ends cleanly; it still goes down."
        )
    elif reaction.kind == "clean":
        out.append("Its data needed no saving: the guest listened and shut down in time.")
    if acted is not None and acted.kind == "soft" and acted.certain and not acted.cap:
        out.append(
            "evictionMaxPodGracePeriod as long as the guest needs: unset it is 0, and a soft eviction kills after 2 s like a hard one."
        )
    return out


def _larger_limit(run: Run, ending: Ending) -> list[str]:
    pod, track = ending.incarnation.pod, ending.incarnation.vmi
    limit = served.container_limits(pod.object).get("compute") if pod is not None else None
    out = []
    if track is not None:
        try:
            guest = vmi.guest(vmi.spec(track.object))
            extra = overhead.overhead(track.object, column=run.column or "main")
        except RulesError:
            guest = None
        if guest is not None:
            wanted = guest.value() + extra.total
            has = f" in place of {size(limit)}" if limit is not None else ""
            out.append(
                f"A compute limit of at least {size(wanted)}{has}: guest memory {size(guest.value())} plus KubeVirt's overhead "
                f"{size(extra.total)}, an estimate (emulation needs more); or a smaller guest, or no limit."
            )
    out.append(
        "Nothing the kubelet does: a container's own limit is the kernel's business, without warning or grace."
    )
    return out


def _earlier_eviction(run: Run, ending: Ending) -> list[str]:
    node = ending.incarnation.node
    values = series(run.timeline, run.provenance, node)
    kill = min((k.t for k in ending.kills), default=None)
    before = [(s.when.high, a) for s, a in values if kill is not None and kill - 10 <= s.when.high <= kill]
    out = [
        "A lower use of the node, or a higher eviction threshold, so that the kubelet acts before the kernel must."
    ]
    if len(before) > 1 and before[-1][0] > before[0][0]:
        rate = (before[0][1] - before[-1][1]) / (before[-1][0] - before[0][0])
        if rate > 0:
            headroom = int(rate * (POLL + KILL))
            out.append(
                f"The node lost {size(int(rate))}/s at the end: a kubelet that looks once in 10 s and needs 3 s to kill needs about "
                f"{size(headroom)} of headroom (HYPOTHESIS: constants of its loop, not a measurement)."
            )
    return out
