"""The memory cgroup, version 1 and 2: one group's limits and readings, a run's own group, and its removal.

Layout (the kubelet's with the cgroupfs driver, pkg/kubelet/cm, Kubernetes 1.36), under our own subtree:
`kubevirt-density/<run>/<node>/kubepods[/burstable|/besteffort]/pod<uid>/<container>`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.embedded.machine.base import Memory, Undo
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import procfs
from harness.embedded.machine.linux.cgroupfs import SUBTREE, Hierarchy, Version
from harness.embedded.machine.linux.procfs import write_once
from harness.units import Bytes

QOS_PARENT: Mapping[str, str] = {"Guaranteed": "", "Burstable": "burstable", "BestEffort": "besteffort"}
_SWAPPINESS = 60
"""The kernel's default (mm/vmscan.c)."""
_V1_NO_LIMIT = 1 << 62
"""v1 shows "no limit" as the largest page-aligned long; everything above this is that."""


class Group:
    """One memory cgroup. Reading never raises for a group that is gone: it reads as zero."""

    __slots__ = ("path", "version")

    def __init__(self, path: Path, version: Version) -> None:
        self.path = path
        self.version = version

    def child(self, name: str) -> Group:
        """Name a group below this one; makes nothing."""
        return Group(self.path / name, self.version)

    def make(self, *, undo: Undo) -> None:
        """Make the directory, after the undo entry stands. Raises MachineError, also when it exists already."""
        undo({"op": "rmdir-cgroup", "path": str(self.path)})
        try:
            if self.version == "v2":
                enable_memory(self.path.parent)
            self.path.mkdir()
        except OSError as error:
            raise MachineError(
                f"cgroup {self.path}: {error.strerror}: run `density clean`, or as root"
            ) from error

    def set_limit(self, limit: Bytes | None) -> None:
        """Set the hard limit with no swap beyond it, or none at all. Raises MachineError."""
        self.set_limits(limit, swap=None if limit is None else Bytes(0))

    def set_limits(self, limit: Bytes | None, *, swap: Bytes | None) -> None:
        """Set the hard limit and how much may be swapped out; None: not limited. Raises MachineError.

        v1 has no limit on swap alone: memory and swap together get their sum, where there is a limit.
        """
        try:
            if self.version == "v1":
                self._set_limits_v1(limit, None if limit is None or swap is None else Bytes(limit + swap))
            else:
                self._write("memory.max", "max" if limit is None else str(limit))
                self._write_if_present("memory.swap.max", "max" if swap is None else str(swap))
        except OSError as error:
            raise MachineError(
                f"cgroup {self.path}: limit {limit} refused: {error.strerror}: it uses {self.read().usage} now"
            ) from error

    def _set_limits_v1(self, limit: Bytes | None, both: Bytes | None) -> None:
        value = "-1" if limit is None else str(limit)
        memsw = "-1" if both is None else str(both)
        try:
            self._write("memory.limit_in_bytes", value)
        except OSError as error:
            # memsw may never be below limit: when raising, memsw goes first
            if error.errno != errno.EINVAL:
                raise
            self._write_if_present("memory.memsw.limit_in_bytes", memsw)
            self._write("memory.limit_in_bytes", value)
        else:
            self._write_if_present("memory.memsw.limit_in_bytes", memsw)

    def keep_in_memory(self) -> None:
        """Never swap this group out, whatever its parents' limits: `memory.swap.max` 0, on v1 swappiness 0."""
        if self.version == "v1":
            self._write_if_present("memory.swappiness", "0")
        else:
            self._write_if_present("memory.swap.max", "0")

    def may_swap(self) -> None:
        """Let this group, and those made below it, swap as a machine does that nobody tuned (v1; v2 has no such knob).

        With the machine's own vm.swappiness at 0 a group at its limit would be out of memory instead.
        """
        if self.version == "v1":
            self._write_if_present("memory.swappiness", str(_SWAPPINESS))

    def kill_together(self) -> None:
        """Let an OOM kill take the whole group (v2: memory.oom.group, as the kubelet sets on containers since 1.28)."""
        if self.version == "v2":
            self._write_if_present("memory.oom.group", "1")

    def limit(self) -> Bytes | None:
        """Return the hard limit; None: none."""
        text = self._text("memory.limit_in_bytes" if self.version == "v1" else "memory.max").strip()
        if not text.isdigit() or int(text) >= _V1_NO_LIMIT:
            return None
        return Bytes(int(text))

    def swap_limit(self) -> Bytes | None:
        """Return how much may be in swap; None: no bound, or swap is not accounted.

        v1: what memory and swap together may be beyond the limit on memory, 0 with swappiness 0.
        """
        if self.version == "v2":
            text = self._text("memory.swap.max").strip()
            return Bytes(int(text)) if text.isdigit() else None
        if self._text("memory.swappiness").strip() == "0":
            return Bytes(0)
        limit, both = self.limit(), self._number("memory.memsw.limit_in_bytes")
        return Bytes(max(0, both - limit)) if limit is not None and 0 < both < _V1_NO_LIMIT else None

    def read(self) -> Memory:
        """Read usage and its parts. `inactive_file` is v1's total_inactive_file: the subtree's, as the usage is."""
        return self._read_v1() if self.version == "v1" else self._read_v2()

    def _read_v1(self) -> Memory:
        stat = _rows(self._text("memory.stat"))
        usage = self._number("memory.usage_in_bytes")
        inactive = stat.get("total_inactive_file", 0)
        return Memory(
            usage=Bytes(usage),
            working_set=Bytes(max(0, usage - inactive)),
            inactive_file=Bytes(inactive),
            rss=Bytes(stat.get("total_rss", 0)),
            limit=self.limit(),
            swap=Bytes(stat["total_swap"]) if "total_swap" in stat else None,
            failcnt=self._number("memory.failcnt"),
            oom_kill=self.oom_kills(),
            accounting="v1",
        )

    def _read_v2(self) -> Memory:
        stat = _rows(self._text("memory.stat"))
        usage = self._number("memory.current")
        inactive = stat.get("inactive_file", 0)
        events = self.events()
        return Memory(
            usage=Bytes(usage),
            working_set=Bytes(max(0, usage - inactive)),
            inactive_file=Bytes(inactive),
            rss=Bytes(stat.get("anon", 0)),
            limit=self.limit(),
            swap=Bytes(self._number("memory.swap.current")),
            failcnt=events.get("max", 0),
            oom_kill=events.get("oom_kill", 0),
            accounting="v2",
        )

    def events(self) -> dict[str, int]:
        """v2 memory.events (hierarchical: a group counts its descendants')."""
        return _rows(self._text("memory.events"))

    def oom_kills(self) -> int:
        """OOM kills in this group and the groups now below it. v1 counts only in the victim's own group: summed here."""
        if self.version == "v2":
            return self.events().get("oom_kill", 0)
        own = _rows(self._text("memory.oom_control")).get("oom_kill", 0)
        return own + sum(Group(path, "v1").oom_kills() for path in _children(self.path))

    def peak(self) -> int:
        """Return the most it ever used (v1 max_usage_in_bytes, v2 memory.peak where the kernel has it)."""
        return self._number("memory.max_usage_in_bytes" if self.version == "v1" else "memory.peak")

    def processes(self) -> tuple[int, ...]:
        """Processes directly in this group."""
        return tuple(int(word) for word in self._text("cgroup.procs").split() if word.isdigit())

    def _write(self, name: str, value: str) -> None:
        write_once(self.path / name, value)

    def _write_if_present(self, name: str, value: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # no swap accounting in this kernel
            self._write(name, value)

    def _text(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="ascii")
        except OSError:  # ENOENT: gone or not offered; ENODEV: being removed
            return ""

    def _number(self, name: str) -> int:
        text = self._text(name).strip()
        return int(text) if text.isdigit() else 0


def _rows(text: str) -> dict[str, int]:
    rows: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            rows[name] = int(value)
    return rows


def _children(path: Path) -> tuple[Path, ...]:
    try:
        with os.scandir(path) as entries:
            return tuple(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return ()


def enable_memory(path: Path) -> bool:
    """v2: give the children of `path` the memory controller. True if that changed anything. Raises OSError."""
    control = path / "cgroup.subtree_control"
    if "memory" in control.read_text(encoding="ascii").split():
        return False
    write_once(control, "+memory")
    return True


def open_run(hierarchy: Hierarchy, run: str, *, undo: Undo) -> Group:
    """Make a fresh group for one run under our subtree. Raises MachineError."""
    if not run or "/" in run or run.startswith("."):
        raise MachineError(f"run id {run!r} can't name a cgroup")
    try:
        if hierarchy.version == "v2":
            _prepare_v2_root(hierarchy.root, undo=undo)
        undo({"op": "rmdir-cgroup", "path": str(hierarchy.subtree), "only-empty": True})
        for attempt in range(100):
            group = Group(
                hierarchy.subtree / (run if attempt == 0 else f"{run}-{attempt}"), hierarchy.version
            )
            # another harness may remove the shared directory, being empty, between our two steps
            hierarchy.subtree.mkdir(exist_ok=True)
            if group.path.exists():
                continue
            undo({"op": "rmdir-cgroup", "path": str(group.path)})
            if hierarchy.version == "v2":
                enable_memory(hierarchy.subtree)
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                group.path.mkdir()
                return group
    except OSError as error:
        raise MachineError(
            f"cgroup {hierarchy.subtree}: {error.strerror}: run as root, or give it a writable memory cgroup"
        ) from error
    raise MachineError(f"cgroup {hierarchy.subtree}: no free name for run {run}: run `density clean`")


def _prepare_v2_root(root: Path, *, undo: Undo) -> None:
    """Enable the memory controller below `root`.

    Only the real root may hold processes besides (cgroup v2, "no internal processes"). Inside a container the
    processes of its root group are first moved to a leaf, as docker-in-docker does, and back at the end.
    """
    control = root / "cgroup.subtree_control"
    if "memory" in control.read_text(encoding="ascii").split():
        return
    members = Group(root, "v2").processes()
    if (root / "cgroup.type").exists() and members:
        leaf = root / f"{SUBTREE}.leaf"
        undo({"op": "move-processes", "path": str(leaf), "to": str(root)})
        leaf.mkdir(exist_ok=True)
        move_processes(root, leaf)
    undo({"op": "write", "path": str(control), "value": "-memory"})
    enable_memory(root)


def move_processes(source: Path, target: Path) -> int:
    """Move all processes from one group to another; how many. A process that ends meanwhile is no error."""
    moved = 0
    for _ in range(10):  # forks may come in while we move
        pids = Group(source, "v2").processes()
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                write_once(target / "cgroup.procs", str(pid))
                moved += 1
    return moved


def remove_tree(
    path: Path,
    *,
    deadline: float = 5.0,
    kill: Callable[[int, int], None] = os.kill,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Kill everything in a group's subtree and remove it, deepest first. Returns the number of processes killed.

    v1 has no cgroup.kill: read cgroup.procs, kill, repeat until empty. A group whose last process has just died
    stays EBUSY for a few ms. Raises MachineError when it is still there after `deadline` seconds. Idempotent.
    """
    if not path.is_dir():
        return 0
    end = time.monotonic() + deadline
    killed: set[int] = set()
    for directory, _, _ in os.walk(path, topdown=False):
        group = Group(Path(directory), "v1")
        while True:
            for pid in group.processes():
                if pid in {0, 1, os.getpid()}:
                    raise MachineError(f"cgroup {directory} holds process {pid}, which must not be killed")
                with contextlib.suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
                    killed.add(pid)
            try:
                group.path.rmdir()
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno not in {errno.EBUSY, errno.ENOTEMPTY} or time.monotonic() > end:
                    raise MachineError(f"cgroup {directory} can't be removed: {error.strerror}") from error
                pause(0.002)
            else:
                break
    return len(killed)


def room(group: Group | None) -> Bytes:
    """Return the memory nodes below a group may be made of: the machine's, or less where it or a group above it has a limit."""
    total = procfs.meminfo()["MemTotal"]
    if group is None:
        return total
    for path in (group.path, *group.path.parents):
        if not (path / "cgroup.procs").exists():
            break
        limit = Group(path, group.version).limit()
        if limit is not None:
            total = min(total, limit)
    return total
