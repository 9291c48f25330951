"""The eviction manager: a pass every 10 s after the previous one ended, at most one pod for memory each.

Source: Kubernetes 1.36 pkg/kubelet/eviction/eviction_manager.go. What a pass concludes is `rules.eviction`; whom it hits
is `rules.ranking`, on the statistics as old as the kubelet's. While a victim is killed and cleaned up nothing else happens.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.embedded.clock import Clock
from harness.embedded.events import Recorder
from harness.embedded.kubelet.pod_status import Verdict
from harness.embedded.kubelet.pod_worker import PodWorker
from harness.embedded.kubelet.stats import Row, Statistics
from harness.embedded.kubelet.timing import Timing
from harness.embedded.notes import Notes, sleep_until
from harness.rules import grace
from harness.rules.eviction import EvictionState, Observation, Pass, seeded_choice, step
from harness.rules.messages import (
    EVICTED,
    EVICTION_THRESHOLD_MET,
    ContainerUsage,
    evicted,
    evicted_annotations,
)
from harness.rules.pods import amount, find, is_critical, pod_request
from harness.rules.ranking import PodUsage, rank
from harness.rules.thresholds import (
    ALLOCATABLE_MEMORY,
    MEMORY,
    Threshold,
    max_pod_grace,
    memory_thresholds,
    transition_period,
)
from harness.units import Bytes


class EvictionManager:
    """One node's eviction manager; a kubelet restart makes a new one, which remembers nothing."""

    def __init__(
        self,
        *,
        configuration: Mapping[str, Any],
        statistics: Statistics,
        capacity: Bytes,
        kubepods_limit: Bytes,
        workers: Callable[[], Sequence[PodWorker]],
        node: Callable[[], Mapping[str, Any]],
        recorder: Recorder,
        clock: Clock,
        timing: Timing,
        rng: random.Random,
        notes: Notes,
    ) -> None:
        self.thresholds = memory_thresholds(configuration)
        self.conditions: frozenset[str] = frozenset()
        self._transition = transition_period(configuration)
        self._max_grace = max_pod_grace(configuration)
        self._statistics = statistics
        self._capacity, self._limit = capacity, kubepods_limit
        self._workers, self._node = workers, node
        self._recorder, self._clock, self._timing, self._notes = recorder, clock, timing, notes
        self._choose = seeded_choice(rng)
        self._state = EvictionState()

    async def run(self) -> None:
        """Pass after pass, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            if (victim := await self.synchronise()) is not None:
                await self._wait_for_cleanup(victim)
                continue
            await sleep_until(
                loop.time() + self._timing.eviction_period,
                what="eviction pass",
                late=self._timing.late,
                notes=self._notes,
            )

    async def synchronise(self) -> PodWorker | None:
        """Run one pass and kill its victim, if any. Returns once the victim's containers are dead."""
        self._statistics.refresh()
        concluded = step(
            self._state,
            now=self._clock.now(),
            thresholds=self.thresholds,
            observations=self._observe(),
            transition=self._transition,
            choose=self._choose,
        )
        self._state, self.conditions = concluded.state, concluded.conditions
        if concluded.chosen is None:
            return None
        reason, message = EVICTION_THRESHOLD_MET
        self._recorder.event(self._node(), "Warning", reason, message)
        return await self._evict(concluded, concluded.chosen)

    def _observe(self) -> dict[str, Observation]:
        def observation(row: Row, limit: Bytes) -> Observation:
            return Observation(available=limit - row.memory.working_set, capacity=limit, time=row.time)

        return {
            MEMORY: observation(self._statistics.node_row, self._capacity),
            ALLOCATABLE_MEMORY: observation(self._statistics.kubepods_row, self._limit),
        }

    async def _evict(self, concluded: Pass, threshold: Threshold) -> PodWorker | None:
        active = {worker.uid: worker for worker in self._workers() if worker.active}
        for usage in rank([self._usage(worker) for worker in active.values()]):
            if usage.critical:
                continue
            worker = active[usage.name]
            await self._kill(worker, threshold)
            return worker
        return None

    def _usage(self, worker: PodWorker) -> PodUsage:
        rows = self._statistics.pods.get(worker.uid)
        row = rows.pod if rows is not None else None
        return PodUsage(
            name=worker.uid,
            request=pod_request(worker.spec).value(),
            working_set=None if row is None else row.memory.working_set,
            priority=int(worker.spec.get("priority") or 0),
            critical=is_critical(worker.spec),
        )

    async def _kill(self, worker: PodWorker, threshold: Threshold) -> None:
        containers = self._container_usages(worker)
        message = evicted(threshold, self._observe()[threshold.signal], containers)
        about = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"namespace": worker.namespace, "name": worker.name, "uid": worker.uid},
        }
        self._recorder.event(about, "Warning", EVICTED, message, annotations=evicted_annotations(containers))
        asked = grace.override(
            threshold,
            max_pod_grace=self._max_grace,
            pod_grace=worker.spec.get("terminationGracePeriodSeconds"),
        )
        worker.terminate(asked, verdict=Verdict(reason=EVICTED, message=message, disruption=True))
        due = asyncio.get_running_loop().time() + grace.kill_timeout(asked)
        if not await worker.changed.until(lambda: worker.killed, deadline=lambda: due):
            self._recorder.event(
                about,
                "Warning",
                "ExceededGracePeriod",
                "Container runtime did not kill the pod within specified grace period.",
            )

    def _container_usages(self, worker: PodWorker) -> list[ContainerUsage]:
        rows = self._statistics.pods.get(worker.uid)
        return [
            ContainerUsage(
                name=name,
                working_set=row.memory.working_set,
                request=amount(find(worker.spec, name), "requests", "memory"),
            )
            for name, row in (rows.containers.items() if rows is not None else ())
        ]

    async def _wait_for_cleanup(self, victim: PodWorker) -> None:
        """Poll until the victim's volumes and cgroups are gone (eviction_manager.go:448-470)."""
        polls = round(self._timing.cleanup_timeout / self._timing.cleanup_poll)
        for _ in range(polls):
            if victim.finished:
                return
            await asyncio.sleep(self._timing.cleanup_poll)
