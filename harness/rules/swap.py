"""How much swap a container may use.

Source: Kubernetes pkg/kubelet/kuberuntime/kuberuntime_container_linux.go (1.36; NodeSwap GA since 1.34). Unit: bytes.
Eviction ignores swap: memory.available counts MemTotal and working sets only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness.rules.errors import ThresholdError
from harness.rules.pods import amount, find, is_critical
from harness.rules.vmi import mapping
from harness.units import Bytes

NO_SWAP: Final = "NoSwap"
LIMITED_SWAP: Final = "LimitedSwap"


def swap_behavior(kubelet: Mapping[str, Any]) -> str:
    """`memorySwap.swapBehavior`; NoSwap if unset. Raises ThresholdError for another value."""
    value = mapping(kubelet.get("memorySwap"), "memorySwap").get("swapBehavior") or NO_SWAP
    if value not in {NO_SWAP, LIMITED_SWAP}:
        raise ThresholdError(
            f'invalid configuration: memorySwap.swapBehavior "{value}" must be one of: "", "{LIMITED_SWAP}" or "{NO_SWAP}"'
        )
    return str(value)


def why_not_started(kubelet: Mapping[str, Any], *, swap_total: Bytes) -> str:
    """Why a kubelet refuses to start on a node with swap, in its words (container_manager_linux.go); '' if it starts."""
    if swap_total and kubelet.get("failSwapOn", True):
        return (
            "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false"
        )
    return ""


def swap_share(request: Bytes, *, memory_total: Bytes, swap_total: Bytes) -> Bytes:
    """`memory.swap.max` under LimitedSwap: request / MemTotal x SwapTotal in float64, truncated. 0 above MemTotal.

    The kernel rounds it down to pages of 4096 bytes.
    """
    if memory_total <= 0 or request > memory_total:
        return Bytes(0)
    return Bytes(int(float(request) / float(memory_total) * float(swap_total)))


def container_swap(
    pod_spec: Mapping[str, Any],
    container: str,
    *,
    qos: str,
    behavior: str,
    memory_total: Bytes,
    swap_total: Bytes,
) -> tuple[Bytes, str]:
    """Swap a container gets (cgroup v2 only) and, where it is none, why. Raises KeyError for an unknown container."""
    found = find(pod_spec, container)
    request = amount(found, "requests", "memory")
    limit = amount(found, "limits", "memory")
    why = ""
    if behavior != LIMITED_SWAP:
        why = "swapBehavior is NoSwap"
    elif swap_total == 0:
        why = "the node has no swap"
    elif is_critical(pod_spec):
        why = "the pod is critical"
    elif qos != "Burstable":
        why = f"the pod is {qos}"
    elif request.is_zero() and limit.is_zero():
        why = "no memory request or limit"
    elif request.cmp(limit) == 0:
        why = "memory request equals limit"
    if why:
        return Bytes(0), why
    return swap_share(request.value(), memory_total=memory_total, swap_total=swap_total), ""
