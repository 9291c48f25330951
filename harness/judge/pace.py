"""Whether guests grew as fast as they were told to: a load that was not the scenario's refutes nothing.

A busy machine gives guests a fraction of its speed. A race that the scenario means the kernel to win is then won by the
kubelet, and that says nothing about the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.judge.timeline import Timeline

MIB = 1 << 20
SLOWEST = 0.25
"""Share of the rate asked for below which the load is another one. Under TCG guests reach a half of 200 MiB/s."""
LONG = 2.0
"""Seconds of growth from which on a rate is told: the agent reports five times a second."""
_GROW = re.compile(r"^\S+ grow\b.*?\brate=(\d+)\b")


def lagging(timeline: Timeline) -> Iterator[str]:
    """Yield, for each growth at a rate that came out slower than a quarter of it, who was how slow."""
    told = [
        (action.t, action.target, _GROW.match(str(action.args.get("line") or "")))
        for _, action in timeline.actions
        if action.what == "command"
    ]
    for number, (begin, vmi, grow) in enumerate(told):
        asked = int(grow[1]) if grow else 0
        if not asked:
            continue
        until = next((t for t, other, _ in told[number + 1 :] if other == vmi), timeline.end)
        points = [
            (said.t, said.parsed.held)
            for said in timeline.console.get(vmi, ())
            if said.parsed.word == "held" and begin <= said.t <= until and said.parsed.held is not None
        ]
        if len(points) < 2 or points[-1][0] - points[0][0] < LONG:
            continue
        (first, low), (last, high) = points[0], points[-1]
        rate = (high - low) / (last - first)
        if 0 < rate < asked * SLOWEST:
            yield (
                f"{vmi.rpartition('/')[2]} grew by {rate / MIB:.3g} MiB/s from t = {first:.1f} s on, "
                f"where {asked / MIB:.3g} MiB/s were asked for"
            )
