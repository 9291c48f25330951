"""Many guests in one lane: sums over those that were sampled at each moment, and which few deserve lanes of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.timeline import GuestLane, Series

POINTS = 400
"""Moments at which sums are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdLane:
    """All guests of a run together, MiB."""

    title: str
    held: Series
    working_set: Series
    request: float | None
    deaths: tuple[tuple[str, tuple[float, ...]], ...]
    """Kind of mark (`evicted`, `oom`) → when."""


def chosen_few(guests: Sequence[GuestLane], most: int) -> list[GuestLane]:
    """Return those to draw one by one: first those who were taken, in order of time, then by name."""

    def rank(lane: GuestLane) -> tuple[float, str]:
        return min((m.t for m in lane.marks if m.kind in {"evicted", "oom"}), default=float("inf")), lane.name

    return sorted(guests, key=rank)[:most]


def sums(guests: Sequence[GuestLane], end: float) -> CrowdLane:
    """Return the sums. A guest counts from each sample until its next one, or until its series is interrupted."""
    requests = [g.request for g in guests if g.request is not None]
    deaths = {
        kind: tuple(sorted(min(times) for g in guests if (times := [m.t for m in g.marks if m.kind == kind])))
        for kind in ("evicted", "oom")
    }
    return CrowdLane(
        title=f"all {len(guests)} guests, sum of those sampled",
        held=_sum((g.held for g in guests), end),
        working_set=_sum((g.working_set for g in guests), end),
        request=sum(requests) if requests else None,
        deaths=tuple((kind, times) for kind, times in deaths.items() if times),
    )


def _sum(every: Iterable[Series], end: float) -> Series:
    grid = np.linspace(0.0, max(end, 1e-3), POINTS)
    step = float(grid[1] - grid[0])
    total, seen = np.zeros(POINTS), np.zeros(POINTS, dtype=bool)
    gap = step * 1.01
    for series in every:
        gap = max(gap, series.gap)
        for segment in series.segments:
            times = np.array([t for t, _ in segment])
            values = np.array([v for _, v in segment])
            at = np.searchsorted(times, grid, side="right") - 1
            inside = (at >= 0) & (grid <= times[-1] + max(series.gap, step))
            total[inside] += values[at[inside]]
            seen |= inside
    summed = Series(gap)
    for index in np.flatnonzero(seen):
        summed.add(float(grid[index]), float(total[index]))
    return summed
