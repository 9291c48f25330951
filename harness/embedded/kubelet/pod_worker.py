"""The life of one pod on a node: sandbox, containers, grace chain, terminal status, clean-up.

Source: Kubernetes 1.36 pod_workers.go (grace may only get shorter; below 1 s becomes 1 s), kuberuntime_container.go:892-913
(at least 2 s between SIGTERM and SIGKILL), kubelet_pods.go and status_manager.go (what is shown when). Sequence and
timing as recorded on a real kind cluster. Times inside are loop times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.embedded.api.errors import Conflict, NotFound
from harness.embedded.api.resources import PODS
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.events import Recorder
from harness.embedded.kubelet.containers import Container, Running, Terminated, containers_of
from harness.embedded.kubelet.launcher import Launcher, LauncherExit
from harness.embedded.kubelet.pod_status import Verdict, phase_of, pod_status
from harness.embedded.kubelet.timing import Timing
from harness.embedded.machine.base import Node, Pod, PodShape
from harness.embedded.machine.errors import MachineError
from harness.embedded.signal import Signal
from harness.rules.grace import window

TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every worker of a node shares."""

    store: Store
    clock: Clock
    recorder: Recorder
    timing: Timing
    node: Node
    host_address: str
    group_kill: bool


class PodWorker:
    """Runs one pod. `run` is its task; the others ask and tell."""

    def __init__(
        self, around: Surroundings, pod: Mapping[str, Any], shape: PodShape, *, address: str
    ) -> None:
        self._around = around
        self.namespace, self.name = str(pod["metadata"]["namespace"]), str(pod["metadata"]["name"])
        self.uid = str(pod["metadata"]["uid"])
        self.vmi = str((pod["metadata"].get("annotations") or {}).get("kubevirt.io/domain", ""))
        self.spec: Mapping[str, Any] = pod["spec"]
        self.shape = shape
        self.containers: list[Container] = containers_of(self.spec)
        self.changed = Signal()
        self.launcher = Launcher(self.changed, group_kill=around.group_kill)
        self.sandbox: Pod | None = None
        self.phase = "Pending"
        self.removed = False
        self.leaving = False
        """Its cgroups are being removed: nothing may read them any more."""
        self.finished = False
        """No container runs and nothing is left on the node: the eviction manager may go on."""
        self._address = address
        self._started = around.clock.stamp()
        self._verdict: Verdict | None = None
        self._stop_at: float | None = None

    @property
    def terminating(self) -> bool:
        """Whether it was told to stop."""
        return self._stop_at is not None

    @property
    def active(self) -> bool:
        """Whether the eviction manager counts it (kubelet_pods.go filterOutInactivePods)."""
        return not self.terminating and self.phase not in TERMINAL

    @property
    def killed(self) -> bool:
        """Whether no container runs any more."""
        return self.phase in TERMINAL

    def container(self, name: str) -> Container:
        """Return a container by name. Raises KeyError."""
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError(name)

    def terminate(self, grace: int, *, verdict: Verdict | None = None) -> None:
        """Tell it to stop within `grace` seconds (at least 2 s real time); a running grace only gets shorter."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + window(grace)
        if verdict is not None:
            self._verdict = verdict
        if self._stop_at is None or deadline < self._stop_at:
            self._stop_at = deadline
        self.changed.notify()

    def gone(self) -> None:
        """The object was removed from the API by force: stop at once and write nothing more."""
        self.removed = True
        self.terminate(0)

    async def run(self) -> None:
        """Start, stay, stop, clean up."""
        try:
            if await self._start():
                await self.changed.until(lambda: self.terminating or self.launcher.exit is not None)
            await self._stop()
        finally:
            self.leaving = True
            self.changed.notify()
            if self.sandbox is not None:
                await self.sandbox.remove()
        self.finished = True
        self.changed.notify()
        self._forget()

    def fail(self, verdict: Verdict) -> None:
        """Refuse the pod: it never runs here."""
        self._verdict = verdict
        self.phase = "Failed"
        self._write(sandbox=False)
        self.finished = True
        self._forget()

    # -- start -------------------------------------------------------------------------------------------------

    async def _start(self) -> bool:
        """Start every container in order; False if told to stop meanwhile."""
        timing = self._around.timing
        self._write(sandbox=False)
        try:
            self.sandbox = await self._around.node.add_pod(self.shape)
        except MachineError as error:
            self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self._verdict = Verdict(
                reason="FailedCreatePodSandBox",
                message=f"Failed to create pod sandbox: {error}",
                disruption=False,
            )
            self.phase = "Failed"
            return False
        self.changed.notify()
        await asyncio.sleep(timing.sandbox)
        self._write()
        for index, container in enumerate(self.containers):
            if self.terminating:
                return False
            await self._start_container(container, index)
        return not self.terminating

    async def _start_container(self, container: Container, index: int) -> None:
        field = self._field(container)
        image = container.spec.get("image", "")
        self._event(
            "Normal",
            "Pulled",
            f'Container image "{image}" already present on machine and can be accessed by the pod',
            field=field,
        )
        self._event("Normal", "Created", "Container created", field=field)
        await asyncio.sleep(self._around.timing.container_start)
        now = self._around.clock.now()
        container.identity = f"{self.uid}-{index}"
        container.state = Running(since=now)
        self._event("Normal", "Started", "Container started", field=field)
        self._write()
        if container.role == "init":
            await asyncio.sleep(self._around.timing.container_start)
            ended = self._around.clock.now()
            container.state = Terminated(code=0, reason="Completed", since=now, until=ended)
            self._write()

    # -- stop --------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        if self.phase == "Failed" and self.sandbox is None:
            self._write(sandbox=False)
            return
        if self.launcher.exit is None and self.container("compute").running:
            await self._kill()
        ended = self.launcher.exit or LauncherExit(code=137, reason="Error", killed=True)
        self._end_containers(ended)
        lost = ended.killed and self.terminating
        if lost:
            await asyncio.sleep(self._around.timing.after_kill)
        self._write()
        if lost and any(not isinstance(c.state, Terminated) for c in self.containers):
            await asyncio.sleep(self._around.timing.settle)
            for container in self.containers:
                container.settle()
            self._write()
        await asyncio.sleep(self._around.timing.teardown)

    async def _kill(self) -> None:
        """SIGTERM, the grace, SIGKILL."""
        for container in self.containers:
            if container.running:
                self._event(
                    "Normal", "Killing", f"Stopping container {container.name}", field=self._field(container)
                )
        self.launcher.term()
        ended = await self.changed.until(
            lambda: self.launcher.exit is not None, deadline=lambda: self._stop_at
        )
        if not ended:
            await self.launcher.kill()

    def _end_containers(self, ended: LauncherExit) -> None:
        """Give every running container its end: the main one the launcher's, sidecars after it."""
        now = self._around.clock.now()
        by_force = ended.killed and self.terminating
        for container in self.containers:
            if not isinstance(container.state, Running):
                if not isinstance(container.state, Terminated):
                    container.lose()
                continue
            since = container.state.since
            if container.name == "compute":
                container.state = Terminated(code=ended.code, reason=ended.reason, since=since, until=now)
            elif by_force:
                container.lose()
            else:
                container.state = Terminated(code=0, reason="Completed", since=since, until=now)
        self.phase = phase_of(self.containers)

    # -- telling -----------------------------------------------------------------------------------------------

    def write_status(self) -> None:
        """Write the status again: a condition of somebody else changed what follows from it."""
        if not self.terminating and self.phase not in TERMINAL:
            self._write(sandbox=self.sandbox is not None)

    def _write(self, *, sandbox: bool = True) -> None:
        if self.removed:
            return
        around = self._around
        phase = self.phase if self.phase in TERMINAL else phase_of(self.containers)
        self.phase = phase

        def edit(pod: dict[str, Any]) -> None:
            if pod["metadata"]["uid"] != self.uid:
                return
            pod["status"] = pod_status(
                pod,
                self.containers,
                now=around.clock.stamp(),
                sandbox=sandbox,
                started=self._started,
                address=self._address,
                host_address=around.host_address,
                verdict=self._verdict,
                phase=phase,
            )

        try:
            around.store.mutate(PODS, self.namespace, self.name, edit)
        except NotFound:
            self.removed = True

    def _forget(self) -> None:
        """Take the object out of the API if its deletion was asked for."""
        store = self._around.store
        try:
            pod = store.get(PODS, self.namespace, self.name)
            if pod["metadata"]["uid"] == self.uid and pod["metadata"].get("deletionTimestamp"):
                store.remove(PODS, self.namespace, self.name, uid=self.uid)
        except (NotFound, Conflict):
            return

    def _event(self, kind: Any, reason: str, message: str, *, field: str = "") -> None:
        if self.removed:
            return
        about = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": self.uid},
        }
        self._around.recorder.event(about, kind, reason, message, field=field)

    @staticmethod
    def _field(container: Container) -> str:
        list_name = "containers" if container.role == "main" else "initContainers"
        return f"spec.{list_name}{{{container.name}}}"
