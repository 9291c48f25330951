"""Nodes, pods and the guests in them, as memory cgroups or, where none can be written, as sums of PSS."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.embedded.machine.base import (
    ContainerShape,
    DiskShape,
    GuestImage,
    GuestShape,
    Memory,
    OomKill,
    PodShape,
    Undo,
)
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import cgroup, daemon, disk, pressure, pss, qemu
from harness.embedded.machine.linux.cgroup import Group
from harness.embedded.machine.linux.guest import Launch, LinuxGuest, spawn
from harness.embedded.machine.linux.oomcounters import Counters, Level
from harness.units import Bytes

_LOG = logging.getLogger(__name__)
_NONE = Bytes(0)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


@dataclass(slots=True, kw_only=True)
class Host:
    """What nodes and pods need of their machine."""

    program: Path
    image: GuestImage
    accelerator: qemu.Accelerator
    scratch: Path
    undo: Undo
    own: Callable[[LinuxGuest, LinuxPod], None]
    huge_pages: bool = True
    serial: int = 0
    removed: Callable[[LinuxNode], None] = field(default=lambda _node: None)

    def next_directory(self) -> Path:
        """Make the directory of the next guest's sockets."""
        self.serial += 1
        directory = self.scratch / f"g{self.serial}"
        try:
            directory.mkdir(mode=0o700)
        except OSError as error:
            raise MachineError(f"{directory}: {error.strerror}: free some space or set TMPDIR") from error
        return directory

    def placed(self, shape: DiskShape | None) -> DiskShape | None:
        """Return a disk with its file below our directory, where it is relative. Raises MachineError."""
        if shape is None:
            return None
        folder = self.scratch / "disks"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise MachineError(f"{folder}: {error.strerror}: free some space or set TMPDIR") from error
        return replace(shape, path=folder / shape.path)


def check_name(what: str, name: str) -> str:
    """Return `name` if it can name a cgroup. Raises MachineError."""
    if not _NAME.match(name):
        raise MachineError(f"{what} {name!r} can't name a cgroup: letters, digits, '.', '_' and '-' only")
    return name


class LinuxPod:
    """A pod's sandbox."""

    def __init__(self, *, node: LinuxNode, shape: PodShape, group: Group | None, host: Host) -> None:
        self.uid = shape.uid
        self.name = shape.name
        self.node = node
        self.shape = shape
        self.guests: list[LinuxGuest] = []
        self._group = group
        self._host = host
        self._removed = False
        self._counters: dict[str, Counters] = {}
        self._ephemeral: list[Path] = []

    def memory(self) -> Memory:
        """Read now."""
        if self._group is not None:
            return self._group.read()
        return pss.sum_of(
            (guest.pid for guest in self.guests if not guest.died.is_set()), limit=self.shape.limit
        )

    def swap_limit(self, container: str) -> Bytes | None:
        """Most a container may have in swap, as the kernel has it; None: no bound, none known, or no such container."""
        return None if self._group is None else self._group.child(container).swap_limit()

    def pressure(self) -> pressure.Numbers:
        """PSI, reclaim and OOM counters of the pod, as far as this cgroup version has them."""
        return pressure.of_group(self._group) if self._group is not None else {}

    async def start_guest(self, container: str, shape: GuestShape) -> LinuxGuest:
        """Start QEMU inside the container's cgroup. Raises MachineError, with nothing left running."""
        if self._removed:
            raise MachineError(f"pod {self.name} is removed: no guest can start in it")
        declared = self.shape.containers.get(container)
        if declared is None:
            raise MachineError(
                f"pod {self.name} has no container {container!r}: {', '.join(self.shape.containers)}"
            )
        group = self._group.child(container) if self._group is not None else None
        if group is not None and container not in self._counters:
            self._counters[container] = Counters.now(self._levels(group))
        sockets = qemu.Sockets.under(self._host.next_directory())
        cache: disk.CacheMode = "none"
        shape = replace(shape, disk=self._host.placed(shape.disk))
        if shape.disk is not None:
            await asyncio.to_thread(disk.prepare, shape.disk, undo=self._host.undo)
            cache = disk.cache_mode(shape.disk)
            if shape.disk.ephemeral:
                self._ephemeral.append(shape.disk.path)
        launch = Launch(
            name=shape.name,
            container=container,
            arguments=qemu.command(
                program=self._host.program,
                shape=shape,
                image=self._host.image,
                sockets=sockets,
                accelerator=self._host.accelerator,
                cache=cache,
            ),
            sockets=sockets,
            confinement=qemu.Confinement(
                parent=os.getpid(),
                cgroup=group.path if group is not None else None,
                oom_score_adj=declared.oom_score_adj,
                huge_pages=self._host.huge_pages,
            ),
            disk=shape.disk.path if shape.disk is not None else None,
        )
        return await spawn(launch, undo=self._host.undo, own=self._own)

    def _own(self, guest: LinuxGuest) -> None:
        self.guests.append(guest)
        try:
            self._host.own(guest, self)
        except BaseException:
            guest.kill()
            raise
        if self._removed:  # removed while it was starting
            guest.kill()

    def _levels(self, container: Group) -> tuple[Level, ...]:
        assert self._group is not None
        kubepods = self.node.kubepods
        assert kubepods is not None
        assert self.node.group is not None
        return (
            Level("container", container),
            Level("pod", self._group),
            Level("kubepods", kubepods),
            Level("node", self.node.group),
        )

    def counted_kill(self, guest: LinuxGuest) -> OomKill | None:
        """Explain a guest's SIGKILL by the counters of its groups; None if no OOM kill was counted."""
        counters = self._counters.get(guest.container)
        domain = counters.blame() if counters is not None else None
        if domain is None or self._group is None:
            return None
        return OomKill(
            pid=guest.pid,
            process=qemu.PROGRAM[:15],
            domain=domain,
            node=self.node.name,
            pod_uid=self.uid,
            container=guest.container,
            oom_score_adj=guest.oom_score_adj,
            task_memcg=str(self._group.path / guest.container),
            source="memory.events" if self._group.version == "v2" else "oom_control",
        )

    async def remove(self) -> None:
        """Kill what is left and remove the cgroups. Idempotent."""
        self._removed = True
        await _end(self.guests)
        for path in self._ephemeral:
            path.unlink(missing_ok=True)
        if self._group is not None:
            await asyncio.to_thread(cgroup.remove_tree, self._group.path)
        self.node.forget(self)


class LinuxNode:
    """A node of a chosen size: a cgroup limited to its capacity, with kubepods in it."""

    def __init__(
        self,
        *,
        name: str,
        capacity: Bytes,
        group: Group | None,
        kubepods: Group | None,
        host: Host,
        swap: Bytes = _NONE,
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.swap = swap
        self.group = group
        self.kubepods = kubepods
        self.pods: dict[str, LinuxPod] = {}
        self.daemons: list[daemon.LinuxDaemon] = []
        self._host = host
        self._kubepods_limit: Bytes | None = None

    @classmethod
    def create(
        cls, *, name: str, capacity: Bytes, run: Group | None, host: Host, swap: Bytes = _NONE
    ) -> LinuxNode:
        """Make the cgroups. Raises MachineError."""
        check_name("node", name)
        if run is None:
            return cls(name=name, capacity=capacity, group=None, kubepods=None, host=host)
        group = run.child(name)
        group.make(undo=host.undo)
        group.set_limits(capacity, swap=swap)
        if swap:
            group.may_swap()
        kubepods = group.child("kubepods")
        kubepods.make(undo=host.undo)
        for qos in filter(None, cgroup.QOS_PARENT.values()):
            kubepods.child(qos).make(undo=host.undo)
        return cls(name=name, capacity=capacity, group=group, kubepods=kubepods, host=host, swap=swap)

    def bound(self, group: Group, limit: Bytes | None) -> None:
        """Set a limit as the kubelet does on pods and kubepods: on memory alone, where the node has swap."""
        if self.swap:
            group.set_limits(limit, swap=None)
        else:
            group.set_limit(limit)

    def _pids(self) -> list[int]:
        return [guest.pid for pod in self.pods.values() for guest in pod.guests if not guest.died.is_set()]

    def memory(self) -> Memory:
        """The node's root row, read now."""
        if self.group is not None:
            return self.group.read()
        own = [one.pid for one in self.daemons if not one.ended]
        return pss.sum_of([*self._pids(), *own], limit=self.capacity)

    def pressure(self) -> pressure.Numbers:
        """PSI, reclaim and OOM counters of the node's root row, as far as this cgroup version has them."""
        return pressure.of_group(self.group) if self.group is not None else {}

    def kubepods_memory(self) -> Memory:
        """The kubepods row, read now."""
        if self.kubepods is not None:
            return self.kubepods.read()
        return pss.sum_of(self._pids(), limit=self._kubepods_limit)

    def set_kubepods_limit(self, limit: Bytes | None) -> None:
        """Set the limit of kubepods (node allocatable enforcement). Only remembered where cgroups can't be written."""
        self._kubepods_limit = limit
        if self.kubepods is not None:
            self.bound(self.kubepods, limit)

    async def start_daemon(self, name: str) -> daemon.LinuxDaemon:
        """Start a process of the node's own, outside every pod. Raises MachineError."""
        if self._host.image.agent is None:
            raise MachineError(f"daemon {name}: the guest image does not say where its agent is")
        check_name("daemon", name)
        one = await daemon.start(name, self._host.image.agent, parent=self.group, undo=self._host.undo)
        self.daemons.append(one)
        return one

    async def add_pod(self, shape: PodShape) -> LinuxPod:
        """Make the pod's cgroups. Raises MachineError, with none of them left."""
        check_name("pod uid", shape.uid)
        if shape.uid in self.pods:
            raise MachineError(f"node {self.name} has pod {shape.uid} already")
        group: Group | None = None
        if self.kubepods is not None:
            parent = cgroup.QOS_PARENT[shape.qos]
            group = (self.kubepods.child(parent) if parent else self.kubepods).child(f"pod{shape.uid}")
            try:
                group.make(undo=self._host.undo)
                self.bound(group, shape.limit)
                for name, container in shape.containers.items():
                    child = group.child(check_name("container", name))
                    child.make(undo=self._host.undo)
                    _bound_container(child, container)
                    child.kill_together()
            except MachineError:
                cgroup.remove_tree(group.path)
                raise
        pod = LinuxPod(node=self, shape=shape, group=group, host=self._host)
        self.pods[shape.uid] = pod
        return pod

    def forget(self, pod: LinuxPod) -> None:
        """A pod of ours has been removed."""
        if self.pods.get(pod.uid) is pod:
            del self.pods[pod.uid]

    async def remove(self) -> None:
        """Remove all pods and the node's cgroup. Idempotent."""
        for pod in tuple(self.pods.values()):
            for guest in pod.guests:
                guest.kill()
        for one in self.daemons:
            await one.end()
        for pod in tuple(self.pods.values()):
            await pod.remove()
        if self.group is not None:
            await asyncio.to_thread(cgroup.remove_tree, self.group.path)
        self._host.removed(self)


def _bound_container(group: Group, shape: ContainerShape) -> None:
    if shape.swap is None:
        group.set_limit(shape.limit)
        return
    group.set_limits(shape.limit, swap=shape.swap)
    if shape.swap == 0:
        group.keep_in_memory()


async def _end(guests: list[LinuxGuest]) -> None:
    for guest in guests:
        guest.kill()
    for guest in guests:
        await guest.wait()
        await guest.settled.wait()
