"""What a node's own pods request: room that a scenario's fleet does not find there.

A node on `local` holds guests only; a kind worker also virt-handler (325Mi) and the network's daemon (50Mi).
"""

from __future__ import annotations

from harness.kube.objects import Objects
from harness.kube.resources import PODS
from harness.rules.scheduling import demand
from harness.units import Bytes

_OVER = frozenset({"Succeeded", "Failed"})


async def requested(objects: Objects, node: str) -> Bytes:
    """Return the memory that pods on a node request, without those that are over or on their way out.

    Raises KubeError.
    """
    pods, _ = await objects.list_all(PODS, fields=f"spec.nodeName={node}")
    staying = (
        pod
        for pod in pods
        if (pod.get("status") or {}).get("phase") not in _OVER
        and not (pod.get("metadata") or {}).get("deletionTimestamp")
    )
    return Bytes(sum(demand(pod["spec"]).memory for pod in staying))
