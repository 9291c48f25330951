"""Where the memory cgroup, version 1 or 2, is mounted, and which directory of it we may write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Version = Literal["v1", "v2"]

SUBTREE = "kubevirt-density"
"""Our own directory; everything we make lies below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """Where a memory cgroup tree can be written. `root` is the directory our subtree goes under."""

    version: Version
    root: Path

    @property
    def subtree(self) -> Path:
        """Our own directory, shared by all harnesses of this machine."""
        return self.root / SUBTREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritable:
    """No memory cgroup can be written: why, and what would mend it."""

    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class _Mount:
    root: str
    point: Path
    fstype: str
    controllers: frozenset[str]
    writable: bool


def detect(*, proc: Path = Path("/proc/self")) -> Hierarchy | Unwritable:
    """Find the memory hierarchy and a directory of it we may write: its root, else the group we are in (a container)."""
    mounts = _mounts((proc / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))
    own = _membership((proc / "cgroup").read_text(encoding="utf-8", errors="surrogateescape"))
    seen = False
    for mount in mounts:
        version = _version_of(mount)
        if version is None:
            continue
        seen = True
        path = own.get("memory" if version == "v1" else "", "/")
        for candidate in dict.fromkeys((mount.point, _inside(mount, path))):
            if version == "v2" and not _offers_memory(candidate):  # not delegated to it by its parent
                continue
            if mount.writable and candidate.is_dir() and os.access(candidate, os.W_OK):
                return Hierarchy(version=version, root=candidate)
    if not seen:
        bare = next((mount.point for mount in mounts if mount.fstype == "cgroup2"), None)
        if bare is not None:
            return Unwritable(
                why=f"cgroup v2 at {bare} has no memory controller, and there is none of version 1",
                mend="boot without cgroup_disable=memory",
            )
        return Unwritable(
            why="no cgroup with the memory controller is mounted", mend="mount -t cgroup2 none /sys/fs/cgroup"
        )
    if os.geteuid() != 0:
        return Unwritable(
            why=f"the memory cgroup is not writable for uid {os.geteuid()}", mend="run it as root"
        )
    return Unwritable(
        why="the memory cgroup is mounted read-only", mend="run the container with --privileged"
    )


def _mounts(text: str) -> tuple[_Mount, ...]:
    """Parse mountinfo (proc(5)): `… root point opts [tags] - fstype source superopts`."""
    found: list[_Mount] = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if not separator or len(fields) < 6 or len(tail) < 3 or tail[0] not in {"cgroup", "cgroup2"}:
            continue
        options, superoptions = fields[5].split(","), tail[2].split(",")
        found.append(
            _Mount(
                root=_unescape(fields[3]),
                point=Path(_unescape(fields[4])),
                fstype=tail[0],
                controllers=frozenset(superoptions),
                writable="rw" in options and "rw" in superoptions,
            )
        )
    return tuple(found)


def _unescape(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field


def _membership(text: str) -> dict[str, str]:
    """Parse /proc/self/cgroup: controller → path; '' is the v2 hierarchy (cgroups(7))."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _version_of(mount: _Mount) -> Version | None:
    if mount.fstype == "cgroup" and "memory" in mount.controllers:
        return "v1"
    if mount.fstype == "cgroup2" and _offers_memory(mount.point):
        return "v2"
    return None


def _offers_memory(path: Path) -> bool:
    try:
        return "memory" in (path / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:
        return False


def _inside(mount: _Mount, path: str) -> Path:
    """Where the group `path` shows under this mount: a container may see only its own part of the tree."""
    relative = os.path.relpath(path, mount.root) if mount.root != "/" else path.lstrip("/")
    return mount.point if relative.startswith("..") else mount.point / relative
