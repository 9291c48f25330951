"""The scheduler: which node a pod goes to, by requests, taints, selectors and cordons.

Source: Kubernetes 1.36 pkg/scheduler (plugins in their default order and weights). Fit and scores are
`rules.scheduling`; preemption is left out: a pod that doesn't fit waits. Ties are drawn with the seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.embedded.api.errors import NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import NODES, PODS
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.control.selectors import matches
from harness.embedded.events import Recorder
from harness.rules.messages import failed_scheduling
from harness.rules.quantities import Quantity
from harness.rules.scheduling import Demand, Room, Verdict, demand, fit, score, tolerates

CORDONED = "node(s) were unschedulable"
UNSELECTED = "node(s) didn't match Pod's node affinity/selector"
_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class Scheduler:
    """Binds pending pods. `run` is its task and never returns by itself."""

    def __init__(self, store: Store, clock: Clock, *, seed: int) -> None:
        self._store, self._clock = store, clock
        self._rng = random.Random(f"{seed} scheduler")
        self._recorder = Recorder(store, clock, component="default-scheduler")
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Try every pending pod on every change that could help one."""
        async with self._store.subscribe(NODES, PODS) as changes:
            async for change in changes:
                if change.resource == PODS:
                    metadata = change.object["metadata"]
                    if change.type == "DELETED":
                        self._told.pop(metadata["uid"], None)
                    elif _pending(change.object):
                        if change.type == "ADDED":
                            self._schedule(change.object)
                        continue
                    elif change.object.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
                        continue
                for pod in self._store.list(PODS)[0]:
                    if _pending(pod):
                        self._schedule(pod)

    def _schedule(self, pod: Object) -> None:
        try:
            present = self._store.get(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        except NotFound:
            return
        if not _pending(present):
            return
        nodes = self._store.list(NODES)[0]
        verdicts = [(node, *self._filter(present, node)) for node in nodes]
        fitting = [(room, node) for node, room, verdict in verdicts if verdict.fits]
        if fitting:
            best = max(score(present["spec"], room) for room, _ in fitting)
            chosen = self._rng.choice([n for room, n in fitting if score(present["spec"], room) == best])
            self._bind(present, chosen["metadata"]["name"])
        else:
            self._refuse(present, [verdict for _, _, verdict in verdicts])

    def _filter(self, pod: Object, node: Object) -> tuple[Room, Verdict]:
        room = self._room(node)
        spec = pod["spec"]
        if node["spec"].get("unschedulable") and not tolerates(_CORDON, spec.get("tolerations") or ()):
            return room, Verdict((CORDONED,), preemption_helps=False)
        if not matches(spec, node):
            return room, Verdict((UNSELECTED,), preemption_helps=False)
        return room, fit(spec, room)

    def _room(self, node: Object) -> Room:
        name = node["metadata"]["name"]
        used = Demand()
        for pod in self._store.list(PODS)[0]:
            if pod["spec"].get("nodeName") == name and not _over(pod):
                used += demand(pod["spec"])
        offered: Mapping[str, Any] = node["status"]["allocatable"]
        return Room(
            name=name,
            memory=Quantity.of(offered["memory"]).value(),
            cpu_milli=Quantity.of(offered["cpu"]).milli_value(),
            used=used,
            taints=tuple(node["spec"].get("taints") or ()),
            max_pods=int(offered["pods"]),
        )

    def _bind(self, pod: Object, node: str) -> None:
        metadata = pod["metadata"]
        self._told.pop(metadata["uid"], None)
        condition = self._condition(pod, "True")

        def bind(obj: dict[str, Any]) -> None:
            obj["spec"]["nodeName"] = node
            _set_scheduled(obj, condition)

        self._store.mutate(PODS, metadata["namespace"], metadata["name"], bind)
        where = f"{metadata['namespace']}/{metadata['name']}"
        self._recorder.event(pod, "Normal", "Scheduled", f"Successfully assigned {where} to {node}")

    def _refuse(self, pod: Object, verdicts: list[Verdict]) -> None:
        counted = Counter(reason for verdict in verdicts for reason in verdict.reasons)
        helpless = sum(1 for verdict in verdicts if not verdict.preemption_helps)
        message = (
            failed_scheduling(counted, nodes=len(verdicts), helpless=helpless)
            if verdicts
            else "no nodes available to schedule pods"
        )
        metadata = pod["metadata"]
        if self._told.get(metadata["uid"]) == message:
            return
        self._told[metadata["uid"]] = message
        self._recorder.event(pod, "Warning", "FailedScheduling", message)
        condition = self._condition(pod, "False") | {"reason": "Unschedulable", "message": message}
        self._store.mutate(
            PODS,
            metadata["namespace"],
            metadata["name"],
            lambda obj: _set_scheduled(obj, condition),
        )

    def _condition(self, pod: Object, status: str) -> dict[str, Any]:
        old = next(
            (c for c in pod.get("status", {}).get("conditions") or () if c["type"] == "PodScheduled"), None
        )
        same = old is not None and old["status"] == status
        return {
            "type": "PodScheduled",
            "observedGeneration": pod["metadata"].get("generation", 1),
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": old["lastTransitionTime"] if same and old else self._clock.stamp(),
        }


def _pending(pod: Object) -> bool:
    return not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp") and not _over(pod)


def _over(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def _set_scheduled(pod: dict[str, Any], condition: dict[str, Any]) -> None:
    status = pod.setdefault("status", {})
    others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
    status["conditions"] = [*others, condition]
