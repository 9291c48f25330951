"""Whom the kubelet evicts for memory: the order of its active pods.

Source: Kubernetes pkg/kubelet/eviction/helpers.go `rankMemoryPressure` (1.36): usage over request first, then lower
priority, then larger usage - request; pods without statistics before all; no QoS class anywhere. Unit: bytes.
The kubelet sorts unstably on statistics that are up to 20 s (idle 30 s) old: equal pods, and pods whose difference is
less than they grow in that time, may come in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUsage:
    """A pod as the ranking sees it."""

    name: str
    request: Bytes
    """Total memory request (rules.pods.pod_request), sidecars included."""
    working_set: Bytes | None
    """As last sampled; None: no statistics yet."""
    priority: int = 0
    critical: bool = False
    """Static, mirror or priority >= 2000000000: ranked, but never evicted."""

    @property
    def exceeds(self) -> bool:
        """Uses more than it requested. Without statistics: unknown, False."""
        return self.working_set is not None and self.working_set > self.request

    @property
    def excess(self) -> int:
        """Usage - request in bytes, negative below its request; 0 without statistics."""
        return 0 if self.working_set is None else self.working_set - self.request


def rank_key(pod: PodUsage) -> tuple[bool, bool, int, int]:
    """Sort key, smallest first: has statistics, is within its request, priority, - excess."""
    return (pod.working_set is not None, not pod.exceeds, pod.priority, -pod.excess)


def rank(pods: Sequence[PodUsage]) -> list[PodUsage]:
    """Order pods for eviction, first first. Ties keep their order here; in the kubelet they are arbitrary."""
    return sorted(pods, key=rank_key)


def victims(pods: Sequence[PodUsage]) -> list[PodUsage]:
    """Those that may be the first to go: the best evictable rank and what ties with it."""
    ordered = [pod for pod in rank(pods) if not pod.critical]
    return [pod for pod in ordered if rank_key(pod) == rank_key(ordered[0])]


def victim(pods: Sequence[PodUsage]) -> PodUsage | None:
    """Pick the pod this pass evicts: the first that isn't critical."""
    return next((pod for pod in rank(pods) if not pod.critical), None)
