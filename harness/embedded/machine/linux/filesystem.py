"""On which filesystem a path lies, from mountinfo: a swap file or a disk can't lie on every one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
IN_MEMORY = frozenset({"tmpfs", "ramfs", "hugetlbfs", "devtmpfs", "rootfs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """`kind` is the name mount(8) uses; `point` where it is mounted."""

    kind: str
    point: Path


def of(path: Path, *, proc: Path = PROC) -> Filesystem:
    """Return the filesystem a directory lies on. Raises OSError when it is not there."""
    real = Path(os.path.realpath(path, strict=True))
    found = Filesystem(kind="", point=Path("/"))
    text = (proc / "self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    for line in text.splitlines():
        # proc(5): id parent major:minor root point options [tags] - fstype source superoptions
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if not separator or len(fields) < 5 or not tail[0]:
            continue
        point = Path(_unescape(fields[4]))
        # later lines are mounted over earlier ones
        if real.is_relative_to(point) and len(point.parts) >= len(found.point.parts):
            found = Filesystem(kind=tail[0], point=point)
    return found


def _unescape(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field
