"""The words Kubernetes and KubeVirt use for what happens to a pod, a node, a VMI.

Source: Kubernetes pkg/kubelet/eviction/helpers.go, pkg/kubelet/nodestatus/setters.go, pkg/scheduler (1.36);
KubeVirt pkg/virt-handler/controller.go, pkg/virt-controller (main). Checked against the recordings in tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.rules.eviction import Observation
from harness.rules.quantities import Quantity
from harness.rules.thresholds import Threshold
from harness.units import Bytes

EVICTED: Final = "Evicted"
EVICTION_THRESHOLD_MET: Final = ("EvictionThresholdMet", "Attempting to reclaim memory")
"""Reason and message of the node's Warning event."""
MEMORY_PRESSURE_TAINT: Final = "node.kubernetes.io/memory-pressure"

SHUT_DOWN: Final = ("Normal", "Stopped", "The VirtualMachineInstance was shut down.")
CRASHED: Final = ("Warning", "Stopped", "The VirtualMachineInstance crashed.")
SHUTTING_DOWN: Final = ("Normal", "ShuttingDown", "Signaled Graceful Shutdown")
STARTED: Final = ("Normal", "Started", "VirtualMachineInstance started.")
DELETION: Final = ("Normal", "Deleted", "Signaled Deletion")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """A container as the Evicted message sees it, in the order of the pod's statistics."""

    name: str
    working_set: Bytes
    request: Quantity


def evicted(threshold: Threshold, observation: Observation, containers: Sequence[ContainerUsage] = ()) -> str:
    """Message of the Evicted event, pod status and DisruptionTarget condition; containers within their request are left out."""
    text = "The node was low on resource: memory. "
    text += (
        f"Threshold quantity: {threshold.value.resolve(observation.capacity)}, "
        f"available: {observation.quantity}. "
    )
    for container in containers:
        usage = Quantity.of_bytes(container.working_set)
        if usage.cmp(container.request) > 0:
            text += (
                f"Container {container.name} was using {usage}, request is {container.request}, "
                "has larger consumption of memory. "
            )
    return text


def evicted_annotations(containers: Sequence[ContainerUsage]) -> dict[str, str]:
    """Annotations of the Evicted event."""
    over = [container for container in containers if container.working_set > container.request.value()]
    out = {"starved_resource": "memory"}
    if over:
        out["offending_containers"] = ",".join(container.name for container in over)
        out["offending_containers_usage"] = ",".join(
            str(Quantity.of_bytes(container.working_set)) for container in over
        )
    return out


def not_admitted(conditions: Sequence[str]) -> str:
    """Message of a pod the kubelet refused under pressure (phase Failed, reason Evicted, no DisruptionTarget)."""
    return f"Pod was rejected: The node had condition: [{' '.join(conditions)}]. "


def memory_pressure(*, pressure: bool) -> tuple[str, str, str]:
    """Status, reason and message of the node condition MemoryPressure."""
    if pressure:
        return "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"
    return "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"


def memory_pressure_event(node: str, *, pressure: bool) -> tuple[str, str, str]:
    """Type, reason and message of the node event when MemoryPressure changes."""
    reason = "NodeHasInsufficientMemory" if pressure else "NodeHasSufficientMemory"
    return "Normal", reason, f"Node {node} status is now: {reason}"


def system_oom(process: str, pid: int) -> tuple[str, str, str]:
    """Type, reason and message of the node event after a global OOM; a container's OOM has no event."""
    return "Warning", "SystemOOM", f"System OOM encountered, victim process: {process}, pid: {pid}"


def out_of_memory(*, requested: Bytes, used: Bytes, capacity: Bytes) -> tuple[str, str]:
    """Reason and message of a pod the kubelet refused because it doesn't fit (lifecycle/predicate.go)."""
    amounts = f"requested: {requested}, used: {used}, capacity: {capacity}"
    return "OutOfmemory", f"Node didn't have enough resource: memory, {amounts}"


def failed_scheduling(reasons: Mapping[str, int], *, nodes: int, helpless: int | None = None) -> str:
    """Message of FailedScheduling and of PodScheduled=False: counted reasons in alphabetical order, then preemption.

    `helpless`: nodes where preemption cannot help; the others have no victims. None: all of them.
    """
    helpless = nodes if helpless is None else helpless
    counted = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    preemption: list[str] = []
    if nodes - helpless:
        preemption.append(f"{nodes - helpless} No preemption victims found for incoming pod")
    if helpless:
        preemption.append(f"{helpless} Preemption is not helpful for scheduling")
    return (
        f"0/{nodes} nodes are available: {counted}. no new claims to deallocate, "
        f"preemption: 0/{nodes} nodes are available: {', '.join(sorted(preemption))}."
    )
