"""The kubelet's eviction manager as a pure step: what one pass makes of what it observes.

Source: Kubernetes pkg/kubelet/eviction/eviction_manager.go `synchronize`, helpers.go (1.36). Unit: bytes, seconds.
A pass evicts at most one pod for memory; the caller ranks (rules.ranking), computes the grace (rules.grace), and calls
the next pass at once after an eviction, else 10 s after the end of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from harness.rules.quantities import Quantity
from harness.rules.thresholds import Threshold
from harness.units import Bytes, Seconds

MONITORING_INTERVAL: Final = Seconds(10.0)
"""Counted from the end of the previous pass (kubelet.go evictionMonitoringPeriod)."""
CLEANUP_TIMEOUT: Final = Seconds(30.0)
"""Longest wait for the evicted pod's volumes and cgroups before the next pass."""
_SLOTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One signal: what is available of what there is, and when that was measured."""

    available: int
    """Bytes; may be negative, as in the kubelet, where the working set exceeds the limit."""
    capacity: Bytes
    time: Seconds

    @property
    def quantity(self) -> Quantity:
        """Available, as the kubelet prints it."""
        return Quantity.of_bytes(self.available)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionState:
    """What the eviction manager remembers; a kubelet restart begins with an empty one."""

    first_observed: Mapping[Threshold, Seconds] = field(default_factory=dict)
    """When each threshold that is met now was first seen met without interruption; insertion order matters."""
    last_condition: Mapping[str, Seconds] = field(default_factory=dict)
    """When each node condition was last seen."""
    met: tuple[Threshold, ...] = ()
    """Thresholds met past their grace in the previous pass: these hold until their minimum is reclaimed."""
    observed_at: Mapping[str, Seconds] = field(default_factory=dict)
    """Measurement times of the previous pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass concludes."""

    state: EvictionState
    conditions: frozenset[str]
    """Node conditions to report, e.g. MemoryPressure; admission uses them at once."""
    met: tuple[Threshold, ...]
    """Thresholds met, whatever their grace."""
    eligible: tuple[Threshold, ...]
    """Those past their grace and newly measured: one of them evicts."""
    chosen: Threshold | None
    """The threshold acted on: its grace decides the victim's, its value stands in the Evicted message."""

    @property
    def pressure(self) -> bool:
        """Whether MemoryPressure is to be reported."""
        return "MemoryPressure" in self.conditions


Choose = Callable[[Sequence[Threshold]], Threshold]
"""Which of several memory thresholds is acted on. In the kubelet it's random."""


def is_met(threshold: Threshold, observations: Mapping[str, Observation], *, reclaim: bool) -> bool:
    """Strictly less than the threshold (plus its minimum reclaim); not met where the signal isn't observed."""
    observation = observations.get(threshold.signal)
    if observation is None:
        return False
    limit = threshold.value.resolve(observation.capacity).value()
    if reclaim and threshold.min_reclaim is not None:
        limit = Bytes(limit + threshold.min_reclaim.resolve(observation.capacity).value())
    return limit > observation.available


def seeded_choice(random: Random) -> Choose:
    """Choose as one build of the kubelet was seen to (Go >= 1.24): the newest threshold 9 - n times in 8, else another.

    With hard and soft met the soft one acts 7 times in 8, with the allocatable copy met too that one 6 times in 8.
    An artefact of Go's map iteration and an inconsistent comparator: claims may say no more than "random".
    """

    def choose(candidates: Sequence[Threshold]) -> Threshold:
        if len(candidates) > _SLOTS:
            return random.choice(candidates)
        offset = random.randrange(_SLOTS)
        return candidates[offset - 1] if 0 < offset < len(candidates) else candidates[-1]

    return choose


def step(
    state: EvictionState,
    *,
    now: Seconds,
    thresholds: Sequence[Threshold],
    observations: Mapping[str, Observation],
    transition: Seconds,
    choose: Choose,
) -> Pass:
    """Run one pass. Pure: the same arguments (and draw of `choose`) give the same pass."""
    met = tuple(threshold for threshold in thresholds if is_met(threshold, observations, reclaim=False))
    held = tuple(
        threshold
        for threshold in state.met
        if threshold not in met and is_met(threshold, observations, reclaim=True)
    )
    met += held
    first = {threshold: state.first_observed.get(threshold, now) for threshold in met}
    last = {**state.last_condition, **dict.fromkeys((threshold.condition for threshold in met), now)}
    conditions = frozenset(condition for condition, at in last.items() if now - at < transition)
    past_grace = tuple(threshold for threshold, at in first.items() if now - at >= threshold.grace)
    eligible = tuple(
        threshold
        for threshold in past_grace
        if threshold.signal not in state.observed_at
        or observations[threshold.signal].time > state.observed_at[threshold.signal]
    )
    candidates = tuple(threshold for threshold in eligible if threshold.memory) or eligible
    return Pass(
        state=EvictionState(
            first_observed=first,
            last_condition=last,
            met=past_grace,
            observed_at={signal: observation.time for signal, observation in observations.items()},
        ),
        conditions=conditions,
        met=met,
        eligible=eligible,
        chosen=choose(candidates) if candidates else None,
    )


def admits(conditions: frozenset[str], *, critical: bool, qos: str, tolerates_memory_pressure: bool) -> bool:
    """Whether the kubelet admits a pod under these node conditions (eviction_manager.go `Admit`)."""
    if not conditions or critical:
        return True
    if conditions == {"MemoryPressure"}:
        return qos != "BestEffort" or tolerates_memory_pressure
    return False
