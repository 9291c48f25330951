"""The undo operations of this machine: cgroups, processes, files, swap, KSM, zram. Importing this registers them.

Every one is idempotent, and touches nothing that is not the very thing the entry tells of.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import time
from pathlib import Path

from harness.embedded.machine.linux import cgroup, host, hostlock, procfs
from harness.run.errors import UndoError
from harness.run.undo_operations import Entry, operation

_KILL_DEADLINE = 5.0


def _ours(path: Path) -> Path:
    """Refuse to delete what does not carry the product's name: an undo file must not become a way to delete a home."""
    if not path.is_absolute() or ".." in path.parts or not any("density" in part for part in path.parts[1:]):
        raise UndoError(f"{path} is not a path of ours")
    return path


@operation("rmdir-cgroup", survives_reboot=False)
def _rmdir_cgroup(entry: Entry) -> str | None:
    """Kill what is in the group and remove its subtree; with `only-empty`, remove it only if nothing is left in it."""
    path = _ours(Path(entry["path"]))
    if not path.is_dir():
        return None
    if entry.get("only-empty"):
        try:
            path.rmdir()
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY}:  # another harness is using it
                return None
            raise
        return "removed"
    killed = cgroup.remove_tree(path)
    return f"removed, {killed} processes killed" if killed else "removed"


@operation("move-processes", survives_reboot=False)
def _move_processes(entry: Entry) -> str | None:
    """Move the processes of a leaf group back to its parent (`to`) and remove the leaf."""
    leaf, parent = _ours(Path(entry["path"])), Path(entry["to"])
    if not leaf.is_dir():
        return None
    moved = cgroup.move_processes(leaf, parent)
    leaf.rmdir()
    return f"moved {moved} processes back"


@operation("kill", survives_reboot=False)
def _kill(entry: Entry) -> str | None:
    """SIGKILL the very process: same pid, same start time, same name. Wait until it is gone (a zombie is)."""
    pid, start, name = int(entry["pid"]), int(entry["start"]), str(entry["name"])
    who = procfs.identity(pid)
    if who is None or who.start != start or who.name != name or who.state in {"Z", "X"}:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + _KILL_DEADLINE
    while procfs.alive(pid, start):
        if time.monotonic() > end:
            raise UndoError(f"process {pid} ({name}) does not die")
        time.sleep(0.005)
    return f"killed {name}"


@operation("write", survives_reboot=True)
def _write(entry: Entry) -> str | None:
    """Write `value` back. A file that is gone needs nothing (its device or group went)."""
    path, value = Path(entry["path"]), str(entry["value"])
    try:
        if path.read_text(encoding="utf-8", errors="replace").strip() == value.strip():
            return None
    except FileNotFoundError:
        return None
    except OSError:  # write-only files exist
        pass
    try:
        procfs.write_once(path, value)
    except OSError as error:
        if error.errno == errno.EBUSY and path.name == "cgroup.subtree_control":
            return "left as it is: another harness needs it"
        raise
    return f"wrote {value!r}"


@operation("swapoff", survives_reboot=False)
def _swapoff(entry: Entry) -> str | None:
    """Take a swap file or device out of use, if it is in use."""
    return host.undo_entry(entry)


@operation("ksm", survives_reboot=False)
def _ksm(entry: Entry) -> str | None:
    """Give KSM's knobs back, all of them; unmerge what was merged by us alone."""
    return host.undo_entry(entry)


@operation("zram", survives_reboot=False)
def _zram(entry: Entry) -> str | None:
    """Empty a zram device and restore its algorithm; remove it if it was made for us."""
    return host.undo_entry(entry)


@operation("host-lock", survives_reboot=False)
def _host_lock(entry: Entry) -> str | None:
    """Let others change host-wide settings again; stands first in the file, so that it is undone last."""
    return hostlock.clear(entry)


@operation("rmtree", survives_reboot=True)
def _rmtree(entry: Entry) -> str | None:
    """Remove a directory of ours with everything in it."""
    path = _ours(Path(entry["path"]))
    if not path.is_dir() or path.is_symlink():
        return None
    shutil.rmtree(path)
    return "removed"


@operation("unlink", survives_reboot=True)
def _unlink(entry: Entry) -> str | None:
    """Remove a file, socket or link of ours."""
    path = _ours(Path(entry["path"]))
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    return "removed"
