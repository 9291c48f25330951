"""A swap area of our own: a file or a zram device, taken into use and given back.

mkswap is util-linux's; swapon(2) refuses files with holes and filesystems that can't map them to blocks. Sizes in bytes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.embedded.machine.base import Undo
from harness.embedded.machine.errors import HostLack, MachineError
from harness.embedded.machine.linux import filesystem, syscalls
from harness.embedded.machine.linux.hostlock import HostLock
from harness.embedded.machine.linux.ksm import chosen
from harness.embedded.machine.linux.procfs import write_once
from harness.units import MIB, Bytes

PRIORITY = 100
"""Before the machine's own areas, whose priorities are negative unless somebody set them."""
_SPARE = 256 * MIB
"""What a swap file leaves free on its filesystem."""
_NO_SWAP_FILES: Mapping[str, str] = {
    "overlay": "an overlay can't map a swap file to blocks",
    "zfs": "zfs has no swap files",
    "nfs": "swap over the network may hang the machine",
    "nfs4": "swap over the network may hang the machine",
    "btrfs": "btrfs would copy a swap file on write",
}
_CONTROL = Path("sys/class/zram-control")

Activate = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapSettings:
    """The area a scenario asks for. `folder`: where its file goes (default: TMPDIR, else /var/tmp)."""

    size: Bytes
    kind: Literal["file", "zram"] = "file"
    folder: Path | None = None
    algorithm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapArea:
    """A row of /proc/swaps, in bytes."""

    path: str
    kind: str
    size: Bytes
    used: Bytes
    priority: int


def areas(*, root: Path = Path("/")) -> tuple[SwapArea, ...]:
    """Return the areas in use. Raises HostLack when the kernel has no swap."""
    try:
        lines = (root / "proc/swaps").read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    except OSError as error:
        raise HostLack("this kernel has no swap: use a kernel with CONFIG_SWAP=y") from error
    found = []
    for line in lines:
        words = line.split()
        if len(words) >= 5 and all(word.lstrip("-").isdigit() for word in words[2:5]):
            found.append(
                SwapArea(
                    path=words[0].replace("\\040", " "),
                    kind=words[1],
                    size=Bytes(int(words[2]) * 1024),
                    used=Bytes(int(words[3]) * 1024),
                    priority=int(words[4]),
                )
            )
    return tuple(found)


def counters(*, root: Path = Path("/")) -> dict[str, int]:
    """Return total and used bytes of all areas, and pages swapped in and out since boot; {} without swap."""
    try:
        found = areas(root=root)
        text = (root / "proc/vmstat").read_text(encoding="ascii")
    except (HostLack, OSError):
        return {}
    rows = {name: value for name, _, value in (line.partition(" ") for line in text.splitlines())}
    moved = {key: int(rows[name]) for key, name in (("in", "pswpin"), ("out", "pswpout")) if name in rows}
    total, used = sum(area.size for area in found), sum(area.used for area in found)
    return {"total": total, "free": total - used, "used": used, "areas": len(found), **moved}


def start(
    settings: SwapSettings,
    *,
    undo: Undo,
    lock: HostLock,
    root: Path = Path("/"),
    activate: Activate = syscalls.swapon,
) -> SwapArea:
    """Make the area and take it into use; every step after its undo entry. Raises HostLack, MachineError."""
    areas(root=root)
    mkswap = _tool("mkswap")
    if settings.size < MIB:
        raise MachineError(f"a swap area of {settings.size} bytes is too small: 1 MiB or more")
    if settings.kind == "file":
        path = _make_file(settings, undo=undo)
    else:
        path = _make_zram(settings, undo=undo, lock=lock, root=root)
    done = subprocess.run([mkswap, str(path)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise MachineError(f"mkswap {path}: {done.stderr.strip().splitlines()[-1:] or 'failed'}")
    undo({"op": "swapoff", "path": str(path), **lock.mark})
    try:
        activate(str(path), PRIORITY)
    except OSError as error:
        lack = error.errno in {errno.EPERM, errno.EINVAL, errno.ENOSYS}
        mend = (
            "run it as root on a machine of your own" if error.errno == errno.EPERM else "use another TMPDIR"
        )
        raise (HostLack if lack else MachineError)(f"swapon {path}: {error.strerror}: {mend}") from error
    for area in areas(root=root):
        if area.path == str(path):
            return area
    raise MachineError(f"swapon {path}: the kernel does not list it")


def default_folder(*, proc: Path = filesystem.PROC) -> Path:
    """Return the first temporary place whose filesystem takes a swap file. Raises HostLack with why none does."""
    whys = []
    for folder in dict.fromkeys((Path(tempfile.gettempdir()), Path("/var/tmp"))):  # noqa: S108 - mode 0600, random name
        why = why_no_file(folder, proc=proc)
        if not why:
            return folder
        whys.append(why)
    raise HostLack(
        f"no place for a swap file: {'; '.join(whys)}: set TMPDIR to a directory on a disk, or use zram"
    )


def why_no_area(*, root: Path = Path("/")) -> str:
    """'' where some kind of swap area can be made, else why not. Changes nothing."""
    try:
        _tool("mkswap")
        default_folder(proc=root / "proc")
    except HostLack as error:
        why = str(error)
    else:
        return ""
    if why.startswith("mkswap"):
        return why
    try:
        _choose_zram(root)
    except HostLack:
        return why
    return ""


def why_no_file(folder: Path, *, proc: Path = filesystem.PROC) -> str:
    """'' where a swap file can lie in this directory, else why not, in one line."""
    try:
        kind = filesystem.of(folder, proc=proc).kind
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if kind in filesystem.IN_MEMORY:
        return f"{folder} is in memory ({kind})"
    return f"{folder}: {_NO_SWAP_FILES[kind]}" if kind in _NO_SWAP_FILES else ""


def check_file(path: Path) -> None:
    """Refuse a file swapon(2) would refuse, with the reason it does not give. Raises MachineError."""
    why = why_no_file(path.parent)
    info = path.stat()
    if why:
        raise MachineError(f"swap file {path}: {why}: set TMPDIR to a directory on a disk")
    if info.st_blocks * 512 < info.st_size:
        raise MachineError(f"swap file {path} has holes: make it with fallocate, not truncate")
    if info.st_mode & 0o077:
        raise MachineError(f"swap file {path} may be read by others, who would see memory: chmod 600")


def _make_file(settings: SwapSettings, *, undo: Undo) -> Path:
    folder = settings.folder or default_folder()
    why = why_no_file(folder)
    if why:
        raise HostLack(f"no swap file: {why}: set TMPDIR to a directory on a disk, or use zram")
    free = shutil.disk_usage(folder).free
    if free < settings.size + _SPARE:
        raise HostLack(
            f"no swap file of {settings.size // MIB} MiB: {free // MIB} MiB are free in {folder}: free some space"
        )
    path = folder / f"kubevirt-density-swap-{secrets.token_hex(4)}"
    undo({"op": "unlink", "path": str(path)})
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, settings.size)
        finally:
            os.close(fd)
    except OSError as error:
        raise MachineError(f"swap file {path}: {error.strerror}: free some space or set TMPDIR") from error
    check_file(path)
    return path


def _make_zram(settings: SwapSettings, *, undo: Undo, lock: HostLock, root: Path) -> Path:
    device, hot = _choose_zram(root)
    before = chosen(_text(device / "comp_algorithm"))
    undo(
        {
            "op": "zram",
            "path": str(device),
            "algorithm": before,
            "hot": str(root / _CONTROL / "hot_remove") if hot else "",
            **lock.mark,
        }
    )
    if hot:
        number = _text(root / _CONTROL / "hot_add")  # reading makes the device
        if device.name != f"zram{number}":
            write_once(root / _CONTROL / "hot_remove", number)
            raise MachineError(f"zram{number} came instead of {device.name}: try again")
    if settings.algorithm:
        offered = _text(device / "comp_algorithm").replace("[", "").replace("]", "").split()
        if settings.algorithm not in offered:
            raise HostLack(f"zram of this kernel has no algorithm {settings.algorithm}: {', '.join(offered)}")
    try:
        if settings.algorithm:
            write_once(device / "comp_algorithm", settings.algorithm)
        write_once(device / "disksize", str(settings.size))
    except OSError as error:
        raise MachineError(f"{device}: {error.strerror}") from error
    return root / "dev" / device.name


def _choose_zram(root: Path) -> tuple[Path, bool]:
    """Return the first unused device, or the one that the kernel will make next."""
    blocks = root / "sys/block"
    present = {path.name: path for path in blocks.glob("zram*")}
    for name in sorted(present):
        if _text(present[name] / "disksize") == "0":
            return present[name], False
    if not (root / _CONTROL / "hot_add").exists():
        raise HostLack("no zram: run `modprobe zram`")
    number = next(n for n in range(len(present) + 1) if f"zram{n}" not in present)
    return blocks / f"zram{number}", True


def reset_zram(entry: Mapping[str, Any]) -> str | None:
    """Undo `zram`: empty the device, its algorithm as it was; one that was made for us is removed."""
    device = Path(entry["path"])
    if not device.is_dir():
        return None
    did = []
    if _text(device / "disksize") != "0":
        write_once(device / "reset", "1")
        did.append("reset")
    if entry.get("hot"):
        write_once(entry["hot"], device.name.removeprefix("zram"))
        return "removed"
    if entry["algorithm"] and chosen(_text(device / "comp_algorithm")) != entry["algorithm"]:
        write_once(device / "comp_algorithm", entry["algorithm"])
        did.append(f"algorithm {entry['algorithm']}")
    return ", ".join(did) or None


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii").strip()
    return ""


def _tool(name: str) -> str:
    # a user's PATH may lack sbin
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise HostLack(f"{name} is not there: run `apt-get install -y util-linux`")
    return found
