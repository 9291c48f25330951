"""What `density record --until` waits for: a closed list of things a cluster says of itself.

Only what happens while we watch counts: what an object already was when first seen, and what an Event dates before
our start, is old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records import served
from harness.records.model import Kernel, Record, Watch
from harness.run.world import FINAL_PHASES, evicted_by_kubelet, phase

KINDS: Mapping[str, str] = {
    "evicted": "a kubelet evicts a pod",
    "oom": "a container is OOM-killed, or a node reports SystemOOM",
    "pressure": "a node is under memory pressure",
    "failed": "a VMI becomes Failed",
    "ended": "a VMI ends in any way",
}
EARLIER = 1.0
"""Seconds an object's own time may lie before our start: clocks of two machines, and whole seconds."""


@dataclass(slots=True, kw_only=True)
class Awaited:
    """`kind`: a key of KINDS. `started`: epoch seconds; what objects date before that is old news."""

    kind: str
    started: float
    name: str = ""
    """Of the pod, VMI or node; '' any. A virt-launcher pod also answers to its VMI's name."""
    seen: str = ""
    """What was seen, in words, '' so far."""
    _before: dict[str, bool] = field(default_factory=dict)

    def add(self, _line: int, record: Record) -> None:
        """Take one record."""
        if self.seen:
            return
        match record:
            case Kernel() if self.kind == "oom" and self._is(record.vmi.rpartition("/")[2]):
                self.seen = f"the kernel killed {record.vmi or record.process or 'something'}"
            case Watch():
                self.seen = self._watched(record)
            case _:
                pass

    def _watched(self, record: Watch) -> str:
        item = record.object
        name = served.name(item)
        match self.kind, item.get("kind"):
            case "evicted", "Pod" if self._is(name, _domain(item)):
                return f"pod {name} evicted" if self._turned(item, evicted_by_kubelet(item)) else ""
            case "evicted", "Event" if item.get("reason") == "Evicted":
                return self._event(item, "evicted")
            case "oom", "Event" if item.get("reason") == "SystemOOM":
                return self._event(item, "SystemOOM")
            case "oom", "Pod" if self._is(name, _domain(item)):
                return (
                    f"a container of pod {name} OOM-killed" if self._turned(item, _oom_killed(item)) else ""
                )
            case "pressure", "Node" if self._is(name):
                condition = served.condition(item, "MemoryPressure") or {}
                return f"node {name} under memory pressure" if condition.get("status") == "True" else ""
            case "failed", "VirtualMachineInstance" if self._is(name):
                return f"VMI {name} Failed" if self._turned(item, phase(item) == "Failed") else ""
            case "ended", "VirtualMachineInstance" if self._is(name):
                over = phase(item) in FINAL_PHASES or record.type == "DELETED"
                return f"VMI {name} ended ({phase(item)})" if self._turned(item, over) else ""
        return ""

    def _turned(self, item: Mapping[str, Any], now: bool) -> bool:
        """Whether this has become so since we came: what was so when first seen happened before."""
        key = served.uid(item)
        before = self._before.get(key)
        self._before[key] = now
        return now and before is False

    def _event(self, event: Mapping[str, Any], what: str) -> str:
        about = served.event_subject(event)
        name, moment = str(about.get("name", "")), served.event_time(event)
        if not self._is(name, name.removeprefix("virt-launcher-").rpartition("-")[0]):
            return ""
        if moment is not None and moment.end < self.started - EARLIER:
            return ""
        return f"{about.get('kind', '')} {name}: {what}"

    def _is(self, *names: str) -> bool:
        return not self.name or self.name in names


def _domain(pod: Mapping[str, Any]) -> str:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get("kubevirt.io/domain", ""))


def _oom_killed(pod: Mapping[str, Any]) -> bool:
    states = (
        served.dig(s, "state", "terminated") for s in served.mappings(pod, "status", "containerStatuses")
    )
    return any(isinstance(state, Mapping) and state.get("reason") == "OOMKilled" for state in states)
