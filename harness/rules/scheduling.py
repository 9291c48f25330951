"""Which node takes a pod: fit, taints and scores.

Source: Kubernetes pkg/scheduler/framework/plugins/{noderesources,tainttoleration}, apis/config/v1/defaults.go (1.36).
Unit: memory in bytes, cpu in milli. Usage and working sets are no input: only requests are, and MemoryPressure by its taint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness.rules.pods import pod_request
from harness.rules.vmi import items
from harness.units import Bytes

DEFAULT_CPU_MILLI: Final = 100
DEFAULT_MEMORY: Final = Bytes(200 << 20)
"""What a missing request counts as in scores (not in the fit): scheduler/util/pod_resources.go."""
UNTOLERATED: Final = "node(s) had untolerated taint(s)"
INSUFFICIENT_MEMORY: Final = "Insufficient memory"
INSUFFICIENT_CPU: Final = "Insufficient cpu"
TOO_MANY_PODS: Final = "Too many pods"
MAX_PODS: Final = 110
"""kubelet `maxPods`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a pod, or all pods of a node, request."""

    memory: Bytes = Bytes(0)
    cpu_milli: int = 0
    scored_memory: Bytes = Bytes(0)
    """As scores count it, missing requests replaced."""
    scored_cpu_milli: int = 0
    pods: int = 0

    def __add__(self, other: Demand) -> Demand:
        return Demand(
            memory=Bytes(self.memory + other.memory),
            cpu_milli=self.cpu_milli + other.cpu_milli,
            scored_memory=Bytes(self.scored_memory + other.scored_memory),
            scored_cpu_milli=self.scored_cpu_milli + other.scored_cpu_milli,
            pods=self.pods + other.pods,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a node offers and what is requested of it already."""

    name: str
    memory: Bytes
    """`status.allocatable.memory`."""
    cpu_milli: int
    used: Demand = field(default_factory=Demand)
    taints: tuple[Mapping[str, Any], ...] = ()
    max_pods: int = MAX_PODS


def demand(pod_spec: Mapping[str, Any]) -> Demand:
    """Requests of one pod: containers and sidecars, or the largest init stage, plus overhead."""
    memory = pod_request(pod_spec, "memory").value()
    cpu = pod_request(pod_spec, "cpu").milli_value()
    return Demand(
        memory=memory,
        cpu_milli=cpu,
        scored_memory=memory or DEFAULT_MEMORY,
        scored_cpu_milli=cpu or DEFAULT_CPU_MILLI,
        pods=1,
    )


def tolerates(taint: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a toleration covers a taint (component-helpers ToleratesTaint)."""
    for toleration in tolerations:
        if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
            continue
        if toleration.get("key") and toleration["key"] != taint.get("key"):
            continue
        operator = toleration.get("operator") or "Equal"
        if operator == "Exists" or (
            operator == "Equal"
            and toleration.get("key")
            and (toleration.get("value") or "") == (taint.get("value") or "")
        ):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a node can't take a pod (no reason: it can), and whether evicting others by priority could help."""

    reasons: tuple[str, ...]
    preemption_helps: bool = True

    @property
    def fits(self) -> bool:
        """Whether the node can take the pod."""
        return not self.reasons


def fit(pod_spec: Mapping[str, Any], room: Room) -> Verdict:
    """Filter one node: untolerated NoSchedule/NoExecute taints first, then pod count, cpu and memory."""
    tolerations = tuple(items(pod_spec, "tolerations"))
    if any(
        taint.get("effect") in {"NoSchedule", "NoExecute"} and not tolerates(taint, tolerations)
        for taint in room.taints
    ):
        return Verdict((UNTOLERATED,), preemption_helps=False)
    wanted = demand(pod_spec)
    reasons: list[str] = []
    helps = True
    if room.used.pods + 1 > room.max_pods:
        reasons.append(TOO_MANY_PODS)
    for reason, asked, offered, used in (
        (INSUFFICIENT_CPU, wanted.cpu_milli, room.cpu_milli, room.used.cpu_milli),
        (INSUFFICIENT_MEMORY, int(wanted.memory), int(room.memory), int(room.used.memory)),
    ):
        if asked > 0 and asked > offered - used:
            reasons.append(reason)
            helps = helps and asked <= offered
    return Verdict(tuple(reasons), preemption_helps=helps)


def least_allocated(wanted: Demand, room: Room) -> int:
    """LeastAllocated, cpu and memory alike: mean of (allocatable - requested) x 100 / allocatable, 0 … 100."""
    total = 0
    for asked, offered in _scored(wanted, room):
        total += 0 if offered == 0 or asked > offered else (offered - asked) * 100 // offered
    return total // 2


def balanced_allocation(wanted: Demand, room: Room) -> int:
    """BalancedAllocation: (1 - |cpu share - memory share| / 2) x 100, shares of at most 1."""
    shares = [min(1.0, asked / offered) if offered else 1.0 for asked, offered in _scored(wanted, room)]
    return math.floor((1 - abs(shares[0] - shares[1]) / 2) * 100)


def _scored(wanted: Demand, room: Room) -> tuple[tuple[int, int], ...]:
    return (
        (room.used.scored_cpu_milli + wanted.scored_cpu_milli, room.cpu_milli),
        (int(room.used.scored_memory) + int(wanted.scored_memory), int(room.memory)),
    )


def score(pod_spec: Mapping[str, Any], room: Room) -> int:
    """Sum of the two resource scores at their default weight 1. Ties: random among the best [MEM]."""
    wanted = demand(pod_spec)
    return least_allocated(wanted, room) + balanced_allocation(wanted, room)


def how_many(pod_spec: Mapping[str, Any], room: Room, *, limit: int = 100_000) -> tuple[int, tuple[str, ...]]:
    """How many such pods the node takes in turn, and what stops the next one."""
    wanted = demand(pod_spec)
    count = limit
    stops: list[tuple[int, str]] = [(room.max_pods - room.used.pods, TOO_MANY_PODS)]
    if wanted.cpu_milli:
        stops.append(((room.cpu_milli - room.used.cpu_milli) // wanted.cpu_milli, INSUFFICIENT_CPU))
    if wanted.memory:
        stops.append((int(room.memory - room.used.memory) // int(wanted.memory), INSUFFICIENT_MEMORY))
    count = max(0, min(number for number, _ in stops))
    return count, tuple(reason for number, reason in stops if max(0, number) == count)
