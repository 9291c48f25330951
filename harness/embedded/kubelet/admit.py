"""Whether the kubelet takes a pod that the scheduler gave it.

Source: Kubernetes 1.36 eviction_manager.go `Admit`, lifecycle/predicate.go (fit on the node, again).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.embedded.kubelet.pod_status import Verdict
from harness.rules.eviction import admits
from harness.rules.messages import EVICTED, MEMORY_PRESSURE_TAINT, not_admitted, out_of_memory
from harness.rules.pods import is_critical, pod_request
from harness.rules.qos import qos_class
from harness.rules.scheduling import tolerates
from harness.units import Bytes


def refuse(
    pod: Mapping[str, Any],
    *,
    others: Sequence[Mapping[str, Any]],
    cpu_milli: int,
    allocatable: Bytes,
    conditions: frozenset[str],
) -> Verdict | None:
    """Return why the pod is refused, None if it is taken. `others`: specs of the pods that run here already."""
    spec = pod["spec"]
    if all(container["name"] != "compute" for container in spec.get("containers") or ()):
        return Verdict(
            reason="NotSupported",
            message="this cluster runs virt-launcher pods only: its nodes have no container runtime",
            disruption=False,
        )
    taint = {"key": MEMORY_PRESSURE_TAINT, "effect": "NoSchedule"}
    if not admits(
        conditions,
        critical=is_critical(spec),
        qos=qos_class(spec),
        tolerates_memory_pressure=tolerates(taint, spec.get("tolerations") or ()),
    ):
        return Verdict(reason=EVICTED, message=not_admitted(sorted(conditions)), disruption=False)
    asked = pod_request(spec, "memory").value()
    used = Bytes(sum(pod_request(other, "memory").value() for other in others))
    if asked > 0 and asked + used > allocatable:
        reason, message = out_of_memory(requested=asked, used=used, capacity=allocatable)
        return Verdict(reason=reason, message=message, disruption=False)
    cpu = pod_request(spec, "cpu").milli_value()
    cpu_used = sum(pod_request(other, "cpu").milli_value() for other in others)
    if cpu > 0 and cpu + cpu_used > cpu_milli:
        amounts = f"requested: {cpu}, used: {cpu_used}, capacity: {cpu_milli}"
        return Verdict(
            reason="OutOfcpu", message=f"Node didn't have enough resource: cpu, {amounts}", disruption=False
        )
    return None
