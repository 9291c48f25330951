"""KubeVirt on a real cluster: waiting until it is Available, and its configuration patched and restored.

Field names: KubeVirt v1 API (staging/src/kubevirt.io/api/core/v1/types.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from harness.cluster.base import Undo
from harness.cluster.errors import ClusterError
from harness.kube.connection import Connection
from harness.kube.errors import ApiError, KubeError
from harness.kube.objects import Objects
from harness.kube.resources import EVENTS, KUBEVIRTS, PODS
from harness.kube.watch import Seen, Watcher

PULL_FAILURES = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_OBSERVED = 30.0
"""Seconds for the operator to take note of a changed configuration."""

Progress = Callable[[str], None]


# -- waiting ----------------------------------------------------------------------------------------------------------


async def find(objects: Objects) -> dict[str, Any] | None:
    """Return the cluster's KubeVirt CR, None if KubeVirt is not installed. Raises KubeError."""
    try:
        found, _ = await objects.list_all(KUBEVIRTS)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return found[0] if found else None


def available(cr: Mapping[str, Any]) -> bool:
    """Whether the operator says that everything of its target version runs."""
    status = cr.get("status") or {}
    observed, target = status.get("observedKubeVirtVersion"), status.get("targetKubeVirtVersion")
    conditions = status.get("conditions") or ()
    ready = any(c.get("type") == "Available" and c.get("status") == "True" for c in conditions)
    return ready and bool(observed) and observed == (target or observed)


async def wait_available(
    connection: Connection, *, namespace: str, seconds: float, progress: Progress, no_pull: bool
) -> dict[str, Any]:
    """Return the CR once it is Available.

    Raises ClusterError naming pod, image and last events: after `seconds`, or at once for a failed pull with `no_pull`.
    """
    view = _View(namespace, progress, no_pull=no_pull)
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            watches = [
                group.create_task(view.follow(Watcher(connection, KUBEVIRTS, namespace=namespace))),
                group.create_task(view.follow(Watcher(connection, PODS, namespace=namespace))),
            ]
            await view.decided.wait()
            for watch in watches:
                watch.cancel()
    except TimeoutError:
        pass
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]
        if not isinstance(first, KubeError):
            raise
        raise ClusterError(f"KubeVirt can't be watched: {first}") from errors
    if available(view.cr):
        return view.cr
    why = await diagnose(Objects(connection, patience=5.0), view.pods.values(), view.cr)
    how_long = "" if view.decided.is_set() else f" after {seconds:g} s"
    raise ClusterError(f"KubeVirt is not Available{how_long}: {why}")


class _View:
    """What is seen of KubeVirt coming up."""

    def __init__(self, namespace: str, progress: Progress, *, no_pull: bool) -> None:
        self.cr: dict[str, Any] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.decided = asyncio.Event()
        self._namespace = namespace
        self._progress = progress
        self._no_pull = no_pull
        self._told = ""

    async def follow(self, watcher: Watcher) -> None:
        async with aclosing(watcher.events()) as events:
            async for event in events:
                if isinstance(event, Seen):
                    self._take(event)

    def _take(self, event: Seen) -> None:
        name = event.object["metadata"]["name"]
        if event.object.get("kind") == "KubeVirt":
            self.cr = event.object if event.type != "DELETED" else {}
        elif event.type == "DELETED":
            self.pods.pop(name, None)
        else:
            self.pods[name] = event.object
        reasons = {why[0] for pod in self.pods.values() if (why := stuck(pod))}
        failed = self._no_pull and bool(reasons & PULL_FAILURES)
        if available(self.cr) or failed:
            self.decided.set()
        text = self._text()
        if text != self._told:
            self._told = text
            self._progress(text)

    def _text(self) -> str:
        ready = sum(1 for pod in self.pods.values() if is_ready(pod))
        phase = (self.cr.get("status") or {}).get("phase") or "not seen by its operator yet"
        waiting = [f"{name}: {why[0]}" for name, pod in sorted(self.pods.items()) if (why := stuck(pod))]
        return f"KubeVirt: {phase}, {ready} of {len(self.pods)} pods ready" + (
            f" ({', '.join(waiting[:3])})" if waiting else ""
        )


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's Ready condition is true."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def stuck(pod: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return reason, image and message of what keeps a pod from running, None if nothing is known to."""
    status = pod.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") not in {None, "", "PodInitializing", "ContainerCreating"}:
                return (
                    str(waiting["reason"]),
                    str(container.get("image", "")),
                    str(waiting.get("message", "")),
                )
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("reason", "Unschedulable")), "", str(condition.get("message", ""))
    return None


async def diagnose(objects: Objects, pods: Iterable[Mapping[str, Any]], cr: Mapping[str, Any]) -> str:
    """Return in one line which pod, which image and which last events say why it does not come up."""
    ailing = sorted(
        (pod for pod in pods if not is_ready(pod) and (pod.get("status") or {}).get("phase") != "Succeeded"),
        key=lambda pod: (not stuck(pod), pod["metadata"]["name"]),
    )
    if not ailing:
        conditions = (cr.get("status") or {}).get("conditions") or ()
        said = [
            f"{c.get('type')}={c.get('status')}: {c.get('message') or c.get('reason') or ''}"
            for c in conditions
        ]
        return "; ".join(said) or "no pod of it was seen: is the operator running?"
    pod = ailing[0]
    name, namespace = pod["metadata"]["name"], pod["metadata"].get("namespace", "")
    text = f"pod {name}"
    if why := stuck(pod):
        reason, image, message = why
        text += f": {reason}" + (f" {image}" if image else "") + (f" ({message})" if message else "")
    else:
        text += f" is {(pod.get('status') or {}).get('phase', 'unknown')}"
    text += f", {len(ailing) - 1} others are not ready either" if len(ailing) > 1 else ""
    last = await _last_events(objects, namespace, name)
    return " ".join((text + (f"; last events: {last}" if last else "")).split())[:900]


async def _last_events(objects: Objects, namespace: str, pod: str) -> str:
    try:
        found, _ = await objects.list_all(EVENTS, namespace=namespace, fields=f"involvedObject.name={pod}")
    except KubeError:
        return ""
    found.sort(key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
    return "; ".join(f"{e.get('reason')}: {e.get('message')}" for e in found[-3:])


# -- configuration ----------------------------------------------------------------------------------------------------


class Configuration:
    """`spec.configuration` of a cluster's CR: patched, and put back as it was. `kubeconfig`: for the undo entry."""

    def __init__(self, *, undo: Undo, kubeconfig: Path, context: str = "") -> None:
        self._undo = undo
        self._kubeconfig = kubeconfig
        self._context = context
        self._before: tuple[str, str, Any] | None = None

    async def patch(self, objects: Objects, fragment: Mapping[str, Any]) -> None:
        """Merge a fragment in and wait until the operator has taken note. Raises ClusterError."""
        if not fragment:
            return
        try:
            cr = await find(objects)
            if cr is None:
                raise ClusterError("KubeVirt is not installed in this cluster")
            meta = cr["metadata"]
            if self._before is None:
                before = (cr.get("spec") or {}).get("configuration")
                self._undo(
                    {
                        "op": "kubevirt-restore",
                        "target": f"{meta['namespace']}/{meta['name']}",
                        "kubeconfig": str(self._kubeconfig),
                        "context": self._context,
                        "configuration": before,
                    }
                )
                self._before = (meta["namespace"], meta["name"], before)
            changed = await objects.patch(
                KUBEVIRTS,
                meta["name"],
                {"spec": {"configuration": dict(fragment)}},
                namespace=meta["namespace"],
            )
            await _taken_note(objects, changed)
        except KubeError as error:
            raise ClusterError(f"the KubeVirt configuration was refused: {error}") from error

    async def restore(self, objects: Objects) -> None:
        """Put it back. Idempotent. Raises KubeError."""
        if self._before is not None:
            namespace, name, before = self._before
            await restore(objects, namespace=namespace, name=name, configuration=before)
            self._before = None


async def restore(objects: Objects, *, namespace: str, name: str, configuration: Any) -> bool:
    """Make a CR's configuration what it was; whether that changed anything. Raises KubeError."""
    cr = await objects.get(KUBEVIRTS, name, namespace=namespace)
    if (cr.get("spec") or {}).get("configuration") == configuration:
        return False
    step = {"op": "add", "path": "/spec/configuration", "value": configuration}
    if configuration is None:
        step = {"op": "remove", "path": "/spec/configuration"}
    await objects.patch(KUBEVIRTS, name, [step], namespace=namespace, kind="json")
    return True


async def _taken_note(objects: Objects, changed: Mapping[str, Any]) -> None:
    meta = changed["metadata"]
    generation = int(meta.get("generation") or 0)
    if (changed.get("status") or {}).get("observedGeneration") is None:
        return  # versions that do not say so pick it up from their informers
    watcher = Watcher(
        objects.connection,
        KUBEVIRTS,
        namespace=meta["namespace"],
        fields=f"metadata.name={meta['name']}",
    )
    try:
        async with asyncio.timeout(_OBSERVED), aclosing(watcher.events()) as events:
            async for event in events:
                if not isinstance(event, Seen):
                    continue
                status = event.object.get("status") or {}
                if int(status.get("observedGeneration") or 0) >= generation:
                    return
    except TimeoutError as error:
        raise ClusterError(
            f"KubeVirt's operator has not taken note of its new configuration in {_OBSERVED:g} s"
        ) from error
