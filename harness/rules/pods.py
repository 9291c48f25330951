"""What the scheduler and the kubelet read from a pod spec: its total request, whether it is critical, its containers.

Source: Kubernetes staging/src/k8s.io/component-helpers/resource/helpers.go `PodRequests`,
pkg/api/v1/resource/helpers.go `GetResourceRequestQuantity`, pkg/kubelet/types/pod_update.go `IsCriticalPod` (1.36).
Unit: memory in bytes, cpu in milli.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules.quantities import ZERO, Quantity
from harness.rules.vmi import get, items

SYSTEM_CRITICAL_PRIORITY: Final = 2_000_000_000
"""`SystemCriticalPriority` (pkg/apis/scheduling/types.go)."""
NODE_CRITICAL_CLASS: Final = "system-node-critical"


def amount(container: Mapping[str, Any], kind: str, name: str) -> Quantity:
    """Request or limit of a container or pod (`resources.<kind>.<name>`), zero if absent."""
    value = get(container, "resources", kind, name)
    return ZERO if value is None else Quantity.of(value)


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """An init container that is restarted always runs beside the others."""
    return container.get("restartPolicy") == "Always"


def all_containers(pod_spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Regular containers, then init containers (sidecars among them)."""
    yield from items(pod_spec, "containers")
    yield from items(pod_spec, "initContainers")


def find(pod_spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the container of that name. Raises KeyError."""
    for container in all_containers(pod_spec):
        if container.get("name") == name:
            return container
    raise KeyError(name)


def pod_amount(pod_spec: Mapping[str, Any], kind: str, name: str) -> Quantity:
    """Total request or limit of a pod: containers and sidecars, or the largest init stage; pod level first; plus overhead."""
    if get(pod_spec, "resources", kind, name) is not None:
        total = amount(pod_spec, kind, name)
    else:
        total = ZERO
        for container in items(pod_spec, "containers"):
            total += amount(container, kind, name)
        sidecars, largest = ZERO, ZERO
        for container in items(pod_spec, "initContainers"):
            own = amount(container, kind, name)
            if is_sidecar(container):
                sidecars += own
                stage = sidecars
            else:
                stage = own + sidecars
            largest = max(largest, stage, key=lambda quantity: quantity.nano)
        total = max(total + sidecars, largest, key=lambda quantity: quantity.nano)
    overhead = get(pod_spec, "overhead", name)
    if overhead is not None and not total.is_zero():
        total += Quantity.of(overhead)
    return total


def pod_request(pod_spec: Mapping[str, Any], name: str = "memory") -> Quantity:
    """What the scheduler counts and what the kubelet's ranking compares usage with."""
    return pod_amount(pod_spec, "requests", name)


def pod_memory_limit(pod_spec: Mapping[str, Any], qos: str) -> Quantity | None:
    """`memory.max` of the pod's cgroup, None for none (pkg/kubelet/cm/helpers_linux.go ResourceConfigForPod).

    Set for Guaranteed pods, and for Burstable ones whose every container (init included) has a memory limit.
    """
    if get(pod_spec, "resources", "limits", "memory") is not None or qos == "Guaranteed":
        limit = pod_amount(pod_spec, "limits", "memory")
        return None if limit.is_zero() else limit
    if qos == "Burstable" and all(
        not amount(container, "limits", "memory").is_zero() for container in all_containers(pod_spec)
    ):
        return pod_amount(pod_spec, "limits", "memory")
    return None


def is_critical(
    pod_spec: Mapping[str, Any], *, annotations: Mapping[str, str] | None = None, static: bool = False
) -> bool:
    """Static and mirror pods, and priorities from 2000000000 on: never evicted for memory."""
    mirror = annotations is not None and "kubernetes.io/config.mirror" in annotations
    priority = pod_spec.get("priority")
    return static or mirror or (priority is not None and int(priority) >= SYSTEM_CRITICAL_PRIORITY)
