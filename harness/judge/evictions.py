"""Evictions by the kubelet, recognised as Kubernetes 1.36 shows them.

The pod's `DisruptionTarget` condition with reason `TerminationByKubelet`, or its `Evicted` event, matched by pod
UID, with its own time inside the run's window (pkg/kubelet/eviction/eviction_manager.go `evictPod`). Never
`status.reason` alone: a pod whose containers all exit 0 in time ends Succeeded without a reason. Not an eviction:
an admission refusal (`Pod was rejected: …`).

The same condition is set for a node that shuts down, a pod preempted by a critical one, and for other resources that
run out (nodeshutdown_manager.go, preemption.go, eviction_manager.go); `resource` tells which it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.judge.cast import Cast, Incarnation
from harness.judge.interval import Interval
from harness.judge.objects import REJECTED
from harness.judge.timeline import Timeline
from harness.judge.tracks import Happening, PodTrack
from harness.records import served

_THRESHOLD = re.compile(r"Threshold quantity: (?P<quantity>[^,]+), available: (?P<available>[^.]+)\.")
_RESOURCE = re.compile(r"low on resource: (?P<resource>[\w.-]+)\. ")
"""pkg/kubelet/eviction/helpers.go `nodeLowMessageFmt`."""
_DEFAULT_GRACE = 60
_SETTLE = 5.0
"""Between the kill and the condition: status patches and container clean-up, ~1 s seen; generous."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """One pod the kubelet evicted."""

    pod_uid: str
    key: str
    """`<namespace>/<name>` of the VMI, or of the pod where there is none."""
    incarnation: Incarnation | None
    told: Interval
    """When the kubelet decided, in seconds of the run."""
    by_event: bool
    """The Evicted event was seen; else only the condition, which comes after the kill."""
    node: str
    threshold: int | None
    """Bytes: the threshold that acted, by the kubelet's own message."""
    resource: str
    """What the node lacked (`memory`, `ephemeral-storage`, …), else why it was terminated in the kubelet's words; '': unsaid."""
    proof: tuple[int, ...]

    @property
    def may_be_memory(self) -> bool:
        """Whether it was for memory, or nothing says that it was not."""
        return self.resource in {"memory", ""}

    @property
    def fleet(self) -> str:
        """Name of the scenario's fleet it belongs to, or ''."""
        return self.incarnation.fleet if self.incarnation is not None else ""


def threshold_in(message: str) -> int | None:
    """Return the threshold quantity in an Evicted message, in bytes."""
    match = _THRESHOLD.search(message)
    return served.maybe_quantity(match["quantity"].strip()) if match else None


def resource_in(message: str) -> str:
    """Return the resource a kubelet's message says the node lacked; else the message's first sentence."""
    match = _RESOURCE.search(message)
    return match["resource"] if match else message.strip().partition(". ")[0].rstrip(".")


def _told_by_condition(pod: PodTrack) -> Interval:
    """Bound the decision when only the condition was seen: no earlier than the longest grace before it."""
    assert pod.disruption is not None
    grace = served.dig(pod.object, "spec", "terminationGracePeriodSeconds")
    longest = float(grace) if isinstance(grace, int) else float(_DEFAULT_GRACE)
    when = pod.disruption.when
    return Interval(max(when.low - max(longest, 2.0) - _SETTLE, pod.first.t), when.high)


def evictions(timeline: Timeline, cast: Cast) -> list[Eviction]:
    """Return the evictions and other terminations by a kubelet inside the window, in order of time."""
    start, end = timeline.window_start, timeline.end
    by_uid: dict[str, Happening] = {}
    for event in timeline.events:
        if event.reason != "Evicted" or event.kind != "Pod" or event.message.startswith(REJECTED):
            continue
        if event.when.high <= start or event.when.low > end:
            continue
        by_uid.setdefault(event.uid, event)
    found: list[Eviction] = []
    for uid in sorted(set(by_uid) | {p.uid for p in timeline.pods.values() if p.disruption is not None}):
        pod, happened = timeline.pods.get(uid), by_uid.get(uid)
        if pod is not None and (pod.rejected or _over_before(pod, start)):
            continue
        condition = pod.disruption if pod is not None else None
        if condition is not None and condition.message.startswith(REJECTED):
            continue
        inside = condition is not None and condition.when.high > start and condition.when.low <= end
        if happened is None and not inside:
            continue
        found.append(_eviction(uid, pod, happened, cast))
    return sorted(found, key=lambda e: (e.told.low, e.told.high, e.key, e.pod_uid))


def _over_before(pod: PodTrack, start: float) -> bool:
    """Whether the pod was over before the window: first seen final, and nothing of its own lies inside."""
    if not pod.born_final:
        return False
    own = [t.finished for t in pod.terminations.values() if t.finished is not None]
    if pod.disruption is not None:
        own.append(pod.disruption.when)
    return not own or all(when.high <= start for when in own)


def _eviction(uid: str, pod: PodTrack | None, happened: Happening | None, cast: Cast) -> Eviction:
    incarnation = cast.by_pod.get(uid)
    condition = pod.disruption if pod is not None else None
    if happened is not None:
        told = happened.when
        key = f"{happened.namespace}/{happened.name}"
    else:
        assert pod is not None
        told = _told_by_condition(pod)
        key = pod.key
    messages = [mark.message for mark in (happened, condition) if mark is not None]
    return Eviction(
        pod_uid=uid,
        key=incarnation.key if incarnation is not None else key,
        incarnation=incarnation,
        told=told,
        by_event=happened is not None,
        node=(pod.node if pod is not None else "") or (happened.node if happened is not None else ""),
        threshold=next((found for found in map(threshold_in, messages) if found is not None), None),
        resource=(happened.starved if happened is not None else "")
        or next((found for found in map(resource_in, messages) if found), ""),
        proof=tuple(sorted(mark.line for mark in (happened, condition) if mark is not None)),
    )
