"""One QEMU: its command line, and how its process is confined before it becomes QEMU.

The command line is the measured recipe (docs/machine.md): q35, qemu64, a 32 MiB translation cache under TCG, no
default devices, a balloon with free page reporting, and a video device exactly where the VMI has one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.embedded.machine.base import GuestImage, GuestShape
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import syscalls
from harness.embedded.machine.linux.disk import CacheMode
from harness.embedded.machine.linux.procfs import write_once

Accelerator = Literal["kvm", "tcg"]

PROGRAM = "qemu-system-x86_64"
INSTALL = "apt-get install -y --no-install-recommends qemu-system-x86"
NICE = 5
"""Below the harness, whose own passes must stay on time: a third of its weight. At 10 (a tenth), with other work on the
machine, a guest's boot took more than 40 s instead of 5."""
KERNEL_ARGS = (
    "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check "
    "8250.nr_uarts=1 cryptomgr.notests audit=0"
)
"""nokaslr: the guest's first touched pages lie where the primer expects them; with KASLR 35-38 MiB hide."""


def find() -> Path:
    """Return QEMU's path. Raises MachineError with the command that installs it."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise MachineError(f"{PROGRAM} is not on PATH: run `{INSTALL}`")
    return Path(found)


def version(program: Path) -> str:
    """Return QEMU's version, like 7.2.22. Raises MachineError when it can't run at all."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise MachineError(f"{program} does not run: {error}: reinstall it with `{INSTALL}`") from error
    words = done.stdout.split()
    return words[words.index("version") + 1] if "version" in words[:-1] else done.stdout.strip()


def check_image(image: GuestImage) -> None:
    """Raise MachineError when kernel or initramfs can't be read."""
    for what, path in (("guest kernel", image.kernel), ("guest initramfs", image.initramfs)):
        if not os.access(path, os.R_OK) or not path.is_file():
            raise MachineError(
                f"{what} {path} can't be read: build it again, or give one with --guest-kernel"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """The sockets of one QEMU, in its own directory."""

    serial: Path
    qmp: Path
    vnc: Path

    @classmethod
    def under(cls, directory: Path) -> Sockets:
        """Name them; short, since a socket path has 107 bytes."""
        return cls(serial=directory / "ser", qmp=directory / "qmp", vnc=directory / "vnc")


def command(
    *,
    program: Path,
    shape: GuestShape,
    image: GuestImage,
    sockets: Sockets,
    accelerator: Accelerator,
    cache: CacheMode = "none",
) -> list[str]:
    """Return the argument list. `shape.memory` goes to the byte (QEMU rounds up to its page size).

    `cache` is how the disk's file is opened (disk.cache_mode), for a shape that has one.
    """
    accel = "kvm" if accelerator == "kvm" else "tcg,thread=multi,tb-size=32"
    append = [KERNEL_ARGS]
    if shape.nonce:
        append.append(f"density.nonce={shape.nonce}")
    if shape.deaf:
        append.append("density.deaf=1")
    if shape.kernel_args:
        append.append(shape.kernel_args)
    arguments = [
        *(str(program), "-nodefaults", "-no-user-config", "-name", f"guest={_value(shape.name)}"),
        *("-machine", f"q35,mem-merge={'on' if shape.mem_merge else 'off'}"),
        *("-accel", accel, "-cpu", "qemu64", "-smp", str(shape.vcpus), "-m", f"size={shape.memory}B"),
        *("-vga", "none", "-display", "none", "-no-reboot"),
        *("-chardev", f"socket,id=ser,path={_value(str(sockets.serial))}", "-serial", "chardev:ser"),
        *("-qmp", f"unix:{_value(str(sockets.qmp))},server=on,wait=off"),
        *_balloon(shape),
        *_disk(shape, cache),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", " ".join(append)),
    ]
    if shape.graphics:
        # what virt-launcher gives every amd64 VMI that does not say autoattachGraphicsDevice: false
        arguments += ["-device", "VGA,addr=0x2,vgamem_mb=16", "-vnc", f"unix:{_value(str(sockets.vnc))}"]
    return arguments


def _balloon(shape: GuestShape) -> list[str]:
    if not shape.balloon:
        return []
    return [
        "-device",
        f"virtio-balloon-pci,free-page-reporting={'on' if shape.free_page_reporting else 'off'}",
    ]


def _disk(shape: GuestShape, cache: CacheMode) -> list[str]:
    """Return the disk's options, as libvirt makes them of `<driver type='raw' cache=…>`.

    The address is fixed because without one QEMU would give it the video device's.
    none bypasses the host's page cache and obeys the guest's flushes; writethrough goes through it and flushes every write;
    writeback goes through it and obeys the guest's flushes.
    """
    if shape.disk is None:
        return []
    direct = "on" if cache == "none" else "off"
    file = f"driver=file,filename={_value(str(shape.disk.path))},node-name=file0,cache.direct={direct},cache.no-flush=off"
    write_cache = "off" if cache == "writethrough" else "on"
    return [
        *("-blockdev", file),
        *("-blockdev", f"driver=raw,file=file0,node-name=disk0,cache.direct={direct},cache.no-flush=off"),
        *(
            "-device",
            f"virtio-blk-pci,addr=0x4,drive=disk0,serial={_value(shape.disk.serial)},write-cache={write_cache}",
        ),
    ]


def _value(text: str) -> str:
    """Quote a value of QEMU's key=value syntax: a comma is doubled."""
    return text.replace(",", ",,")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a child does to itself between fork and exec, so that no page is charged and no signal lost."""

    parent: int
    cgroup: Path | None
    oom_score_adj: int = 0
    nice: int = NICE
    huge_pages: bool = True

    def apply(self, report: int) -> None:
        """Run in the child. A failure goes to the file descriptor `report` in one line; the exec does not happen."""
        step = "prctl"
        try:
            # fires when the forking thread ends: the event loop's, which lives as long as the harness
            syscalls.set_parent_death_signal(signal.SIGKILL)
            if os.getppid() != self.parent:
                os._exit(125)
            if self.cgroup is not None:
                # before exec: charges of a process moved later stay behind (v1)
                step = f"enter cgroup {self.cgroup}"
                write_once(self.cgroup / "cgroup.procs", "0")
            step = "nice"
            os.nice(self.nice)
            _nice_session(self.nice)
            _set_oom_score_adj(self.oom_score_adj)
            if not self.huge_pages:
                step = "disable huge pages"
                syscalls.disable_transparent_huge_pages()
        except OSError as error:
            os.write(report, f"{step}: {error.strerror}\n".encode())
            raise

    def hook(self, *, report: int) -> Callable[[], None]:
        """Return the `preexec_fn`."""
        return lambda: self.apply(report)


def _nice_session(nice: int) -> None:
    """Lower the whole session too: with autogroup, nice only counts within a session (sched(7)), and QEMU has its own."""
    try:
        write_once("/proc/self/autogroup", str(nice))
    except OSError:  # not configured, or asked too often by a user: the process's own nice is all there is
        return


def _set_oom_score_adj(value: int) -> None:
    """Set it as far as permitted: below 0 needs CAP_SYS_RESOURCE. The parent reads back what came of it."""
    for attempt in (value, 0):
        try:
            write_once("/proc/self/oom_score_adj", str(attempt))
        except OSError:
            continue
        return
