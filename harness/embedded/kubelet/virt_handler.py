"""virt-handler's part of a VMI's life on a node: start the domain, press the power button, say how it ended.

Source: KubeVirt pkg/virt-handler/vm.go, pkg/virt-handler/controller.go (main); order, wording and delays as recorded
on a real kind cluster (hard-eviction, hard-eviction-deaf, deaf-vmi-stays-running, soft-eviction, container-oom).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from harness.embedded.api.errors import NotFound
from harness.embedded.api.resources import VMIS
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.events import Recorder
from harness.embedded.kubelet.guests import guest_shape
from harness.embedded.kubelet.launcher import domain_end
from harness.embedded.kubelet.pod_worker import PodWorker
from harness.embedded.kubelet.timing import Timing
from harness.embedded.machine.base import Guest
from harness.embedded.machine.errors import MachineError
from harness.embedded.vmi import FINAL, move_to, set_condition
from harness.rules import columns
from harness.rules.errors import RulesError
from harness.rules.messages import CRASHED, DELETION, SHUT_DOWN, SHUTTING_DOWN, STARTED
from harness.rules.vmi import grace_seconds

MACHINE = "pc-q35-10.0"
"""`status.machine.type` as virt-launcher resolves `q35` (seen)."""

_DESTROY_TIMEOUT = 2.0
"""Seconds a QEMU has to end on SIGTERM before SIGKILL (libvirt's virDomainDestroy waits 10 s, then kills)."""


class VirtHandler:
    """One node's virt-handler. `run_vmi` is one VMI's task."""

    def __init__(self, store: Store, clock: Clock, timing: Timing, *, node: str, column: str) -> None:
        self._store = store
        self._clock = clock
        self._timing = timing
        self._node = node
        self._column = columns.column(column)
        self._recorder = Recorder(store, clock, component="virt-handler", host=node)

    async def run_vmi(
        self, vmi: Mapping[str, Any], worker: PodWorker, *, configuration: Mapping[str, Any]
    ) -> None:
        """Carry a Scheduled VMI to its end, in the pod that `worker` runs."""
        life = _Life(self, vmi, worker)
        self._set_migratable(life)
        await asyncio.sleep(self._timing.domain_start)
        if worker.sandbox is None or worker.launcher.exit:
            life.finish("Failed", CRASHED)
            return
        try:
            shape = guest_shape(vmi, configuration, pod_uid=worker.uid)
            guest = await worker.sandbox.start_guest("compute", shape)
        except (MachineError, RulesError) as error:
            life.event("Warning", "SyncFailed", f"server error. command SyncVMI failed: {error}")
            life.finish("Failed", CRASHED)
            worker.launcher.end(code=1)
            return
        if worker.launcher.exit is not None:
            guest.kill()  # the container was killed while QEMU was being started in it
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(worker.launcher.watch(guest), name=f"domain {life.name}")
            life.started()
            tasks.create_task(self._shut_down(life, guest), name=f"shutdown {life.name}")
            await worker.changed.until(
                lambda: worker.launcher.domain_ended or worker.launcher.exit is not None
            )
            if worker.launcher.lost:
                await self._orphaned(life)
            else:
                await watch
                await self._ended(life, guest)

    def _set_migratable(self, life: _Life) -> None:
        def edit(status: dict[str, Any]) -> None:
            for kind in ("LiveMigratable", "StorageLiveMigratable"):
                set_condition(status, kind, "True")
            status["migrationMethod"] = "LiveMigration"
            status["migrationTransport"] = "Unix"

        life.edit(edit)

    async def _shut_down(self, life: _Life, guest: Guest) -> None:
        """Wait for virt-launcher's SIGTERM or the VMI's deletion, then ask the guest; destroy it after the VMI's grace."""
        launcher, changed = life.worker.launcher, life.worker.changed

        def over() -> bool:
            return launcher.domain_ended or launcher.exit is not None

        async def over_by(due: float) -> bool:
            return await changed.until(over, deadline=lambda: due)

        await changed.until(lambda: over() or launcher.term_requested or life.deletion_asked())
        begun = asyncio.get_running_loop().time()
        if over() or await over_by(begun + self._timing.button_delay):
            return
        if life.grace > 0:
            life.event(*SHUTTING_DOWN)
        end = begun + life.grace
        due = begun + self._timing.button_delay
        while due < end:
            await guest.power_button()
            due = min(due + self._timing.button_again, end)
            if await over_by(due):
                return
        launcher.destroyed = True
        guest.terminate()
        if not await over_by(asyncio.get_running_loop().time() + _DESTROY_TIMEOUT):
            guest.kill()

    async def _ended(self, life: _Life, guest: Guest) -> None:
        """The domain is gone and virt-launcher lives to tell how."""
        launcher = life.worker.launcher
        ended = launcher.guest_exit
        assert ended is not None
        await asyncio.sleep(self._timing.domain_gone)
        how = domain_end(ended, console=guest.console.history(), destroyed=launcher.destroyed)
        life.event(*DELETION)
        if how == "shutdown" or (how == "destroyed" and life.grace == 0):
            life.finish("Succeeded", SHUT_DOWN)
        else:
            life.finish("Failed", CRASHED)
        rest = max(0.0, self._timing.launcher_exit - self._timing.domain_gone)
        due = asyncio.get_running_loop().time() + rest
        await life.worker.changed.until(lambda: launcher.exit is not None, deadline=lambda: due)
        launcher.end()

    async def _orphaned(self, life: _Life) -> None:
        """virt-launcher was killed with its domain: nobody can tell how it ended.

        Before v1.10 the VMI is Failed at once; on main it stays Running until the launcher's socket counts as dead,
        while every sync fails (columns.fails_at_once).
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if self._column.fails_at_once:
            await asyncio.sleep(self._timing.domain_gone)
            life.finish("Failed", CRASHED)
            return
        await asyncio.sleep(self._timing.after_kill + 0.03)
        pause = float(self._timing.ping_backoff)
        until = begun + self._timing.unresponsive
        while loop.time() < until and not life.deletion_asked():
            gone = loop.time() > begun + self._timing.after_kill + self._timing.settle
            life.sync_failed(f"connect: {'no such file or directory' if gone else 'connection refused'}")
            due = min(loop.time() + pause, until)
            await life.asked_to_go(due)
            pause *= 2
        life.finish("Failed", CRASHED)


class _Life:
    """One VMI as virt-handler handles it."""

    def __init__(self, handler: VirtHandler, vmi: Mapping[str, Any], worker: PodWorker) -> None:
        self._handler = handler
        self._store, self._clock = handler._store, handler._clock  # noqa: SLF001 - one class in two halves
        self.vmi, self.worker = vmi, worker
        self.namespace, self.name = vmi["metadata"]["namespace"], vmi["metadata"]["name"]
        self.uid = vmi["metadata"]["uid"]
        self.grace = grace_seconds(vmi["spec"])
        self._done = False

    def edit(self, change: Any) -> None:
        """Let `change` edit the VMI's status; nothing if it is another one's or gone."""

        def guarded(vmi: dict[str, Any]) -> None:
            if vmi["metadata"]["uid"] == self.uid:
                change(vmi.setdefault("status", {}))

        try:
            self._store.mutate(VMIS, self.namespace, self.name, guarded)
        except NotFound:
            return

    def event(self, kind: Any, reason: str, message: str) -> None:
        """Record an event on the VMI."""
        self._handler._recorder.event(self.vmi, kind, reason, message)  # noqa: SLF001 - one class in two halves

    def deletion_asked(self) -> bool:
        """Whether the VMI is to be deleted, or was replaced by another of its name."""
        try:
            metadata = self._store.get(VMIS, self.namespace, self.name)["metadata"]
        except NotFound:
            return True
        return metadata["uid"] != self.uid or bool(metadata.get("deletionTimestamp"))

    async def asked_to_go(self, due: float) -> bool:
        """Wait for the VMI's deletion until a loop time."""
        return await self.worker.changed.until(self.deletion_asked, deadline=lambda: due)

    def started(self) -> None:
        """QEMU runs."""
        self.event("Normal", "Created", "VirtualMachineInstance defined.")
        now = self._clock.stamp()

        def change(status: dict[str, Any]) -> None:
            if status.get("phase") not in FINAL:
                move_to(status, "Running", now)
                status["machine"] = {"type": MACHINE}

        self.edit(change)
        self.event(*STARTED)

    def finish(self, phase: str, event: tuple[str, str, str]) -> None:
        """Set the final phase once, and say it in an event."""
        if self._done:
            return
        self._done = True
        now = self._clock.stamp()

        def change(status: dict[str, Any]) -> None:
            if status.get("phase") not in FINAL:
                move_to(status, phase, now)
            status["conditions"] = [c for c in status.get("conditions") or () if c["type"] != "Synchronized"]

        self.edit(change)
        self.event(*event)

    def sync_failed(self, why: str) -> None:
        """Say that virt-launcher doesn't answer."""
        socket = f"/pods/{self.worker.uid}/volumes/kubernetes.io~empty-dir/sockets/launcher-sock"
        text = (
            "command Ping failed with Unavailable: rpc error: code = Unavailable desc = connection error: "
            f'desc = "transport: Error while dialing: dial unix {socket}: {why}"'
        )
        self.event("Warning", "SyncFailed", text)
        now = self._clock.stamp()
        self.edit(
            lambda status: set_condition(
                status,
                "Synchronized",
                "False",
                reason="Synchronizing with the Domain failed.",
                message=text,
                transition=now,
            )
        )
