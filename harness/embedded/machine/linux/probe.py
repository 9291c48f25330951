"""What this machine can and cannot do, and the command that mends it: the rows of `density doctor`. Changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.embedded.machine.base import GuestImage
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import accel, cgroup, cgroupfs, kmsg, procfs, qemu, swap
from harness.units import GIB, MIB

MACHINE = frozenset({"cgroup-write", "cgroup-v2", "kvm", "ksm", "swap", "oom-adj-negative", "kmsg"})
"""The names a machine reports as its capabilities; the others are about getting started."""

_KSM = Path("/sys/kernel/mm/ksm/run")
_CAP_SYS_ADMIN = 21
_NEEDED_MEMORY = 2 * GIB
_NEEDED_DISK = 500 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One row: `why` says why not (or what was found), `mend` is a command or a sentence that would change it."""

    name: str
    value: Literal["yes", "no"]
    why: str = ""
    mend: str = ""

    @property
    def text(self) -> str:
        """`yes`, or why not."""
        return "yes" if self.value == "yes" else self.why


def survey(*, deep: bool = False, image: GuestImage | None = None) -> list[Capability]:
    """Look at everything, < 1 s. `deep` boots `image` under KVM to see (up to 5 s, once per boot of the machine)."""
    hierarchy = cgroupfs.detect()
    return [
        _qemu(),
        _guest_kernel(),
        _cc(),
        _root(),
        _memory(),
        _disk(),
        _cgroup_write(hierarchy),
        _cgroup_v2(hierarchy),
        _kvm(image if deep else None),
        _ksm(),
        _swap(hierarchy),
        _node_memory(hierarchy),
        _oom_adj_negative(),
        _kmsg(),
    ]


def _yes(name: str, why: str = "") -> Capability:
    return Capability(name=name, value="yes", why=why)


def _no(name: str, why: str, mend: str) -> Capability:
    return Capability(name=name, value="no", why=why, mend=mend)


def _qemu() -> Capability:
    try:
        program = qemu.find()
        return _yes("qemu", f"{program} {qemu.version(program)}")
    except MachineError as error:
        return _no("qemu", str(error).split(": ", 1)[0], qemu.INSTALL)


def _guest_kernel() -> Capability:
    missing = [tool for tool in ("apt-get", "apt-cache", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        return _no(
            "guest-kernel",
            f"no {' and no '.join(missing)} to fetch the distribution's cloud kernel with",
            "give a kernel of your own with --guest-kernel",
        )
    return _yes("guest-kernel", "from the package linux-image-cloud-amd64, unpacked without installing")


def _cc() -> Capability:
    for name in ("cc", "gcc"):
        found = shutil.which(name)
        if found is not None and Path("/usr/include/stdio.h").exists():
            return _yes("cc", found)
    return _no("cc", "no C compiler with the C library's headers", "apt-get install -y gcc libc6-dev")


def _root() -> Capability:
    if os.geteuid() == 0:
        return _yes("root")
    return _no("root", f"running as uid {os.geteuid()}", "run it as root")


def _memory() -> Capability:
    available = procfs.meminfo()["MemAvailable"]
    if available < _NEEDED_MEMORY:
        return _no(
            "memory",
            f"{available // MIB} MiB available, 2048 wanted",
            "stop something, or use a larger machine",
        )
    return _yes("memory", f"{available // MIB} MiB available")


def _disk() -> Capability:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_DISK:
        return _no(
            "disk",
            f"{free // MIB} MiB free in {folder}, 500 wanted",
            f"free some space in {folder} or set TMPDIR",
        )
    return _yes("disk", f"{free // MIB} MiB free in {folder}")


def _cgroup_write(hierarchy: cgroupfs.Hierarchy | cgroupfs.Unwritable) -> Capability:
    if isinstance(hierarchy, cgroupfs.Unwritable):
        return _no("cgroup-write", hierarchy.why, hierarchy.mend)
    return _yes("cgroup-write", f"{hierarchy.version} under {hierarchy.root}")


def _cgroup_v2(hierarchy: cgroupfs.Hierarchy | cgroupfs.Unwritable) -> Capability:
    if isinstance(hierarchy, cgroupfs.Hierarchy) and hierarchy.version == "v2":
        return _yes("cgroup-v2")
    if isinstance(hierarchy, cgroupfs.Hierarchy):
        why = "the memory controller is on a version 1 hierarchy"
    else:
        why = hierarchy.why
    return _no("cgroup-v2", why, "boot with systemd.unified_cgroup_hierarchy=1")


def _kvm(image: GuestImage | None) -> Capability:
    try:
        why = accel.why_no_kvm(qemu.find(), image)
    except MachineError:
        why = "no QEMU to probe it with"
    return _no("kvm", why, "enable (nested) virtualisation; TCG is used until then") if why else _yes("kvm")


def _ksm() -> Capability:
    if not _KSM.exists():
        return _no("ksm", "this kernel has no KSM", "use a kernel with CONFIG_KSM=y")
    if not os.access(_KSM, os.W_OK):
        return _no("ksm", f"{_KSM} is not writable", "run it as root on a machine of your own")
    return _yes("ksm")


def _swap(hierarchy: cgroupfs.Hierarchy | cgroupfs.Unwritable) -> Capability:
    if not Path("/proc/swaps").exists():
        return _no("swap", "this kernel has no swap", "use a kernel with CONFIG_SWAP=y")
    if not _has_capability(_CAP_SYS_ADMIN):
        return _no("swap", "swapon needs CAP_SYS_ADMIN", "run it as root on a machine of your own")
    root = hierarchy.root if isinstance(hierarchy, cgroupfs.Hierarchy) and hierarchy.version == "v1" else None
    if root is not None and not (root / "memory.memsw.limit_in_bytes").exists():
        return _no("swap", "this kernel does not account swap per cgroup", "boot with swapaccount=1")
    why = swap.why_no_area()
    return (
        _no("swap", why, "set TMPDIR to a directory on a disk, or run `modprobe zram`")
        if why
        else _yes("swap")
    )


def _node_memory(hierarchy: cgroupfs.Hierarchy | cgroupfs.Unwritable) -> Capability:
    """How large nodes may be together. Whether that is enough depends on the scenario; a run of it says so."""
    root = None
    if isinstance(hierarchy, cgroupfs.Hierarchy):
        root = cgroup.Group(hierarchy.root, hierarchy.version)
    return _yes("node-memory", f"nodes of {cgroup.room(root) // MIB} MiB together")


def _oom_adj_negative() -> Capability:
    # tried on a child: the permission also depends on user namespaces and on the lowest value set before
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        try:
            procfs.write_once(f"/proc/{child.pid}/oom_score_adj", "-1")
        except OSError as error:
            return _no(
                "oom-adj-negative",
                f"oom_score_adj below 0 is refused ({error.strerror}): no CAP_SYS_RESOURCE",
                "run it as root with CAP_SYS_RESOURCE",
            )
    return _yes("oom-adj-negative")


def _kmsg() -> Capability:
    why = kmsg.why_unreadable()
    return _no("kmsg", why, "run it as root, or sysctl kernel.dmesg_restrict=0") if why else _yes("kmsg")


def _has_capability(bit: int) -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> bit & 1)
    return False
