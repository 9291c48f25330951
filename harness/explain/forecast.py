"""Where a scenario's workload takes each node: used memory step by step, which line it crosses, and who comes first.

Arithmetic over estimates: idle working sets are measured (or assumed), growth is as asked. Unit: bytes, seconds.
Who wins between kubelet and kernel is a HYPOTHESIS from the kubelet's loop constants, not a measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.rules.allocatable import NodeMemory
from harness.rules.ranking import PodUsage, rank
from harness.rules.thresholds import MEMORY, Threshold
from harness.spec.model import Amount, Step
from harness.units import Bytes, Seconds

MIB: Final = 1 << 20
POLL: Final = Seconds(10.0)
"""The kubelet looks once in 10 s (kubelet.go evictionMonitoringPeriod)."""
KILL: Final = Seconds(3.0)
"""From the decision until the victim's memory is free: SIGKILL after 2 s, and the end of a large process."""
FASTEST: Final = Bytes(320 * MIB)
"""Bytes per second one guest fills at most under TCG."""
BAND: Final = 0.25
"""Idle working sets are taken as known to this share only."""


@dataclass(slots=True, kw_only=True)
class Member:
    """One VMI on its node."""

    name: str
    fleet: str
    guest: Bytes
    request: Bytes
    limit: Bytes | None
    """memory.max of its compute container."""
    priority: int
    idle: Bytes
    held: Bytes = field(default=Bytes(0))
    daemon: bool = False
    """A process of the node's own: it uses memory, and no kubelet ranks it."""

    @property
    def working_set(self) -> Bytes:
        """Idle use and what the workload holds."""
        return Bytes(self.idle + self.held)

    @property
    def available(self) -> Bytes:
        """MemAvailable of the guest at hello, roughly: size - kernel and page structs (36 MiB + 1/64) - 45 MiB in use."""
        return Bytes(max(0, self.guest - 36 * MIB - self.guest // 64 - 45 * MIB))

    def usage(self) -> PodUsage:
        """As the kubelet ranks it."""
        return PodUsage(
            name=self.name, request=self.request, working_set=self.working_set, priority=self.priority
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A threshold that a step takes a node across."""

    step: str
    line: int
    threshold: Threshold
    below: Bytes
    final: int
    """Memory available when the step is done if nobody dies; negative: more than the node has."""
    growth: Bytes
    """Bytes per second on this node during the step."""
    ranking: tuple[PodUsage, ...]
    """Members as ranked at the crossing, first first."""

    @property
    def kernel_first(self) -> float:
        """Chance (0 … 1) that the kernel kills before the kubelet: HYPOTHESIS, see `race`."""
        if self.final > 0:
            return 0.0
        return race(Bytes(self.below), self.growth)


def race(headroom: Bytes, growth: Bytes) -> float:
    """Chance that memory runs out before the kubelet has freed some, at constant growth (HYPOTHESIS, not measured).

    The kubelet looks at a random moment within 10 s and needs 3 s more: P = clamp((10 + 3 - headroom / growth) / 10).
    """
    if growth <= 0:
        return 0.0
    return min(1.0, max(0.0, (POLL + KILL - headroom / growth) / POLL))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOom:
    """A member that outgrows its own container's limit."""

    step: str
    line: int
    member: str
    fleet: str
    limit: Bytes
    wanted: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a workload does to one node."""

    crossings: tuple[Crossing, ...]
    container_ooms: tuple[ContainerOom, ...]
    peak: Mapping[str, Bytes]
    """Largest working set of each member."""
    idle: int
    """Memory available on the node before the first step."""
    lowest: int
    """Least memory available on the node at the end of any step."""


def forecast(
    members: Sequence[Member], steps: Iterable[Step], thresholds: Sequence[Threshold], node: NodeMemory
) -> Forecast:
    """Run the steps one after the other over the members of one node. Nobody dies in a forecast."""
    crossings: list[Crossing] = []
    ooms: list[ContainerOom] = []
    peak = {member.name: member.working_set for member in members}
    lowest = idle = _left(members, node)
    crossed = {threshold for threshold in thresholds if _below(threshold, node) > lowest}
    for step in steps:
        chosen = [member for member in members if _in(member, step)]
        if step.verb == "shrink":
            for member in chosen:
                member.held = Bytes(min(member.held, _target(member, step.to)))
            continue
        if step.verb != "grow" or not chosen:
            continue
        growth = Bytes(sum(step.rate or FASTEST for _ in chosen))
        _grow(chosen, step, members, thresholds, node)
        left = _left(members, node)
        lowest = min(lowest, left)
        for threshold in thresholds:
            if threshold not in crossed and _below(threshold, node) > left:
                crossed.add(threshold)
                crossings.append(_crossing(threshold, step, members, node, growth=growth, left=left))
        for member in chosen:
            peak[member.name] = max(peak[member.name], member.working_set)
            if member.limit is not None and member.working_set > member.limit:
                ooms.append(_oom(member, member.limit, step))
    return Forecast(
        crossings=tuple(crossings), container_ooms=tuple(ooms), peak=peak, idle=idle, lowest=lowest
    )


def _in(member: Member, step: Step) -> bool:
    if member.daemon:
        return member.name in step.daemons
    return "all" in step.fleets or member.fleet in step.fleets


def _oom(member: Member, limit: Bytes, step: Step) -> ContainerOom:
    return ContainerOom(
        step=step.name,
        line=step.line,
        member=member.name,
        fleet=member.fleet,
        limit=limit,
        wanted=member.working_set,
    )


def _crossing(
    threshold: Threshold,
    step: Step,
    members: Sequence[Member],
    node: NodeMemory,
    *,
    growth: Bytes,
    left: int,
) -> Crossing:
    return Crossing(
        step=step.name,
        line=step.line,
        threshold=threshold,
        below=_below(threshold, node),
        final=left,
        growth=growth,
        ranking=tuple(rank([member.usage() for member in members if not member.daemon])),
    )


def _whole(threshold: Threshold, node: NodeMemory) -> Bytes:
    return node.capacity if threshold.signal == MEMORY else node.kubepods_limit


def _below(threshold: Threshold, node: NodeMemory) -> Bytes:
    """Threshold seen from the node's end: what is left of its capacity when it is met."""
    below = threshold.value.resolve(_whole(threshold, node)).value()
    return Bytes(below + node.capacity - _whole(threshold, node))


def _left(members: Sequence[Member], node: NodeMemory) -> int:
    return node.capacity - sum(member.working_set for member in members)


def _target(member: Member, amount: Amount | None) -> Bytes:
    if amount is None:
        return member.held
    if amount.bytes is not None:
        return amount.bytes
    return Bytes(int(member.available * (amount.share or 0.0)))


def _grow(
    chosen: Sequence[Member],
    step: Step,
    members: Sequence[Member],
    thresholds: Sequence[Threshold],
    node: NodeMemory,
) -> None:
    if step.until is None:
        for member in chosen:
            member.held = Bytes(max(member.held, _target(member, step.to)))
        return
    goal = step.until.bytes
    if goal is None:
        wanted = step.until.threshold or "hard"
        values = [
            _below(threshold, node)
            for threshold in thresholds
            if threshold.signal == MEMORY and threshold.hard == (wanted == "hard")
        ]
        goal = Bytes((values[0] if values else 0) + step.until.offset)
    more = max(0, _left(members, node) - goal)
    for member in chosen:
        member.held = Bytes(member.held + more // len(chosen))
