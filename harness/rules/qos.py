"""QoS class of a pod, with the reason in words.

Source: Kubernetes pkg/apis/core/v1/helper/qos/qos.go `ComputePodQOS` (1.36): cpu and memory only, positive amounts only,
regular and all init containers; pod-level resources decide alone where they are set. The API server sets it at creation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from harness.rules.pods import all_containers, amount
from harness.rules.quantities import ZERO, Quantity

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]
_RESOURCES: Final = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Qos:
    """A QoS class and why it is no better one, e.g. `compute has no cpu limit`."""

    name: QosClass
    reason: str


def qos(pod_spec: Mapping[str, Any]) -> Qos:
    """Compute the QoS class of a pod spec as served (requests defaulted from limits). Raises QuantityError."""
    if pod_spec.get("resources") is not None:
        containers: tuple[Mapping[str, Any], ...] = ({"name": "the pod", "resources": pod_spec["resources"]},)
    else:
        containers = tuple(all_containers(pod_spec))
    totals = {
        (kind, name): _total(containers, kind, name) for kind in ("requests", "limits") for name in _RESOURCES
    }
    if all(total.is_zero() for total in totals.values()):
        return Qos("BestEffort", "no container has a cpu or memory request or limit")
    why = next(_obstacles(containers, totals), None)
    if why is None:
        return Qos("Guaranteed", "every container's cpu and memory limits are set and equal its requests")
    return Qos("Burstable", why)


def qos_class(pod_spec: Mapping[str, Any]) -> QosClass:
    """Compute the QoS class of a pod spec as served."""
    return qos(pod_spec).name


def _total(containers: tuple[Mapping[str, Any], ...], kind: str, name: str) -> Quantity:
    total = ZERO
    for container in containers:
        own = amount(container, kind, name)
        if own.nano > 0:
            total += own
    return total


def _obstacles(
    containers: tuple[Mapping[str, Any], ...], totals: Mapping[tuple[str, str], Quantity]
) -> Iterator[str]:
    for container in containers:
        for name in _RESOURCES:
            if amount(container, "limits", name).nano <= 0:
                yield f"{container.get('name')} has no {name} limit"
    for container in containers:
        for name in _RESOURCES:
            request, limit = amount(container, "requests", name), amount(container, "limits", name)
            if request.cmp(limit) != 0 and totals["requests", name].cmp(totals["limits", name]) != 0:
                yield f"{container.get('name')} has {name} request {request} and limit {limit}"
