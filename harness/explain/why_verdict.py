"""The one sentence that says how a VM died."""

from __future__ import annotations

from harness.explain.why_model import Diagnosis, Inquest, Reaction
from harness.explain.why_words import point, size, span
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.records import served


def verdict(inquest: Inquest) -> str:
    """Return the sentence."""
    ending, found = inquest.ending, inquest.found
    name = ending.incarnation.key
    match found.cause:
        case "hard-eviction" | "soft-eviction" | "eviction":
            return _eviction(name, inquest)
        case "other-eviction":
            return f"{name} was ended by the kubelet, but not for memory: {found.because}"
        case "container-oom":
            return f"{name} was killed by the kernel: it outgrew the memory limit of its own container{_limit(ending)}{_hedge(found)}."
        case "pod-oom":
            return f"{name} was killed by the kernel: its pod outgrew the pod's memory limit{_hedge(found)}."
        case "node-oom":
            return f"{name} was killed by the kernel because the node itself ran out of memory{_hedge(found)}; no limit of its own was reached."
        case "oom":
            return f"{name} was killed by the kernel for memory; whose limit it was is not recorded."
        case "guest-oom":
            after = "" if ending.gone is not None else "; its QEMU runs on, and Kubernetes sees nothing of it"
            return f"{name} died of its own memory: the guest's kernel ran out of what the guest has{after}{_hedge(found)}. The host had no part in it."
        case "guest-panic":
            after = "" if ending.gone is not None else "; its QEMU runs on, and Kubernetes sees nothing of it"
            return f"{name} died inside: the guest's kernel panicked{after}. The host had no part in it."
        case "reboot-loop":
            return (
                f"{name} is in a reboot loop: {found.because}. Its VMI never left the phase Running for it."
            )
        case "guest-shutdown":
            if found.certain:
                return f"{name} shut down by itself{_asked(ending)}: nobody evicted, killed or deleted it."
            return f"{name} shut down{_asked(ending)}, as far as can be told: {found.because}."
        case "api-delete":
            return f"{name} was deleted through the API: {_manners(inquest.reaction, inquest.window)}."
        case "disrupted":
            return f"{name} was taken off its node through Kubernetes, not by memory: {found.because}"
        case "no-node":
            return f"{name} never ran: no node had room for it. {found.because}"
        case "refused":
            return f"{name} never ran: the kubelet refused its pod. {found.because}"
        case "failed-to-start":
            return f"{name} failed before it ever ran."
        case "crashed":
            return f"{name} crashed, and nothing recorded says why: {found.because}."
        case "unknown":
            return f"{name} is gone, and how it ended is not recorded: {found.because}."
        case "alive":
            return _alive(ending)


def _eviction(name: str, inquest: Inquest) -> str:
    ending, acted, ranked = inquest.ending, inquest.acted, inquest.ranked
    assert ending.eviction is not None
    kind = acted.kind if acted is not None and acted.kind else ""
    words = f"evicted {kind}" if kind else "evicted (hard or soft can't be told)"
    hedge = "" if inquest.found.certain or not kind else " (inferred)"
    low = (
        f" when {acted.available} were available of the {acted.quantity} to be kept"
        if acted is not None and acted.quantity
        else ""
    )
    first = "; " + ranked.decisive if ranked is not None and ranked.decisive and ranked.first else ""
    killed = "; the kernel killed it before its grace was over" if ending.kills else ""
    window = inquest.window
    end = _manners(inquest.reaction, window) if ending.incarnation.is_vmi else _pod_end(window)
    return f"{name} was {words}{hedge} by the kubelet of {ending.eviction.node}{low}{first}; {end}{killed}."


def _manners(reaction: Reaction, window: Interval | None) -> str:
    took = f" {_within(window)}" if window is not None else ""
    if reaction.kind == "clean":
        return f"the guest listened and shut down cleanly{took}"
    cut = f" {span(window)} after it was told" if window is not None else ""
    took_ = f"; it was gone{took}" if took else ""
    return {
        "deaf": f"the guest did not listen and was cut{cut}",
        "unheard": f"the guest never noticed and was cut{cut}",
        "cut": f"the guest was still shutting down when it was cut{cut}",
        "silent": reaction.text + took_,
        "untold": f"gone{took}",
    }[reaction.kind]


def _within(window: Interval) -> str:
    return f"within {span(window).removeprefix('at most ')}"


def _pod_end(window: Interval | None) -> str:
    return f"its processes were gone {_within(window)}" if window is not None else "its end was not recorded"


def _limit(ending: Ending) -> str:
    pod = ending.incarnation.pod
    limit = served.container_limits(pod.object).get("compute") if pod is not None else None
    return f" ({size(limit)})" if limit is not None else ""


def _hedge(found: Diagnosis) -> str:
    return "" if found.certain else " (inferred)"


def _asked(ending: Ending) -> str:
    bye = ending.last("bye")
    if bye is not None and bye.parsed.reason == "command":
        return ", as it was told on its console"
    if ending.last("power") is not None:
        return " after its power button was pressed"
    return ""


def _alive(ending: Ending) -> str:
    name = ending.incarnation.key
    vmi = ending.incarnation.vmi
    if ending.eviction is not None:
        return f"{name} was evicted, and no end of it is recorded."
    if vmi is not None and vmi.phase and vmi.phase != "Running":
        return f"{name} is not dead: its VMI is {vmi.phase}."
    return f"{name} is not dead: nothing ended it up to {point(ending.lines[-1].t) + ' s, its last line' if ending.lines else 'the end of the records'}."
