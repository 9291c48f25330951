"""What cgroups a pod gets on the machine: QoS parent, limits, swap, oom_score_adj."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.embedded.machine.base import ContainerShape, PodShape
from harness.rules.oom import oom_score_adj
from harness.rules.pods import amount, is_sidecar, pod_memory_limit
from harness.rules.qos import qos_class
from harness.rules.swap import NO_SWAP, container_swap
from harness.units import Bytes

_NONE = Bytes(0)


def pod_shape(
    pod: Mapping[str, Any], *, capacity: Bytes, swap: Bytes = _NONE, behavior: str = NO_SWAP
) -> PodShape:
    """Return the shape of a pod as served.

    `capacity`: the node's memory, which oom_score_adj is relative to. `swap`: the node's SwapTotal. `behavior`: the
    kubelet's swapBehavior; a real one has LimitedSwap on cgroup v2 only, ours also on v1, as well as that can bound swap.
    """
    spec, metadata = pod["spec"], pod["metadata"]
    qos = qos_class(spec)
    limit = pod_memory_limit(spec, qos)
    lasting = [
        *spec.get("containers", ()),
        *(container for container in spec.get("initContainers") or () if is_sidecar(container)),
    ]
    return PodShape(
        uid=metadata["uid"],
        name=metadata["name"],
        qos=qos,
        limit=None if limit is None else limit.value(),
        containers={
            container["name"]: ContainerShape(
                limit=_limit(container),
                oom_score_adj=oom_score_adj(spec, container["name"], capacity=capacity, qos=qos),
                swap=container_swap(
                    spec,
                    container["name"],
                    qos=qos,
                    behavior=behavior,
                    memory_total=capacity,
                    swap_total=swap,
                )[0]
                if swap
                else None,
            )
            for container in lasting
        },
    )


def _limit(container: Mapping[str, Any]) -> Bytes | None:
    limit = amount(container, "limits", "memory")
    return None if limit.is_zero() else limit.value()
