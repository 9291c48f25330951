"""What of a node's memory pods may request, and what they may use together.

Source: Kubernetes pkg/kubelet/cm/node_container_manager_linux.go, pkg/kubelet/nodestatus/setters.go (1.36). Unit: bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.rules.errors import ThresholdError
from harness.rules.quantities import Quantity
from harness.rules.thresholds import MEMORY, effective_hard, enforces_pods, parse_thresholds
from harness.rules.vmi import mapping
from harness.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """How a node's memory is divided."""

    capacity: Bytes
    system_reserved: Bytes
    kube_reserved: Bytes
    eviction_hard: Bytes
    """The memory.available entry of evictionHard; soft thresholds never count."""
    allocatable: Bytes
    """capacity - reserved - eviction_hard (- hugepages), floor 0: `status.allocatable.memory`."""
    kubepods_limit: Bytes
    """`memory.max` of all pods: capacity - reserved, without the eviction term; capacity if pods aren't enforced."""


def reserved(kubelet: Mapping[str, Any], field: str) -> Bytes:
    """Memory of `systemReserved` or `kubeReserved`. Raises ThresholdError for a negative one, QuantityError."""
    value = mapping(kubelet.get(field), field).get("memory")
    quantity = Quantity.of(value) if value is not None else Quantity(0)
    if quantity.nano < 0:
        raise ThresholdError(f'resource quantity for "memory" cannot be negative: {quantity}')
    return quantity.value()


def node_memory(
    kubelet: Mapping[str, Any], *, capacity: Bytes, hugepages: int = 0, from_file: bool = True
) -> NodeMemory:
    """Divide a node's memory. Raises ThresholdError where the kubelet would refuse to start."""
    system, kube = reserved(kubelet, "systemReserved"), reserved(kubelet, "kubeReserved")
    hard = Bytes(0)
    ignore = bool(kubelet.get("experimentalAllocatableIgnoreEviction"))
    if not ignore and MEMORY in effective_hard(kubelet, from_file=from_file):
        for threshold in parse_thresholds(kubelet, from_file=from_file):
            if threshold.signal == MEMORY and threshold.hard:
                hard = threshold.value.resolve(capacity).value()
                break
    if system + kube + hard > capacity:
        raise ThresholdError(
            'invalid Node Allocatable configuration. Resource "memory" has a reservation of '
            f"{Quantity.of_bytes(system + kube + hard)} but capacity of {Quantity.of_bytes(capacity)}. "
            "Expected capacity >= reservation."
        )
    return NodeMemory(
        capacity=capacity,
        system_reserved=system,
        kube_reserved=kube,
        eviction_hard=hard,
        allocatable=Bytes(max(0, capacity - system - kube - hard - hugepages)),
        kubepods_limit=Bytes(capacity - system - kube) if enforces_pods(kubelet) else capacity,
    )


def allocatable(kubelet: Mapping[str, Any], *, capacity: Bytes) -> Bytes:
    """`status.allocatable.memory` in bytes."""
    return node_memory(kubelet, capacity=capacity).allocatable
