"""Objects of a run as they were watched: pods, VMIs, VMs, nodes and events, followed by UID.

An object's own time becomes an interval: `[T, T + resolution)`, cut by the moment it reached us, since nothing is seen
before it happens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.judge.interval import Interval
from harness.judge.tracks import (
    ConditionMark,
    Disruption,
    Happening,
    Mark,
    NodeSize,
    NodeTrack,
    PhaseMark,
    PodTrack,
    Termination,
    Track,
    VmiTrack,
    named_nanosecond,
    vmi_of_launcher,
)
from harness.records import served
from harness.records.model import Watch

EVENTS = frozenset({"Evicted", "Killing", "ShuttingDown", "Stopped", "SystemOOM"})
"""Reasons of Events that are looked at."""
REJECTED = "Pod was rejected"


class Objects:
    """What was watched. `epoch`: seconds since 1970 at which the run began."""

    def __init__(self, epoch: float) -> None:
        self.epoch = epoch
        self.pods: dict[str, PodTrack] = {}
        self.vmis: dict[str, VmiTrack] = {}
        self.vms: dict[str, Track] = {}
        """`<namespace>/<name>` → VirtualMachine."""
        self.nodes: dict[str, NodeTrack] = {}
        self.events: list[Happening] = []
        self._event_uids: dict[str, tuple[int, str]] = {}
        self.node_memory: dict[str, list[tuple[float, int]]] = {}
        self.kinds: set[str] = set()

    def own(self, instant: served.Instant | None, arrival: float) -> Interval | None:
        """Return an object's own time in seconds of the run, cut by its arrival."""
        if instant is None:
            return None
        low = instant.seconds - self.epoch
        high = low + instant.resolution
        return Interval(min(low, arrival), min(high, arrival))

    def _watch(self, number: int, record: Watch) -> None:
        obj = record.object
        kind = obj.get("kind")
        mark = Mark(t=record.t, line=number)
        self.kinds.add(str(kind))
        if kind == "Pod":
            self._pod(mark, obj, deleted=record.type == "DELETED")
        elif kind == "VirtualMachineInstance":
            self._vmi(mark, obj, deleted=record.type == "DELETED")
        elif kind == "Event" and record.type != "DELETED":
            self._event(mark, obj)
        elif kind == "VirtualMachine":
            self._vm(mark, obj, deleted=record.type == "DELETED")
        elif kind == "Node":
            self._node(mark, obj)

    def _node(self, mark: Mark, obj: Mapping[str, Any]) -> None:
        name = served.name(obj)
        node = self.nodes.get(name)
        if node is None:
            node = NodeTrack(uid=served.uid(obj), key=name, first=mark, last=mark, object=obj)
            self.nodes[name] = node
        node.object, node.last = obj, mark
        self._conditions(node, mark, obj)
        size = NodeSize(
            t=mark.t,
            line=mark.line,
            capacity=served.maybe_quantity(served.dig(obj, "status", "capacity", "memory")),
            allocatable=served.maybe_quantity(served.dig(obj, "status", "allocatable", "memory")),
        )
        node.sizes.append(size)
        if size.capacity is not None:
            self.node_memory.setdefault(name, []).append((mark.t, size.capacity))
        found = served.dig(obj, "metadata", "annotations")
        mine = {str(k): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}
        if not node.annotations or node.annotations[-1][1] != mine:
            node.annotations.append((mark, mine))

    def _vm(self, mark: Mark, obj: Mapping[str, Any], *, deleted: bool) -> None:
        key = served.key(obj)
        vm = self.vms.get(key)
        if vm is None:
            vm = self.vms[key] = Track(uid=served.uid(obj), key=key, first=mark, last=mark, object=obj)
        vm.object, vm.last = obj, mark
        self._conditions(vm, mark, obj)
        if deleted and vm.deleted is None:
            vm.deleted = mark

    def _conditions(self, track: Track, mark: Mark, obj: Mapping[str, Any]) -> None:
        """Note each condition that became another."""
        present = set()
        for found in served.mappings(obj, "status", "conditions"):
            kind = str(found.get("type") or "")
            present.add(kind)
            status, reason = str(found.get("status") or ""), str(found.get("reason") or "")
            known = track.conditions.setdefault(kind, [])
            if known and (known[-1].status, known[-1].reason) == (status, reason):
                continue
            own = self.own(served.maybe_instant(found.get("lastTransitionTime")), mark.t)
            when = own or Interval(-math.inf, mark.t)
            known.append(ConditionMark(t=mark.t, line=mark.line, status=status, reason=reason, when=when))
        for kind, known in track.conditions.items():
            if kind not in present and known[-1].status != "absent":
                when = Interval(known[-1].t, mark.t)
                known.append(ConditionMark(t=mark.t, line=mark.line, status="absent", reason="", when=when))

    def _phase(self, track: Track, mark: Mark, obj: Mapping[str, Any]) -> None:
        phase = str(served.dig(obj, "status", "phase") or "")
        if phase and phase != track.phase:
            track.phases.append(PhaseMark(t=mark.t, line=mark.line, phase=phase))
        track.object = obj
        track.last = mark
        self._conditions(track, mark, obj)

    def _pod(self, mark: Mark, obj: Mapping[str, Any], *, deleted: bool) -> None:
        uid = served.uid(obj) or served.key(obj)
        pod = self.pods.get(uid)
        if pod is None:
            pod = PodTrack(uid=uid, key=served.key(obj), first=mark, last=mark, object=obj)
            self.pods[uid] = pod
        self._phase(pod, mark, obj)
        pod.node = str(served.dig(obj, "spec", "nodeName") or "") or pod.node
        for owner in served.mappings(obj, "metadata", "ownerReferences"):
            if owner.get("kind") == "VirtualMachineInstance":
                pod.vmi_uid = str(owner.get("uid") or "")
                pod.vmi_name = str(owner.get("name") or "")
        labels = served.dig(obj, "metadata", "labels")
        if not pod.vmi_name and isinstance(labels, Mapping) and labels.get("kubevirt.io") == "virt-launcher":
            pod.vmi_uid = str(labels.get("kubevirt.io/created-by") or "")
            pod.vmi_name = str(labels.get("vm.kubevirt.io/name") or "") or vmi_of_launcher(pod.name)
        if str(served.dig(obj, "status", "message") or "").startswith(REJECTED):
            pod.rejected = True
        qos = str(served.dig(obj, "status", "qosClass") or "")
        if qos and pod.qos is None:
            pod.qos = (qos, mark.line)
        if pod.terminating is None and served.dig(obj, "metadata", "deletionTimestamp"):
            pod.terminating = mark
        self._disruption(pod, mark, obj)
        for status in served.mappings(obj, "status", "containerStatuses"):
            self._termination(pod, mark, status)
        if deleted and pod.deleted is None:
            pod.deleted = mark

    def _disruption(self, pod: PodTrack, mark: Mark, obj: Mapping[str, Any]) -> None:
        found = served.condition(obj, "DisruptionTarget")
        if pod.disruption is not None or found is None:
            return
        if found.get("status") != "True" or found.get("reason") != "TerminationByKubelet":
            return
        own = self.own(served.maybe_instant(found.get("lastTransitionTime")), mark.t)
        when = own or Interval(-math.inf, mark.t)
        pod.disruption = Disruption(
            t=mark.t, line=mark.line, when=when, message=str(found.get("message") or "")
        )

    def _termination(self, pod: PodTrack, mark: Mark, status: Mapping[str, Any]) -> None:
        name = str(status.get("name") or "")
        state = served.dig(status, "state", "terminated") or served.dig(status, "lastState", "terminated")
        if not isinstance(state, Mapping):
            return
        code = state.get("exitCode")
        finished = self.own(served.maybe_instant(state.get("finishedAt")), mark.t)
        known = pod.terminations.get(name)
        if known is not None and (known.finished is not None or finished is None):
            return
        pod.terminations[name] = Termination(
            t=mark.t if known is None else known.t,
            line=mark.line if known is None else known.line,
            container=name,
            exit_code=code if isinstance(code, int) else None,
            reason=str(state.get("reason") or ""),
            finished=finished,
        )

    def _vmi(self, mark: Mark, obj: Mapping[str, Any], *, deleted: bool) -> None:
        uid = served.uid(obj) or served.key(obj)
        vmi = self.vmis.get(uid)
        if vmi is None:
            vmi = VmiTrack(uid=uid, key=served.key(obj), first=mark, last=mark, object=obj)
            self.vmis[uid] = vmi
        self._phase(vmi, mark, obj)
        vmi.node = str(served.dig(obj, "status", "nodeName") or "") or vmi.node
        pods = served.dig(obj, "status", "activePods")
        if isinstance(pods, Mapping):
            vmi.pod_uids.update(str(uid) for uid in pods)
        qos = str(served.dig(obj, "status", "qosClass") or "")
        if qos and vmi.qos is None:
            vmi.qos = (qos, mark.line)
        if deleted and vmi.deleted is None:
            vmi.deleted = mark

    def _event(self, mark: Mark, obj: Mapping[str, Any]) -> None:
        reason = str(obj.get("reason") or "")
        if reason not in EVENTS:
            return
        identity = served.uid(obj) or served.key(obj)
        exact = named_nanosecond(obj)
        if exact is not None:
            when = Interval(min(exact - self.epoch, mark.t), min(exact - self.epoch + 1e-6, mark.t))
        else:
            when = self.own(served.event_time(obj), mark.t) or Interval(-math.inf, mark.t)
        count = obj.get("count") or 1
        version = (int(count) if isinstance(count, int) else 1, str(when.low))
        if self._event_uids.get(identity) == version:
            return
        self._event_uids[identity] = version
        subject = served.event_subject(obj)
        self.events.append(
            Happening(
                t=mark.t,
                line=mark.line,
                reason=reason,
                kind=str(subject.get("kind") or ""),
                namespace=str(subject.get("namespace") or ""),
                name=str(subject.get("name") or ""),
                uid=str(subject.get("uid") or ""),
                message=served.event_message(obj),
                node=str(served.dig(obj, "source", "host") or obj.get("reportingInstance") or ""),
                when=when,
                starved=str(served.dig(obj, "metadata", "annotations", "starved_resource") or ""),
            )
        )
