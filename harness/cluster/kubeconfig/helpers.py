"""Running privileged pods: where they live, whether they came up, what they said, and that they are gone again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import node_pods
from harness.cluster.kubevirt import stuck
from harness.kube import pod_log
from harness.kube.connection import Connection
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.kube.resources import EVENTS, NAMESPACES, PODS
from harness.kube.watch import Seen, Watcher

STARTED = 90.0
"""Seconds for a small image to be pulled and to run."""
DONE = 180.0
"""Seconds for a pod that does one thing: a kubelet's stop may take 60 s, and its pods are told of only after its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where privileged pods of a run live, and from which image they are made."""

    connection: Connection
    namespace: str
    run: str
    image: str
    own: bool
    """Whether the namespace was made for these pods."""

    @property
    def objects(self) -> Objects:
        """Calls there."""
        return Objects(self.connection)


async def make_namespace(objects: Objects, name: str, run: str) -> None:
    """Make a namespace that lets privileged pods in. Raises ClusterError."""
    labels = {node_pods.RUN_LABEL: run, **node_pods.PRIVILEGED}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    try:
        await objects.create(NAMESPACES, manifest)
    except KubeError as error:
        raise ClusterError(f"namespace {name} for pods on nodes: {error}") from error


async def until_running(place: Place, nodes: frozenset[str], owner: str) -> dict[str, str]:
    """Return node → name of its reader pod once all run. Raises ClusterError with pod, image and events."""
    seen: dict[str, Mapping[str, Any]] = {}

    def running() -> bool:
        return nodes <= {_node(pod) for pod in seen.values() if _phase(pod) == "Running"}

    labels = f"{node_pods.RUN_LABEL}={place.run},{node_pods.ROLE_LABEL}=reader"
    try:
        async with asyncio.timeout(STARTED):
            await _watch(place, seen, running, labels=labels)
    except TimeoutError as error:
        why = await _why(place, seen, owner)
        raise ClusterError(f"the node reader does not run after {STARTED:g} s: {why}") from error
    except KubeError as error:
        raise ClusterError(f"the node reader: {error}") from error
    return {_node(pod): name for name, pod in seen.items() if _phase(pod) == "Running"}


async def run_once(place: Place, *, node: str, command: tuple[str, ...], what: str) -> str:
    """Run a command on a node, in the host's namespaces; return what it printed. Raises ClusterError if it fails."""
    name = f"density-kubelet-{place.run}-{secrets.token_hex(2)}"
    pod = node_pods.once(
        image=place.image, namespace=place.namespace, run=place.run, node=node, name=name, command=command
    )
    objects, seen = place.objects, dict[str, Mapping[str, Any]]()
    try:
        await objects.create(PODS, pod, namespace=place.namespace)
        try:
            async with asyncio.timeout(DONE):
                await _watch(
                    place, seen, lambda: _phase(seen.get(name, {})) in {"Succeeded", "Failed"}, name=name
                )
            said = await pod_log.read(place.connection, namespace=place.namespace, pod=name)
        finally:
            await asyncio.shield(objects.delete(PODS, name, namespace=place.namespace, grace=0))
    except TimeoutError as error:
        raise ClusterError(f"node {node}: {what}: {await _why(place, seen, name)}") from error
    except KubeError as error:
        raise ClusterError(f"node {node}: {what}: {error}") from error
    if _phase(seen[name]) == "Failed":
        last = (said.strip().splitlines() or ["it said nothing"])[-1][:300]
        raise ClusterError(f"node {node}: {what} failed: {last}")
    return said


async def _watch(
    place: Place,
    seen: dict[str, Mapping[str, Any]],
    over: Callable[[], bool],
    *,
    labels: str = "",
    name: str = "",
) -> None:
    fields = f"metadata.name={name}" if name else ""
    watcher = Watcher(place.connection, PODS, namespace=place.namespace, labels=labels, fields=fields)
    async with aclosing(watcher.events()) as events:
        async for event in events:
            if isinstance(event, Seen):
                key = str(event.object["metadata"]["name"])
                if event.type == "DELETED":
                    seen.pop(key, None)
                else:
                    seen[key] = event.object
            if over():
                return


async def _why(place: Place, seen: Mapping[str, Mapping[str, Any]], owner: str) -> str:
    for name, pod in sorted(seen.items()):
        if _phase(pod) != "Running":
            status = pod.get("status") or {}
            told = " ".join(
                part for part in stuck(pod) or (status.get("reason"), status.get("message")) if part
            )
            return f"pod {name} of {place.image} is {_phase(pod) or 'new'}{': ' + told if told else ''}"
    try:
        events, _ = await place.objects.list_all(
            EVENTS, namespace=place.namespace, fields=f"involvedObject.name={owner}"
        )
    except KubeError:
        events = []
    said = [str(event.get("message")) for event in events if event.get("type") == "Warning"]
    return said[-1] if said else "no pod of it was seen"


def _phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _node(pod: Mapping[str, Any]) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")
