"""The contract between our kubelet and the machine under it. No Kubernetes objects cross this line.

Times are `asyncio` loop times unless said otherwise. `Undo` is called, and has returned, before any change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

from harness.units import Bytes, Seconds

Undo = Callable[[Mapping[str, Any]], None]
"""Makes one undo entry durable: `{"op": "rmdir-cgroup"|"write"|"kill"|"rmtree"|"swapoff", …}`. See run/undo.py."""

Accounting = Literal["v1", "v2", "pss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one subject (node, kubepods, pod) uses now. `working_set = usage - inactive_file`, floor 0."""

    usage: Bytes
    working_set: Bytes
    inactive_file: Bytes = Bytes(0)
    rss: Bytes | None = None
    limit: Bytes | None = None
    swap: Bytes | None = None
    failcnt: int | None = None
    oom_kill: int | None = None
    accounting: Accounting = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OomKill:
    """One OOM kill as the kernel reported it. `domain` is where the limit was hit."""

    pid: int
    process: str
    domain: Literal["container", "pod", "kubepods", "node", "global"]
    node: str = ""
    pod_uid: str = ""
    container: str = ""
    oom_score_adj: int | None = None
    oom_memcg: str = ""
    task_memcg: str = ""
    rss: Bytes | None = None
    source: Literal["kmsg", "memory.events", "oom_control"] = "kmsg"
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestExit:
    """How a QEMU ended. A guest panic exits 0 too: read the console before calling it a shutdown."""

    code: int | None
    signal: int | None
    oom: OomKill | None
    at: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskShape:
    """A raw virtio-blk disk. A file that is not there yet is made, sparse, of `size`; one that is there is used as it is.

    `path`: a relative one lies in the machine's work directory, which goes when the machine closes.
    `serial`: the guest agent writes only to a disk named `density`. `cache`: libvirt's names; `auto` is what KubeVirt
    does without `disk.cache`: none where the file takes O_DIRECT, else writethrough (virt-launcher, SetDriverCacheMode).
    `ephemeral`: the file goes with the pod.
    """

    path: Path
    size: Bytes
    serial: str = "density"
    cache: Literal["auto", "none", "writethrough", "writeback"] = "auto"
    ephemeral: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRead:
    """What lay on a guest's disk after its QEMU was gone, and before anything else could write to it.

    `runs`: number a boot of the agent gave its records → ranges of sequence numbers, inclusive, that are whole.
    `slots`: how many records the disk holds. `torn`: broken ones. `why`: it could not be read; the rest is empty then.
    """

    pod_uid: str
    guest: str
    runs: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    slots: int = 0
    torn: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestShape:
    """One QEMU, as far as memory is concerned.

    `balloon`: the device of `autoattachMemBalloon`; nobody ever moves it, it is there for free page reporting.
    """

    name: str
    memory: Bytes
    vcpus: int = 1
    graphics: bool = True
    free_page_reporting: bool = True
    mem_merge: bool = True
    balloon: bool = True
    disk: DiskShape | None = None
    nonce: str = ""
    deaf: bool = False
    kernel_args: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    """A pod's cgroups: its QoS parent, its own limit (None: none) and its containers' limits and oom_score_adj."""

    uid: str
    name: str
    qos: Literal["Guaranteed", "Burstable", "BestEffort"]
    limit: Bytes | None
    containers: Mapping[str, ContainerShape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerShape:
    """A container's cgroup. `oom_score_adj` is written as far as the machine permits and read back.

    `swap`: `memory.swap.max`, the container's share under LimitedSwap (rules.swap). None: no swap where there is a limit.
    v1 can't bound swap alone: memory and swap together get `limit + swap`, and 0 without a limit is swappiness 0.
    """

    limit: Bytes | None
    oom_score_adj: int
    swap: Bytes | None = None


class Console(Protocol):
    """A guest's serial console: everything it ever wrote is kept; several readers may read it."""

    def read(self, *, from_start: bool = False) -> AsyncIterator[bytes]:
        """Yield chunks as they come until the guest is gone."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes to the guest. Raises ConsoleClosed when it is gone."""
        ...

    def history(self) -> bytes:
        """Everything written so far (bounded to the newest 4 MiB)."""
        ...


class Guest(Protocol):
    """A running (or ended) QEMU."""

    name: str
    pid: int
    console: Console
    oom_score_adj: int | None
    """As read back from the kernel; None where it could not be written."""

    async def power_button(self) -> None:
        """Press the ACPI power button (QMP system_powerdown)."""
        ...

    def terminate(self) -> None:
        """SIGTERM to QEMU."""
        ...

    def kill(self) -> None:
        """SIGKILL to QEMU."""
        ...

    async def wait(self) -> GuestExit:
        """Return once the process is gone and reaped. Any number of waiters."""
        ...

    def process_memory(self) -> Mapping[str, int]:
        """`{"pid", "rss", "pss"}` and, where the kernel tells, `swapPss`, `ksmMerging`, `ksmProfit` in bytes; {} when gone."""
        ...


class Pod(Protocol):
    """A pod's sandbox: cgroups and the guests in them."""

    uid: str

    def memory(self) -> Memory:
        """Read now."""
        ...

    def swap_limit(self, container: str) -> Bytes | None:
        """Most a container may have in swap, as the kernel has it; None: no bound, none known, or no such container.

        v2: `memory.swap.max`. v1: what memory and swap together may be beyond the limit; 0 where swappiness keeps it out.
        """
        ...

    async def start_guest(self, container: str, shape: GuestShape) -> Guest:
        """Start QEMU inside the container's cgroup. Raises MachineError."""
        ...

    async def remove(self) -> None:
        """Kill what is left and remove the cgroups. Idempotent."""
        ...


class Node(Protocol):
    """A node of a chosen size."""

    name: str
    capacity: Bytes
    swap: Bytes
    """SwapTotal of the node; 0: none."""

    def memory(self) -> Memory:
        """The node's root row, read now: what `memory.available = capacity - working_set` is made of."""
        ...

    def kubepods_memory(self) -> Memory:
        """The kubepods row, read now."""
        ...

    def set_kubepods_limit(self, limit: Bytes | None) -> None:
        """Set memory.max / memory.limit_in_bytes of kubepods."""
        ...

    async def add_pod(self, shape: PodShape) -> Pod:
        """Make the pod's cgroups. Raises MachineError."""
        ...

    async def remove(self) -> None:
        """Remove all pods and the node's cgroup. Idempotent."""
        ...


class Machine(Protocol):
    """A machine that can carry nodes. `async with` opens and closes it; closing leaves nothing behind."""

    accounting: Accounting
    accelerator: Literal["kvm", "tcg"]
    qualifiers: Mapping[str, str]
    """`kernel`, `qemu`, `guestKernel`, `accelerator`, `cgroup` for the badge."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def capabilities(self) -> Mapping[str, str]:
        """Capability name → `yes` or why not: `cgroup-write`, `cgroup-v2`, `kvm`, `ksm`, `swap`, `oom-adj-negative`, `kmsg`."""
        ...

    async def create_node(self, name: str, capacity: Bytes) -> Node:
        """Make a node's cgroup of that size. Raises MachineError (larger than the machine, not writable, …)."""
        ...

    def oom_kills(self) -> AsyncIterator[OomKill]:
        """Yield kills under this machine's nodes as they are reported."""
        ...


@runtime_checkable
class ReadsDisks(Protocol):
    """A machine whose guests have disks that can be read."""

    def disk_reads(self) -> AsyncIterator[DiskRead]:
        """Yield what lay on the disk of each guest that had one, as they end."""
        ...


class Daemon(Protocol):
    """A process of the node's own, outside every pod: commands in, lines out (console protocol 1)."""

    name: str
    pid: int

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        ...

    async def send(self, line: str) -> None:
        """Send it a command; one that is gone is no error."""
        ...

    def lines(self) -> AsyncIterator[str]:
        """Yield what it says until it is gone. For one reader."""
        ...

    async def end(self) -> None:
        """Kill it and wait until it is gone. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImage:
    """Kernel and initramfs a guest boots, and the release string of the kernel. `agent`: its init, as a program of this machine."""

    kernel: Path
    initramfs: Path
    release: str
    agent: Path | None = None
