"""What the API server and the node probe ask of running things: consoles, logs, kubelet pages, guests by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.embedded.api.errors import Conflict, NotFound
from harness.embedded.api.resources import NODES, PODS, VMIS
from harness.embedded.api.store import Store
from harness.embedded.kubelet.kubelet import Kubelet
from harness.embedded.kubelet.pod_worker import PodWorker
from harness.embedded.machine.base import Console, Guest, Pod

CONSOLE_LOG = "guest-console-log"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPod:
    """A pod with a sandbox on a node's machine. `guest` None: QEMU isn't started yet."""

    node: str
    uid: str
    namespace: str
    name: str
    vmi: str
    """`<namespace>/<name>`."""
    pod: Pod
    guest: Guest | None


class Running:
    """Finds running things by the names the API knows. Implements `api.hooks.Hooks`."""

    def __init__(self, store: Store, kubelets: Mapping[str, Kubelet]) -> None:
        self._store, self._kubelets = store, kubelets

    def pods(self) -> tuple[RunningPod, ...]:
        """Return every pod with a sandbox now, in a stable order."""
        return tuple(
            RunningPod(
                node=name,
                uid=worker.uid,
                namespace=worker.namespace,
                name=worker.name,
                vmi=f"{worker.namespace}/{worker.vmi}",
                pod=worker.sandbox,
                guest=worker.launcher.guest,
            )
            for name, kubelet in sorted(self._kubelets.items())
            for worker in kubelet.workers
            if worker.sandbox is not None and not worker.leaving
        )

    def console(self, namespace: str, name: str) -> Console:
        """Return the serial console of a running VMI. Raises `NotFound`, `Conflict`."""
        vmi = self._store.get(VMIS, namespace, name)
        for uid in vmi.get("status", {}).get("activePods") or {}:
            worker = self._worker(uid)
            if worker is not None and worker.launcher.guest is not None and not worker.launcher.domain_ended:
                return worker.launcher.guest.console
        raise Conflict.of(VMIS, name, "VMI is not running")

    def stats_summary(self, node: str) -> Mapping[str, Any]:
        """Return a node's `/stats/summary`. Raises `NotFound`."""
        return self._kubelet(node).statistics.summary()

    def configz(self, node: str) -> Mapping[str, Any]:
        """Return a node's `/configz`. Raises `NotFound`."""
        return self._kubelet(node).configz()

    async def pod_log(self, namespace: str, name: str, container: str, follow: bool) -> AsyncIterator[bytes]:
        """Yield a container's log: the guest's serial console for guest-console-log, nothing for the others.

        There is no process behind the other containers that could have written anything.
        """
        pod = self._store.get(PODS, namespace, name)
        worker = self._worker(pod["metadata"]["uid"])
        if worker is None or container != CONSOLE_LOG:
            return
        launcher = worker.launcher
        if follow:
            await worker.changed.until(lambda: launcher.guest is not None or worker.finished)
        guest = launcher.guest
        if guest is None:
            return
        if not follow:
            yield guest.console.history()
            return
        async for chunk in guest.console.read(from_start=True):
            yield chunk

    def _kubelet(self, node: str) -> Kubelet:
        try:
            return self._kubelets[node]
        except KeyError:
            raise NotFound.of(NODES, node) from None

    def _worker(self, uid: str) -> PodWorker | None:
        for kubelet in self._kubelets.values():
            if (worker := kubelet.worker(uid)) is not None:
                return worker
        return None
