"""A writer of `newc` cpio archives, the format Linux unpacks an initramfs from.

Source of the layout: Documentation/driver-api/early-userspace/buffer-format.rst of Linux 6.1. Same entries, same
bytes: inode numbers count up, times are 0, owner and group are root, entries are written in path order.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing in an archive. `mode` holds type and permissions; `data` is content, or the target of a symlink."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file(path: str, data: bytes, *, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(path=path, mode=stat.S_IFREG | mode, data=data)


def directory(path: str, *, mode: int = 0o755) -> Entry:
    """A directory."""
    return Entry(path=path, mode=stat.S_IFDIR | mode)


def symlink(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path=path, mode=stat.S_IFLNK | 0o777, data=target.encode())


def character_device(path: str, major: int, minor: int, *, mode: int = 0o600) -> Entry:
    """A character device node; needs no privilege to write into an archive."""
    return Entry(path=path, mode=stat.S_IFCHR | mode, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive's bytes. Missing parent directories are added; paths are relative and unique.

    Raises:
        ValueError: a path that is absolute, empty, climbs out of the root, or is given twice.
    """
    by_path: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.path.split("/")
        if "" in parts or "." in parts or ".." in parts or entry.path == _TRAILER:
            raise ValueError(f"not a relative path: {entry.path!r}")
        if entry.path in by_path:
            raise ValueError(f"given twice: {entry.path!r}")
        by_path[entry.path] = entry
    for path in list(by_path):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if not stat.S_ISDIR(by_path.setdefault(parent, directory(parent)).mode):
                raise ValueError(f"not a directory: {parent!r}")
    # Path order puts every directory before what lies in it.
    ordered = sorted(by_path.values(), key=lambda entry: entry.path.split("/"))
    written = [_record(inode, entry) for inode, entry in enumerate(ordered, start=1)]
    written.append(_record(0, Entry(path=_TRAILER, mode=0)))
    body = b"".join(written)
    return body + bytes(-len(body) % 512)


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        inode,
        entry.mode,
        0,  # uid
        0,  # gid
        links,
        0,  # mtime
        len(entry.data),
        0,  # device the archive was made on
        0,
        *entry.device,
        len(name),
        0,  # checksum: unused in newc
    )
    head = _MAGIC + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + entry.data + bytes(-len(entry.data) % 4)
