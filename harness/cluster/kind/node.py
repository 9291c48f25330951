"""One kind node: its size, its kubelet's settings, and how to make it again what kind made it.

Size (facts: option B): a limit on the node's container for memory and swap together, and a bind-mounted
/proc/meminfo with that MemTotal, written in place since a bind shows the old inode for ever. The kubelet reads its
capacity once at start; so everything is set first and it is restarted once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.cluster.base import Undo
from harness.cluster.errors import ClusterError
from harness.cluster.kind import meminfo
from harness.cluster.kind.engine import Engine
from harness.cluster.kind.processes import CallError
from harness.cluster.nodes import in_force
from harness.cluster.nodes import kubelet_files as kubelet
from harness.cluster.nodes.calibrate import calibrated
from harness.cluster.nodes.looks import PROC
from harness.kube import node as kube_node
from harness.kube.objects import Objects
from harness.kube.resources import NODES
from harness.rules.errors import RulesError
from harness.rules.quantities import parse_bytes
from harness.units import KIB, MIB, Bytes

Method = Literal["meminfo", "threshold", "none"]
"""How a node got its size: B, C, or not at all."""

DIRECTORY = "/run/density"
FAKE = f"{DIRECTORY}/meminfo"

OPEN_PROC = (
    f"mkdir -p {PROC} && "
    f'{{ grep -q " {PROC} " /proc/self/mountinfo || mount -t proc -o ro,nosuid,nodev,noexec proc {PROC}; }}'
)
WRITE_FAKE = f"dd of={FAKE} conv=notrunc status=none"
COVER = f'grep -q "/density/meminfo /proc/meminfo " /proc/self/mountinfo || mount --bind {FAKE} /proc/meminfo'
UNCOVER = 'while grep -q "/density/meminfo /proc/meminfo " /proc/self/mountinfo; do umount /proc/meminfo || exit 1; done'
WORKING_SET = (
    "cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.stat 2>/dev/null || "
    "cat /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory/memory.stat"
)

SCHEDULABLE = "kubevirt.io/schedulable"
DEVICES = "devices.kubevirt.io/"
KVM = f"{DEVICES}kvm"
"""Resources of virt-handler's device plugins: kvm, tun, vhost-net, … Pods of emulated guests request no kvm."""

RESTART = 60.0
"""Seconds for `systemctl restart kubelet`: stopping may take its TimeoutStopSec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """What came of sizing a node."""

    memory: Bytes
    method: Method
    limited: bool
    """Whether the engine's limit holds; without it the node runs into its machine's limit, not its own."""
    why: str = ""
    """Why a lesser method was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What VMIs need of a node, as its status and virt-handler's label tell it.

    A restarted kubelet has no devices until virt-handler has registered them again, seconds later; a pod that came
    meanwhile would be refused (UnexpectedAdmissionError). Until the kubelet's first report its old status stands.
    """

    reported: str
    """Which node, and when its kubelet last patched its status (the Ready condition's lastHeartbeatTime); '' if never."""
    schedulable: bool
    devices: frozenset[str]
    """Of virt-handler's device plugins, those of which there are some."""

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Offer:
        """Read a node."""
        status = node.get("status") or {}
        none: Mapping[str, Any] = {}
        ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), none)
        heartbeat = ready.get("lastHeartbeatTime")
        labels = node["metadata"].get("labels") or {}
        return cls(
            # whole seconds: a node that was registered anew within one has another uid
            reported=f"{node['metadata'].get('uid', '')} {heartbeat}" if heartbeat else "",
            schedulable=labels.get(SCHEDULABLE) == "true",
            devices=frozenset(
                name
                for name, amount in (status.get("allocatable") or {}).items()
                if name.startswith(DEVICES) and str(amount) != "0"
            ),
        )

    def lacks(self, before: Offer, wanted: Collection[str] = ()) -> str:
        """What is not as it was before its kubelet was restarted, '' if it is all there again.

        `wanted`: devices that guests need, also if they were not there yet.
        """
        if before.reported and self.reported == before.reported:
            return "its kubelet has reported nothing since"
        if not self.schedulable:
            return f"label {SCHEDULABLE} is not true"
        missing = sorted({*before.devices, *wanted} - self.devices)
        hint = " (--kubevirt-emulation yes does without)" if KVM in missing else ""
        return f"no {', '.join(missing)}{hint}" if missing else ""


class Node:
    """A worker. `machine`: memory of the engine's machine."""

    def __init__(self, name: str, *, engine: Engine, undo: Undo, machine: Bytes) -> None:
        self.name = name
        self._engine = engine
        self._undo = undo
        self._machine = machine
        self._files: kubelet.Files | None = None
        self._sized = False

    async def working_set(self) -> Bytes:
        """What the node uses now, as its kubelet would say: usage - inactive file pages. Raises CallError."""
        text = await self._engine.execute(self.name, "sh", "-c", WORKING_SET)
        usage, inactive = 0, 0
        for number, line in enumerate(text.splitlines()):
            key, _, value = line.partition(" ")
            if number == 0:
                usage = int(key)
            elif key == "total_inactive_file" or (key == "inactive_file" and not inactive):
                inactive = int(value)
        return Bytes(max(0, usage - inactive))

    async def total(self) -> Bytes:
        """The machine's memory as seen from the node, past any cover; the engine's word where that can't be seen."""
        try:
            await self._engine.execute(self.name, "sh", "-c", OPEN_PROC)
            rows = meminfo.parse(await self._engine.execute(self.name, "cat", f"{PROC}/meminfo"))
        except CallError:  # a second procfs is refused in some user namespaces
            return self._machine
        return Bytes(rows.get("MemTotal", self._machine))

    # -- setting -----------------------------------------------------------------------------------------------------

    async def prepare(self, memory: Bytes | None, settings: Mapping[str, Any], *, how: str) -> Sized:
        """Give the node a size and its kubelet settings, and restart the kubelet. Raises ClusterError.

        `memory` None: the machine's. `how`: the method wanted, or auto.
        """
        try:
            files = await self._remember()
            sized = await self._size(memory, how)
            if sized.method == "threshold":
                settings = calibrated(settings, machine=self._machine, node=sized.memory)
            await self._configure(files, settings)
        except CallError as error:
            raise ClusterError(f"node {self.name}: {error}") from error
        return sized

    async def _remember(self) -> kubelet.Files:
        """Find the settings' files and write the undo entry before anything is changed."""
        if self._files is None:
            self._files = kubelet.files(await self._engine.execute(self.name, "sh", "-c", kubelet.FIND))
            self._machine = await self.total()
            self._undo(
                {
                    "op": "kind-node-restore",
                    "target": self.name,
                    "engine": self._engine.program,
                    "flavour": self._engine.flavour,
                    "environment": self._engine.address,
                    "config": self._files.config,
                    "drop-in": self._files.drop_in,
                    "memory": self._machine,
                }
            )
        return self._files

    async def _size(self, memory: Bytes | None, how: str) -> Sized:
        if memory is None or how == "none":
            await self._unsize()
            why = "sizing nodes is switched off" if memory is not None else ""
            return Sized(memory=self._machine, method="none", limited=False, why=why)
        memory = Bytes(memory // KIB * KIB)
        self._sized = True
        limited, why = True, ""
        try:
            await self._engine.limit(self.name, memory)
        except CallError as error:
            limited, why = False, f"no limit on its container: {error}"
        if limited and how != "threshold":
            try:
                await self._cover(memory)
            except CallError as error:
                why = f"/proc/meminfo can't be covered: {error}"
            else:
                return Sized(memory=memory, method="meminfo", limited=True)
        if how == "meminfo":
            raise ClusterError(f"node {self.name} can't be {memory // MIB} MiB: {why}")
        await self._engine.execute(self.name, "sh", "-c", UNCOVER)
        return Sized(
            memory=memory,
            method="threshold",
            limited=limited,
            why=why or "calibrated thresholds were asked for",
        )

    async def _cover(self, memory: Bytes) -> None:
        content = meminfo.render(memory)
        await self._engine.execute(self.name, "sh", "-c", WRITE_FAKE, stdin=content.encode())
        await self._engine.execute(self.name, "sh", "-c", COVER)
        seen = meminfo.parse(await self._engine.execute(self.name, "cat", "/proc/meminfo"))
        if seen.get("MemTotal") != memory:
            raise CallError(f"it still says {seen.get('MemTotal')} bytes")

    async def _unsize(self) -> None:
        if self._sized:
            await self._engine.limit(self.name, self._machine, swap=-1)
            self._sized = False
        await self._engine.execute(self.name, "sh", "-c", UNCOVER)

    async def _configure(self, files: kubelet.Files, settings: Mapping[str, Any]) -> None:
        run = self._engine.execute
        if files.drop_in:
            target, content = files.drop_in, kubelet.drop_in(settings)
        else:
            await run(self.name, "sh", "-c", kubelet.KEEP, "sh", files.config, kubelet.PRISTINE_SUFFIX)
            target = files.config
            content = kubelet.patched(await run(self.name, "cat", files.pristine), settings)
        await run(self.name, "sh", "-c", kubelet.REPLACE, "sh", target, stdin=content.encode())
        await self.restart()

    async def offers(self, objects: Objects) -> Offer:
        """What the node offers VMIs now. Raises KubeError."""
        return Offer.of(await objects.get(NODES, self.name))

    async def until_offered(self, objects: Objects, before: Offer, wanted: Collection[str] = ()) -> None:
        """Wait until the node offers VMIs what it did, and what they need: a restarted kubelet has forgotten its devices.

        Raises ClusterError.
        """

        async def lacking() -> str:
            return (await self.offers(objects)).lacks(before, wanted)

        if lacks := await in_force.until_right(lacking):
            raise ClusterError(
                f"node {self.name} does not take VMIs again {in_force.IN_FORCE:g} s after its kubelet's restart: {lacks}; "
                "is virt-handler there?"
            )

    async def restart(self) -> None:
        """Restart the kubelet. Raises CallError."""
        await self._engine.execute(self.name, "systemctl", "restart", "kubelet", seconds=RESTART)

    async def restore(self) -> None:
        """Make the node again what kind made it. Raises CallError. Does nothing if nothing was done."""
        if self._files is None:
            return
        files = self._files
        arguments = kubelet.restore_arguments(files.config, files.drop_in)
        await self._engine.execute(self.name, *arguments, seconds=RESTART)
        if self._sized:
            await self._engine.limit(self.name, self._machine, swap=-1)
        self._sized = False

    # -- seeing that it holds ------------------------------------------------------------------------------------------

    async def verify(self, objects: Objects, sized: Sized, settings: Mapping[str, Any]) -> str:
        """Wait until the kubelet runs with these settings and this size.

        Returns '' or, where only the size is not in force, what is there instead (the caller then takes the lesser
        method). Raises ClusterError with the kubelet's own last words where the settings are not.
        """
        if sized.method == "threshold":
            settings = calibrated(settings, machine=self._machine, node=sized.memory)
        size = ""

        async def look() -> str:
            nonlocal size
            if wrong := await in_force.wrong_settings(objects, self.name, settings):
                return wrong
            size = await self._wrong_size(objects, sized.memory) if sized.method == "meminfo" else ""
            return size

        wrong = await in_force.until_right(look)
        if wrong == size:
            return wrong
        try:
            journal = await self._engine.execute(self.name, *kubelet.JOURNAL)
        except CallError as error:
            journal = str(error)
        raise ClusterError(
            f"node {self.name} does not run as asked after {in_force.IN_FORCE:g} s: {wrong}; kubelet: {kubelet.why_dead(journal)}"
        )

    async def _wrong_size(self, objects: Objects, memory: Bytes) -> str:
        status = (await objects.get(NODES, self.name)).get("status") or {}
        try:
            capacity = parse_bytes((status.get("capacity") or {}).get("memory", "0"))
        except RulesError as error:
            return f"capacity: {error}"
        if capacity != memory:
            return f"capacity is {capacity} bytes, not {memory}"
        row = ((await kube_node.stats_summary(objects, self.name)).get("node") or {}).get("memory") or {}
        total = int(row.get("availableBytes") or 0) + int(row.get("workingSetBytes") or 0)
        # one sample computes both from the same limit
        return "" if total == memory else f"capacity in stats/summary is {total} bytes, not {memory}"
