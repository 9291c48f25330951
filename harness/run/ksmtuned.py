"""KSM tuned by a file while a run goes on, as ksmtuned does on a node: `host.ksm.tuned`.

ksmtuned takes the machine's memory for all there is. Here the node's is meant, which is smaller: total is the node's size, free
its `memory.available` (for MemFree + Buffers + Cached), committed the resident memory of the node's QEMU processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from harness.cluster.base import Cluster, NodeHandle
from harness.rules.ksmtuned import KsmtunedSettings, adjust, settings
from harness.run.preparing import tune
from harness.run.stream import Stream
from harness.run.tasks import Background
from harness.run.world import World
from harness.spec.model import KsmTuned, Scenario
from harness.units import Seconds

KIB = 1024
NAME = "ksmtuned"
"""`by` of the actions that it does."""


@dataclass(slots=True, kw_only=True)
class Ksmtuned:
    """Looks at one node once an interval and sets KSM of its machine. `run` is its task."""

    tuned: KsmTuned
    node: str
    """As the API calls it."""
    world: World
    apply: Callable[..., Awaitable[None]]
    """Write files below /sys/kernel/mm/ksm; by keywords: who does it and why, to be recorded. Raises RunError."""
    present: Mapping[str, str] = field(default_factory=dict)
    """What was last written, by file."""
    sleep: Callable[[Seconds], Awaitable[None]] = asyncio.sleep
    _npages: int = 0

    async def run(self) -> None:
        """Look, after each interval, until cancelled. Raises RunError where KSM can't be set."""
        tuned = settings(self.tuned.values)
        while True:
            await self.sleep(tuned.interval)
            await self.look(tuned)

    async def look(self, tuned: KsmtunedSettings) -> None:
        """Set KSM by what the node has free now; what is so already is neither written nor recorded."""
        free = self.world.available(self.node)
        if free is None:
            return  # not probed yet
        values = adjust(
            self._npages,
            tuned=tuned,
            total_kb=self.world.capacity[self.node] // KIB,
            free_kb=free // KIB,
            committed_kb=self.world.resident(self.node) // KIB,
        )
        self._npages = values.npages
        changed = {name: text for name, text in values.files.items() if self.present.get(name) != text}
        if not changed:
            return
        before = {name: self.present.get(name, str(self.world.ksm.get(name, "unknown"))) for name in changed}
        source = {"file": self.tuned.file} if self.tuned.file else {}
        await self.apply(changed, by=NAME, why=values.why, **source, **{"from": before})
        self.present = {**self.present, **changed}


def begin(
    scenario: Scenario,
    cluster: Cluster,
    handles: tuple[NodeHandle, ...],
    stream: Stream,
    *,
    world: World,
    watching: Background,
) -> None:
    """Start tuning KSM in the background, where the scenario names a file for it. It has one node then (spec.host)."""
    ksm = scenario.host.ksm
    if ksm is None or ksm.tuned is None:
        return
    tuner = Ksmtuned(
        tuned=ksm.tuned,
        node=handles[0].kube_name,
        world=world,
        apply=partial(tune, cluster, stream),
        present=ksm.files,
    )
    watching.start(tuner.run(), NAME)
