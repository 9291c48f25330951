"""The kubelet's statistics: fresh for the node once per eviction pass, old on purpose for pods.

Source: Kubernetes 1.36 server/stats (shape), stats/helper.go, cAdvisor manager/container.go:123-132,498-523 (periods).
Ranking and `/stats/summary` see the same rows. No CPU figures: nothing here needs them, and none are invented.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.embedded.clock import Clock, stamp
from harness.embedded.kubelet.pod_worker import PodWorker
from harness.embedded.kubelet.timing import Timing
from harness.embedded.machine.base import Memory, Node
from harness.units import Bytes, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample: what a cgroup used at a wall time."""

    memory: Memory
    time: Seconds
    swap_limit: Bytes | None = None
    """Of a container, as cAdvisor has it: memory.swap.max, on v1 memory and swap together (seen on a real node)."""


@dataclass(slots=True, kw_only=True)
class PodRows:
    """A pod's samples: its own cgroup and its containers' each have their own clock in cAdvisor."""

    namespace: str
    name: str
    started: Seconds
    pod: Row | None = None
    containers: dict[str, Row] = field(default_factory=dict)


class Statistics:
    """What the kubelet knows of memory. `summary` is what it serves."""

    def __init__(
        self, node: Node, clock: Clock, timing: Timing, *, rng: random.Random, kubepods_limit: Bytes
    ) -> None:
        self._node, self._clock, self._timing, self._rng = node, clock, timing, rng
        self.kubepods_limit = kubepods_limit
        self.started = clock.now()
        self.node_row = self.kubepods_row = Row(memory=node.memory(), time=clock.now())
        self.pods: dict[str, PodRows] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the node's and kubepods' rows now: what every eviction pass does first."""
        now = self._clock.now()
        self.node_row = Row(memory=self._node.memory(), time=now)
        self.kubepods_row = Row(memory=self._node.kubepods_memory(), time=now)

    async def follow(self, worker: PodWorker) -> None:
        """Sample a pod as cAdvisor does until its sandbox is gone: pod and container each at their own times."""
        await worker.changed.until(lambda: worker.sandbox is not None or worker.finished)
        if worker.sandbox is None or worker.leaving:
            return
        rows = PodRows(namespace=worker.namespace, name=worker.name, started=self._clock.now())
        self.pods[worker.uid] = rows
        try:
            async with asyncio.TaskGroup() as tasks:
                for subject in ("", "compute"):
                    tasks.create_task(self._house_keep(worker, rows, subject))
        finally:
            if self.pods.get(worker.uid) is rows:
                del self.pods[worker.uid]

    async def _house_keep(self, worker: PodWorker, rows: PodRows, subject: str) -> None:
        period = float(self._timing.housekeeping)
        loop = asyncio.get_running_loop()
        before: Bytes | None = None
        while worker.sandbox is not None and not worker.leaving:
            memory = worker.sandbox.memory()
            limit = worker.sandbox.swap_limit(subject) if subject else None
            if subject and limit is not None and memory.accounting == "v1":
                limit = Bytes(limit + (worker.shape.containers[subject].limit or 0))
            row = Row(memory=memory, time=self._clock.now(), swap_limit=limit)
            if subject:
                rows.containers[subject] = row
            else:
                rows.pod = row
            unchanged = row.memory.usage == before
            before = row.memory.usage
            # container.go: double up to the maximum while nothing changes, back to the base when it does.
            period = (
                min(period * 2, self._timing.housekeeping_max) if unchanged else self._timing.housekeeping
            )
            await self._pause(worker, loop.time() + period * (1.0 + self._rng.random()))

    @staticmethod
    async def _pause(worker: PodWorker, due: float) -> None:
        await worker.changed.until(lambda: worker.leaving, deadline=lambda: due)

    def summary(self) -> dict[str, Any]:
        """Return `/stats/summary` (k8s.io/kubelet/pkg/apis/stats/v1alpha1.Summary)."""
        return {
            "node": {
                "nodeName": self._node.name,
                "systemContainers": [
                    {
                        "name": "pods",
                        "startTime": stamp(self.started),
                        "memory": memory_stats(self.kubepods_row, limit=self.kubepods_limit),
                    }
                ],
                "startTime": stamp(self.started),
                "memory": memory_stats(self.node_row, limit=self._node.capacity),
                "swap": swap_stats(self.node_row, limit=self._node.swap),
            },
            "pods": [self._pod(uid, rows) for uid, rows in sorted(self.pods.items())],
        }

    @staticmethod
    def _pod(uid: str, rows: PodRows) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "podRef": {"name": rows.name, "namespace": rows.namespace, "uid": uid},
            "startTime": stamp(rows.started),
            "containers": [
                {
                    "name": name,
                    "startTime": stamp(rows.started),
                    "memory": memory_stats(row, limit=None),
                    "swap": swap_stats(row, limit=row.swap_limit),
                }
                for name, row in rows.containers.items()
            ],
        }
        if rows.pod is not None:
            entry["memory"] = memory_stats(rows.pod, limit=rows.pod.memory.limit)
            # a pod's cgroup has no limit on swap
            entry["swap"] = swap_stats(rows.pod, limit=None)
        return entry


def memory_stats(row: Row, *, limit: Bytes | None) -> Mapping[str, Any]:
    """Return one `MemoryStats`. `availableBytes` = limit - working set, only where there is a limit; may be negative."""
    memory = row.memory
    return {
        "time": stamp(row.time),
        **({} if limit is None else {"availableBytes": limit - memory.working_set}),
        "usageBytes": memory.usage,
        "workingSetBytes": memory.working_set,
        **({} if memory.rss is None else {"rssBytes": memory.rss}),
    }


def swap_stats(row: Row, *, limit: Bytes | None) -> Mapping[str, Any]:
    """Return one `SwapStats` (stats/helper.go cadvisorInfoToSwapStats): what is left only where there is a limit."""
    used = row.memory.swap or 0
    return {
        "time": stamp(row.time),
        **({} if limit is None else {"swapAvailableBytes": limit - used}),
        "swapUsageBytes": used,
    }
