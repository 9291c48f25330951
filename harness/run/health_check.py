"""Proving nodes healthy after they were squeezed: pressure gone from conditions and taints, and a new pod let in.

As kubernetes e2e_node does after each eviction test (test/e2e_node/eviction_test.go): a kubelet that still turns pods
away has not recovered, whatever its conditions say. The test pod is BestEffort, which is what a kubelet refuses under
memory pressure (pkg/kubelet/eviction/eviction_manager.go Admit), and tolerates nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from harness.kube.errors import ApiError, KubeError
from harness.kube.objects import Objects
from harness.kube.resources import NODES, PODS
from harness.kube.watch import Seen, Watcher
from harness.run.fleet import HOSTNAME, RUN_LABEL

IMAGE = "registry.k8s.io/pause:3.10"
"""Need not be there: a pod is let in before its image is pulled."""
PRESSURE = ("MemoryPressure", "DiskPressure", "PIDPressure")
NOT_READY = "is not Ready"
ABSENCE = 90.0
"""Seconds a node may be not Ready: a kubelet's restart, and the node monitor's 50 s; then it does not come back."""
RECOVERY = 330.0
"""Seconds: a kubelet keeps MemoryPressure for evictionPressureTransitionPeriod (5 min by default) after it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`problems`: what is wrong with which node, one line each; none: they are healthy."""

    problems: tuple[str, ...]
    seconds: float

    @property
    def lost(self) -> tuple[str, ...]:
        """Of the problems: nodes that don't answer any more. No run can count on such a cluster."""
        return tuple(problem for problem in self.problems if problem.endswith(NOT_READY))

    @property
    def healthy(self) -> bool:
        """Whether every node is."""
        return not self.problems


async def prove_healthy(
    api: Objects,
    nodes: Iterable[str],
    *,
    deadline: float = RECOVERY,
    namespace: str = "default",
    run: str = "",
    image: str = IMAGE,
) -> Health:
    """Wait at most `deadline` seconds for nodes to be healthy, then have each let in a test pod.

    Never raises KubeError: failing to find out is a problem too. The test pods are deleted, also when cancelled.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(
                _prove(api, name, until=began + deadline, namespace=namespace, run=run, image=image)
            )
            for name in nodes
        ]
    problems = tuple(problem for task in asked if (problem := task.result()))
    return Health(problems=problems, seconds=round(clock() - began, 3))


async def _prove(api: Objects, node: str, *, until: float, namespace: str, run: str, image: str) -> str:
    told = "was not seen"
    try:
        async with asyncio.timeout_at(until) as limit:
            watcher = Watcher(api.connection, NODES, fields=f"metadata.name={node}")
            async with aclosing(watcher.events()) as events:
                async for event in events:
                    if isinstance(event, Seen):
                        before = told
                        told = "was deleted" if event.type == "DELETED" else why_unhealthy(event.object)
                        if not told:
                            break
                        if told != before and not limit.expired():
                            soon = asyncio.get_running_loop().time() + ABSENCE
                            limit.reschedule(min(until, soon) if told == NOT_READY else until)
            if not limit.expired():
                limit.reschedule(until)
            told = "did not take a test pod in time"
            return await _let_in(api, node, namespace=namespace, run=run, image=image)
    except TimeoutError:
        return f"node {node} {told}"
    except KubeError as error:
        return f"node {node}: {error}"


def why_unhealthy(node: Mapping[str, Any]) -> str:
    """Return what keeps a node from taking pods, '' if nothing does."""
    conditions = {c.get("type"): c.get("status") for c in (node.get("status") or {}).get("conditions") or ()}
    if conditions.get("Ready") != "True":
        return NOT_READY
    for kind in PRESSURE:
        if conditions.get(kind) == "True":
            return f"has {kind}"
    for taint in (node.get("spec") or {}).get("taints") or ():
        if str(taint.get("key", "")).startswith("node.kubernetes.io/"):
            return f"has the taint {taint.get('key')}"
    return ""


async def _let_in(api: Objects, node: str, *, namespace: str, run: str, image: str) -> str:
    name = f"density-health-{secrets.token_hex(3)}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {RUN_LABEL: run or "health"}},
        "spec": {
            "nodeSelector": {HOSTNAME: node},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [{"name": "pause", "image": image, "imagePullPolicy": "IfNotPresent"}],
        },
    }
    try:
        await api.create(PODS, pod, namespace=namespace)
    except ApiError as error:
        return f"node {node}: no test pod could be made: {error}"
    try:
        watcher = Watcher(api.connection, PODS, namespace=namespace, fields=f"metadata.name={name}")
        async with aclosing(watcher.events()) as events:
            async for event in events:
                if isinstance(event, Seen):
                    verdict = _verdict(event)
                    if verdict is not None:
                        return f"node {node} turned a test pod away: {verdict}" if verdict else ""
        return f"node {node}: the test pod was lost sight of"
    finally:
        # Even when time is up or the run is being cancelled: seconds, with nothing running in it.
        await asyncio.shield(api.delete(PODS, name, namespace=namespace, grace=0))


def _verdict(event: Seen) -> str | None:
    """'' when the kubelet has taken it, why when not, None while nothing is decided."""
    if event.type == "DELETED":
        return "it was deleted"
    status = event.object.get("status") or {}
    if status.get("phase") == "Failed":
        return str(status.get("message") or status.get("reason") or "it Failed")
    # A kubelet that takes a pod says so by its start time and its containers' states; one that refuses says Failed.
    if status.get("phase") in {"Running", "Succeeded"} or status.get("containerStatuses"):
        return ""
    return None
