"""When a node's available memory fell below an eviction threshold, as an interval.

`memory.available` = node capacity − working set (docs: node-pressure-eviction; pkg/kubelet/eviction/helpers.go).
Our own cgroup samples of subject `/` are preferred (every half second or so); else stats/summary by its own
`memory.time`, which changes once per ~10 s pass. A threshold that was crossed already at the first sample is
left-censored. Excursions back above it that are shorter than one kubelet pass widen the interval instead of
restarting it, since the kubelet may not have seen them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.judge.interval import Interval
from harness.judge.samples import MemorySample
from harness.judge.timeline import Timeline
from harness.records import served
from harness.records.model import Provenance
from harness.spec.model import Scenario

PASS = 10.0
"""Seconds between two passes of the eviction manager (pkg/kubelet/kubelet.go `evictionMonitoringPeriod`)."""
SIGNAL = "memory.available"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """The node's availability fell below a threshold."""

    when: Interval
    threshold: int
    proof: tuple[int, ...]
    source: str


def kubelet_config(
    timeline: Timeline, provenance: Provenance, scenario: Scenario, node: str
) -> Mapping[str, Any]:
    """Return a node's effective kubelet configuration; what a scenario states wins over what was observed."""
    config: dict[str, Any] = {}
    if node in timeline.configz:
        config.update(timeline.configz[node][1])
    for name in (node, *(n for n, v in provenance.nodes.items() if served.dig(v, "name") == node)):
        found = provenance.kubelet.get(name)
        if isinstance(found, Mapping):
            config.update(found)
    if scenario.stated is not None:
        stated = scenario.stated.kubelet
        own = stated.get(node)
        config.update(own if isinstance(own, Mapping) else stated)
    return config


def threshold(config: Mapping[str, Any], capacity: int) -> int | None:
    """Return the highest configured memory threshold in bytes: the first one the node would cross."""
    found = []
    for which in ("evictionHard", "evictionSoft"):
        value = served.memory_threshold(served.dig(config, which, SIGNAL), capacity)
        if value is not None:
            found.append(int(value))
    return max(found, default=None)


def capacity(timeline: Timeline, provenance: Provenance, node: str, *, at: float = math.inf) -> int | None:
    """Return the node's memory capacity at a time, by its node object, else by the provenance."""
    values = timeline.node_memory.get(node)
    if values:
        return next((memory for t, memory in reversed(values) if t <= at), values[0][1])
    for value in provenance.nodes.values():
        if served.dig(value, "name") == node:
            memory = served.dig(value, "memory")
            return memory if isinstance(memory, int) else None
    return None


def series(timeline: Timeline, provenance: Provenance, node: str) -> list[tuple[MemorySample, int]]:
    """Return `(sample, available bytes)` of a node, the best source there is."""
    found = []
    for sample in timeline.node_cgroup.get(node) or timeline.node_cgroup.get("", []):
        size = capacity(timeline, provenance, node, at=sample.t)
        if size is not None:
            found.append((sample, size - sample.working_set))
    if found:
        return found
    stats = timeline.node_stats.get(node) or timeline.node_stats.get("", [])
    return [(s, s.available) for s in stats if s.available is not None]


def crossing(
    values: list[tuple[MemorySample, int]], bound: int, *, before: float = math.inf
) -> Crossing | None:
    """Return the last sustained fall below `bound` that began before a time (the first one if no time is given)."""
    falls: list[tuple[Interval, tuple[int, ...]]] = []
    rises: list[float] = []
    previous: MemorySample | None = None
    below = False
    for sample, available in values:
        now_below = available < bound
        if now_below and not below:
            if sample.when.low > before:
                break
            low = -math.inf if previous is None else previous.when.low
            lines: tuple[int, ...] = (sample.line,)
            if previous is not None:
                lines = (previous.line, sample.line)
            falls.append((Interval(low, sample.when.high), lines))
        elif below and not now_below:
            rises.append(sample.when.high)
        below, previous = now_below, sample
    if not falls:
        return None
    index = 0 if math.isinf(before) else len(falls) - 1
    first = index
    while first > 0 and falls[first][0].low - rises[first - 1] < PASS:
        first -= 1
    while math.isinf(before) and index + 1 < len(falls) and falls[index + 1][0].low - rises[index] < PASS:
        index += 1
    lines = tuple(sorted({*falls[first][1], *falls[index][1]}))
    return Crossing(
        when=Interval(falls[first][0].low, falls[index][0].high),
        threshold=bound,
        proof=lines,
        source=values[0][0].source,
    )
