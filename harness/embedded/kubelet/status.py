"""The node object: registration, and the status loop every 10 s x U[1, 1.04).

Source: Kubernetes 1.36 kubelet_node_status.go, nodestatus/setters.go; shape as recorded on a real kind node.
A changed condition is written in its tick, an unchanged status once in nodeStatusReportFrequency (5 min).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.embedded.api.errors import NotFound
from harness.embedded.api.resources import NODES
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.events import Recorder
from harness.rules.allocatable import NodeMemory
from harness.rules.messages import memory_pressure, memory_pressure_event
from harness.rules.quantities import Quantity
from harness.units import Bytes

REPORT_PERIOD = 300.0
MARKER = "density.dev/embedded"
"""Annotation of everything that could pass for a real cluster's; evidence `real` is refused for it."""

_CGROUP_V1 = (
    "cgroup v1 detected. cgroup v1 support is deprecated and will be removed in a future release. "
    "Please migrate to cgroup v2. More information at "
    "https://git.k8s.io/enhancements/keps/sig-node/5573-remove-cgroup-v1"
)
_OTHERS = (
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"),
    (
        "PIDPressure",
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
        "NodeHasSufficientPID",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a node is, as far as `nodeInfo` and labels tell."""

    name: str
    cpus: int
    address: str
    kernel: str
    kubelet_version: str
    runtime: str
    identifier: str
    """machineID and the like: 32 hex digits."""
    kvm: bool = False


class NodeStatus:
    """Keeps one node's object up to date."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        recorder: Recorder,
        identity: Identity,
        memory: NodeMemory,
        swap: Bytes,
        conditions: Callable[[], frozenset[str]],
        rng: random.Random,
    ) -> None:
        self._store, self._clock, self._recorder = store, clock, recorder
        self._identity, self._memory, self._conditions, self._rng = identity, memory, conditions, rng
        self._swap = swap
        self._uid = ""
        self._reported = 0.0
        self._fresh = True

    def reference(self) -> Mapping[str, Any]:
        """Return what events about the node refer to; it may have been deleted from the API."""
        return {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {"name": self._identity.name, "uid": self._uid},
        }

    def start(self, *, cgroup_v1: bool) -> None:
        """Register the node, or take it over after a kubelet restart; say so in the events a kubelet begins with."""
        try:
            present = self._store.get(NODES, "", self._identity.name)
        except NotFound:
            present = self._store.create(NODES, self._object())
        self._uid = str(present["metadata"]["uid"])
        node = self.reference()
        self._recorder.event(node, "Normal", "Starting", "Starting kubelet.")
        if cgroup_v1:
            self._recorder.event(node, "Warning", "CgroupV1", _CGROUP_V1)
        self._recorder.event(
            node, "Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods"
        )
        self.tick()

    def tick(self) -> None:
        """Write what changed; everything once per report period."""
        pressure = "MemoryPressure" in self._conditions()
        try:
            old = self._store.get(NODES, "", self._identity.name)
        except NotFound:
            return  # deleted by somebody; a kubelet registers only when it starts
        conditions = self._new_conditions(old, pressure=pressure)
        changed = [c["type"] for c in conditions if _status_of(old, c["type"]) != c["status"]]
        now = self._clock.now()
        if not (changed or self._fresh or now - self._reported >= REPORT_PERIOD):
            return
        fresh, self._fresh, self._reported = self._fresh, False, now
        if fresh or "MemoryPressure" in changed:
            self._recorder.event(old, *memory_pressure_event(self._identity.name, pressure=pressure))
        if fresh:
            for _, _, _, reason in _OTHERS:
                self._say(old, reason)
        if "Ready" in changed:
            self._say(old, "NodeReady")

        def edit(node: dict[str, Any]) -> None:
            status = node.setdefault("status", {})
            status["conditions"] = conditions
            status["capacity"], status["allocatable"] = self._capacity(), self._allocatable()

        self._store.mutate(NODES, "", self._identity.name, edit)

    def next_tick(self, period: float, jitter: float) -> float:
        """Return the pause until the next tick (kubelet.go:1938)."""
        return period * (1.0 + self._rng.random() * jitter)

    def heartbeat(self) -> None:
        """Set virt-handler's annotation."""
        now = self._clock.stamp()

        def beat(node: dict[str, Any]) -> None:
            node["metadata"].setdefault("annotations", {})["kubevirt.io/heartbeat"] = now

        with suppress(NotFound):
            self._store.mutate(NODES, "", self._identity.name, beat)

    def _say(self, node: Mapping[str, Any], reason: str) -> None:
        self._recorder.event(node, "Normal", reason, f"Node {self._identity.name} status is now: {reason}")

    def _new_conditions(
        self, node: Mapping[str, Any], *, pressure: bool, ready: bool = True
    ) -> list[dict[str, Any]]:
        now = self._clock.stamp()
        rows = [("MemoryPressure", *memory_pressure(pressure=pressure))]
        rows += [(kind, "False", reason, message) for kind, reason, message, _ in _OTHERS]
        rows.append(
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
            if ready
            else (
                "Ready",
                "False",
                "KubeletNotReady",
                "container runtime status check may not have completed yet",
            )
        )
        before = {c["type"]: c for c in node.get("status", {}).get("conditions") or ()}
        return [
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": before[kind]["lastTransitionTime"]
                if kind in before and before[kind]["status"] == status
                else now,
                "reason": reason,
                "message": message,
            }
            for kind, status, reason, message in rows
        ]

    def _capacity(self) -> dict[str, str]:
        return {
            "cpu": str(self._identity.cpus),
            "devices.kubevirt.io/kvm": "1k" if self._identity.kvm else "0",
            "devices.kubevirt.io/tun": "1k",
            "devices.kubevirt.io/vhost-net": "1k",
            "ephemeral-storage": "100Gi",
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0",
            "memory": str(Quantity.of_bytes(self._memory.capacity)),
            "pods": "110",
        }

    def _allocatable(self) -> dict[str, str]:
        return {**self._capacity(), "memory": str(Quantity.of_bytes(self._memory.allocatable))}

    def _object(self) -> dict[str, Any]:
        who = self._identity
        return {
            "metadata": {
                "name": who.name,
                "labels": {
                    "beta.kubernetes.io/arch": "amd64",
                    "beta.kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    "kubernetes.io/hostname": who.name,
                    "kubernetes.io/os": "linux",
                    "kubevirt.io/schedulable": "true",
                    "kubevirt.io/ksm-enabled": "false",
                    "machine-type.node.kubevirt.io/pc": "true",
                    "machine-type.node.kubevirt.io/q35": "true",
                },
                "annotations": {
                    MARKER: "true",
                    "kubevirt.io/heartbeat": self._clock.stamp(),
                    "kubevirt.io/ksm-handler-managed": "false",
                },
            },
            "spec": {"providerID": f"embedded://{who.name}"},
            "status": {
                "capacity": self._capacity(),
                "allocatable": self._allocatable(),
                "conditions": self._new_conditions({}, pressure=False, ready=False),
                "addresses": [
                    {"type": "InternalIP", "address": who.address},
                    {"type": "Hostname", "address": who.name},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                "nodeInfo": {
                    "machineID": who.identifier,
                    "systemUUID": who.identifier,
                    "bootID": who.identifier,
                    "kernelVersion": who.kernel,
                    "osImage": "kubevirt-density embedded node",
                    "containerRuntimeVersion": who.runtime,
                    "kubeletVersion": who.kubelet_version,
                    "kubeProxyVersion": "",
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                    # setters.go: left out on a node without swap
                    **({"swap": {"capacity": int(self._swap)}} if self._swap else {}),
                },
                "images": [],
            },
        }


def _status_of(node: Mapping[str, Any], kind: str) -> str | None:
    for condition in node.get("status", {}).get("conditions") or ():
        if condition["type"] == kind:
            return str(condition["status"])
    return None
