"""This machine as a carrier of nodes: real QEMU guests, real memory cgroups, real OOM kills."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from harness.embedded.machine.base import Accounting, DiskRead, GuestImage, OomKill, Undo
from harness.embedded.machine.errors import HostLack, MachineError
from harness.embedded.machine.linux import (
    accel,
    cgroup,
    cgroupfs,
    disk,
    guest,
    kmsg,
    oom,
    probe,
    procfs,
    qemu,
)
from harness.embedded.machine.linux.cgroup import Group
from harness.embedded.machine.linux.guest import LinuxGuest
from harness.embedded.machine.linux.host import HostKnobs, HostSettings
from harness.embedded.machine.linux.node import Host, LinuxNode, LinuxPod, check_name
from harness.units import MIB, Bytes

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
Accel = Literal["auto", "kvm", "tcg"]
_BLAME = 1.0
"""Seconds to wait for the kernel's report of a kill; it is normally there before the process is gone."""


class LinuxMachine:
    """Nodes, pods and guests on this machine's kernel. `async with` opens it; closing leaves nothing behind.

    `undo` is called before each change. `huge_pages=False` keeps guest memory out of transparent huge pages, so that
    usage follows single pages. Raises MachineError on opening when QEMU or the guest image can't be used.
    """

    def __init__(
        self,
        image: GuestImage,
        *,
        undo: Undo,
        run_id: str,
        accel: Accel = "auto",
        scratch: Path | None = None,
        huge_pages: bool = True,
        kmsg_path: Path = kmsg.KMSG,
        hierarchy: cgroupfs.Hierarchy | cgroupfs.Unwritable | None = None,
    ) -> None:
        self.accounting: Accounting = "pss"
        self.accelerator: Literal["kvm", "tcg"] = "tcg"
        self.qualifiers: Mapping[str, str] = {}
        self._image = image
        self._undo = undo
        self._run_id = check_name("run id", run_id)
        self._wanted = accel
        self._scratch_parent = scratch
        self._huge_pages = huge_pages
        self._hierarchy = hierarchy
        self._run: Group | None = None
        self._host: Host | None = None
        self._tasks = asyncio.TaskGroup()
        self._nodes: dict[str, LinuxNode] = {}
        self._guests: dict[int, tuple[LinuxGuest, LinuxPod]] = {}
        self._pids: set[int] = set()
        self._follower = kmsg.Follower(self._reported, kmsg_path)
        self._kmsg_why = ""
        self._kvm_why = ""
        self._kills: list[OomKill] = []
        self.disks_read: list[DiskRead] = []
        self._news = asyncio.Event()
        """Set, and replaced, whenever a kill or a disk is added."""
        self._closed = False
        self._knobs = HostKnobs(undo=undo, run=run_id)
        self._surveyed: Mapping[str, str] = {}

    async def __aenter__(self) -> Self:
        program = qemu.find()
        qemu.check_image(self._image)
        version = await asyncio.to_thread(qemu.version, program)
        await self._choose_accelerator(program)
        hierarchy = self._hierarchy = self._hierarchy or cgroupfs.detect()
        scratch = self._make_scratch()
        try:
            if isinstance(hierarchy, cgroupfs.Hierarchy):
                self._run = cgroup.open_run(hierarchy, self._run_id, undo=self._undo)
                self.accounting = hierarchy.version
            else:
                _LOG.info("accounting by sums of PSS: %s", hierarchy.why)
            self._host = Host(
                program=program,
                image=self._image,
                accelerator=self.accelerator,
                scratch=scratch,
                undo=self._undo,
                own=self._own,
                huge_pages=self._huge_pages,
                removed=self._forget,
            )
            files = guest.loaded_files(program, (self._image.kernel, self._image.initramfs))
            await asyncio.to_thread(guest.warm, files)
            self._follow()
            await self._tasks.__aenter__()
        except BaseException:
            self._take_down(scratch)
            raise
        self.qualifiers = {
            "kernel": os.uname().release,
            "qemu": version,
            "guestKernel": self._image.release,
            "accelerator": self.accelerator,
            "cgroup": self.accounting,
            "thp": procfs.transparent_huge_pages() if self._huge_pages else "off for guests",
        }
        return self

    async def _choose_accelerator(self, program: Path) -> None:
        if self._wanted == "tcg":
            self._kvm_why = accel.why_no_kvm(program, None)
            return
        self._kvm_why = await asyncio.to_thread(accel.why_no_kvm, program, self._image)
        if not self._kvm_why:
            self.accelerator = "kvm"
        elif self._wanted == "kvm":
            raise MachineError(f"KVM can't be used: {self._kvm_why}: use --accel tcg")

    def _make_scratch(self) -> Path:
        parent = self._scratch_parent or Path(tempfile.gettempdir())
        scratch = parent / f"{cgroupfs.SUBTREE}-{secrets.token_hex(4)}"
        self._undo({"op": "rmtree", "path": str(scratch)})
        try:
            scratch.mkdir(mode=0o700)
        except OSError as error:
            raise MachineError(f"{scratch}: {error.strerror}: free some space or set TMPDIR") from error
        return scratch

    def _follow(self) -> None:
        try:
            self._follower.start()
        except OSError as error:
            self._kmsg_why = f"{error.filename or '/dev/kmsg'}: {error.strerror}"
            _LOG.info("OOM kills are told by counters: %s", self._kmsg_why)

    async def __aexit__(self, *exc: object) -> None:
        assert self._host is not None
        try:
            for node in tuple(self._nodes.values()):
                await node.remove()
        finally:
            for one, _ in self._guests.values():
                one.kill()
            try:
                # the guests' tasks end with them; our caller's exception is his, not the group's
                await self._tasks.__aexit__(None, None, None)
            finally:
                try:
                    # after the guests: their merged and swapped pages are gone, so that this is quick
                    await asyncio.to_thread(self._knobs.give_back)
                finally:
                    self._take_down(self._host.scratch)

    async def apply_host(self, settings: HostSettings) -> None:
        """Set KSM and swap of the whole machine until it closes, before the nodes that need it are made.

        May be called again with other KSM knobs. Raises HostBusy while another harness has them, HostLack where the machine
        can't, MachineError.
        """
        if self._host is None or self._closed:
            raise MachineError("the machine is not open")
        await asyncio.to_thread(self._knobs.apply, settings)
        if settings.swap is not None:
            bound = "" if self.accounting == "v2" else ", bounded together with memory (cgroup v1)"
            what = f"{settings.swap.kind} of {settings.swap.size // MIB} MiB{bound}"
            self.qualifiers = {**self.qualifiers, "swap": what}

    def host_samples(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the machine says of itself now, by the `source` of a sample: meminfo, ksm, swap, psi, vmstat."""
        return self._knobs.samples()

    @property
    def swap(self) -> Bytes:
        """Size of the swap area made by `apply_host`; 0 without. New nodes may use all of it."""
        return self._knobs.area.size if self._knobs.area is not None else Bytes(0)

    def _take_down(self, scratch: Path) -> None:
        self._closed = True
        self._follower.close()
        self._wake()
        if self._run is not None:
            cgroup.remove_tree(self._run.path)
            with contextlib.suppress(OSError):  # another harness is using it
                self._run.path.parent.rmdir()
        shutil.rmtree(scratch, ignore_errors=True)

    def capabilities(self) -> Mapping[str, str]:
        """Capability name → `yes` or why not."""
        if not self._surveyed:
            self._surveyed = {item.name: item.text for item in probe.survey() if item.name in probe.MACHINE}
        found = dict(self._surveyed)
        if isinstance(self._hierarchy, cgroupfs.Unwritable):
            found["cgroup-write"] = self._hierarchy.why
        found["kvm"] = self._kvm_why or "yes"
        if self._kmsg_why:
            found["kmsg"] = self._kmsg_why
        return found

    async def create_node(self, name: str, capacity: Bytes, *, swap: Bytes | None = None) -> LinuxNode:
        """Make a node's cgroup of that size. Raises MachineError (larger than the machine, not writable, …).

        `swap`: how much of the machine's swap it may use; None: all that `apply_host` made.
        """
        if self._host is None or self._closed:
            raise MachineError("the machine is not open")
        if name in self._nodes:
            raise MachineError(f"there is a node {name} already")
        total = cgroup.room(self._run)
        asked = capacity + sum(node.capacity for node in self._nodes.values())
        if asked > total:
            raise HostLack(
                f"node {name} of {capacity // MIB} MiB is larger than the machine: "
                f"{asked // MIB} MiB of nodes in {total // MIB} MiB: ask for smaller nodes"
            )
        node = LinuxNode.create(
            name=name,
            capacity=capacity,
            run=self._run,
            host=self._host,
            swap=self.swap if swap is None else swap,
        )
        self._nodes[name] = node
        return node

    def _forget(self, node: LinuxNode) -> None:
        if self._nodes.get(node.name) is node:
            del self._nodes[node.name]

    def _own(self, one: LinuxGuest, pod: LinuxPod) -> None:
        self._guests[one.pid] = (one, pod)
        self._pids.add(one.pid)
        self._tasks.create_task(self._supervise(one), name=f"guest {one.name}")

    async def _supervise(self, one: LinuxGuest) -> None:
        try:
            await one.supervise(self._blame)
            if one.disk is not None:
                _, pod = self._guests[one.pid]
                self.disks_read.append(
                    await asyncio.to_thread(disk.read_ended, one.disk, pod_uid=pod.uid, guest=one.name)
                )
                self._wake()
        finally:
            one.settled.set()
            if one.pid in self._guests and self._guests[one.pid][0] is one:  # pids come again
                del self._guests[one.pid]

    async def _blame(self, one: LinuxGuest) -> OomKill | None:
        """Find the OOM kill of a guest that went by a SIGKILL nobody here sent: the kernel's report, else counters."""
        _, pod = self._guests[one.pid]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BLAME if not self._kmsg_why else 0):
                while True:
                    self._follower.drain()
                    kill = self._reported_kill(one, pod)
                    if kill is not None:
                        return kill
                    await self._news.wait()
        kill = pod.counted_kill(one)
        if kill is not None:
            self._publish(kill)
        return kill

    def _reported_kill(self, one: LinuxGuest, pod: LinuxPod) -> OomKill | None:
        for kill in reversed(self._kills):
            if kill.pid == one.pid:
                return kill
            # in a pid namespace the kernel's pids are not ours: then the container tells
            same_place = (kill.pod_uid, kill.container) == (pod.uid, one.container)
            if same_place and kill.pid not in self._pids:
                return kill
        return None

    def _reported(self, report: oom.Report) -> None:
        run = self._run.path.name if self._run is not None else self._run_id
        kill = report.kill(run)
        known = self._guests.get(report.pid)
        if report.oom_memcg is None:
            # the kernel left its first line out: place and domain come from what we know of the process
            if known is None or not known[0].name:
                return
            counted = known[1].counted_kill(known[0])
            kill = counted or kill
        elif not kill.node:
            if known is None or known[0].died.is_set():
                return  # not of our tree, and not one of our processes
            one, pod = known
            kill = OomKill(
                pid=report.pid,
                process=report.process,
                domain="global",
                node=pod.node.name,
                pod_uid=pod.uid,
                container=one.container,
                oom_score_adj=report.oom_score_adj,
                oom_memcg=report.oom_memcg,
                task_memcg=report.task_memcg,
                rss=report.rss,
                lines=report.lines,
            )
        self._publish(kill)

    def _publish(self, kill: OomKill) -> None:
        self._kills.append(kill)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def oom_kills(self) -> AsyncIterator[OomKill]:
        """Yield kills under this machine's nodes: those already reported, then new ones, until the machine closes."""
        async for kill in self._all_of(self._kills):
            yield kill

    async def disk_reads(self) -> AsyncIterator[DiskRead]:
        """Yield what lay on the disks of guests that have ended, then of those that end, until the machine closes."""
        async for read in self._all_of(self.disks_read):
            yield read

    async def _all_of(self, told: Sequence[T]) -> AsyncIterator[T]:
        position = 0
        while True:
            changed = self._news
            while position < len(told):
                position += 1
                yield told[position - 1]
            if self._closed:
                return
            await changed.wait()
