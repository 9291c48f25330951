"""What /proc says of this machine and of single processes. Reading only; a process that is gone reads as None."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.units import Bytes

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process, so that a reused pid is not taken for it: `start` is field 22 of /proc/<pid>/stat (clock ticks)."""

    pid: int
    start: int
    name: str
    state: str


def identity(pid: int, *, proc: Path = PROC) -> Identity | None:
    """Read who `pid` is now; None when there is no such process."""
    try:
        text = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return parse_stat(text)


def parse_stat(text: str) -> Identity | None:
    """Parse /proc/<pid>/stat. The name stands in parentheses and may itself hold parentheses and spaces (proc(5))."""
    before, _, rest = text.partition(" (")
    name, _, after = rest.rpartition(") ")
    fields = after.split()
    if not before.strip().isdigit() or len(fields) < 20 or not fields[19].isdigit():
        return None
    return Identity(pid=int(before), start=int(fields[19]), name=name, state=fields[0])


def alive(pid: int, start: int, *, proc: Path = PROC) -> bool:
    """Whether the very process that started at `start` still runs (a zombie does not)."""
    now = identity(pid, proc=proc)
    return now is not None and now.start == start and now.state not in {"Z", "X"}


def boot_id(*, proc: Path = PROC) -> str:
    """Return the id of this boot of the kernel; '' where /proc does not tell."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def meminfo(*, proc: Path = PROC) -> dict[str, Bytes]:
    """Return /proc/meminfo in bytes (only the rows in kB)."""
    rows: dict[str, Bytes] = {}
    for line in (proc / "meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            rows[name] = Bytes(int(words[0]) * 1024)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMemory:
    """Sums over a process's mappings, from smaps_rollup."""

    rss: Bytes
    pss: Bytes
    swap_pss: Bytes


def process_memory(pid: int, *, proc: Path = PROC) -> ProcessMemory | None:
    """Read a process's resident and proportional memory (1-2 ms for a QEMU); None when it is gone or not ours."""
    try:
        text = (proc / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except OSError:  # ESRCH once the address space is gone, though the pid may still be a zombie
        return None
    return parse_smaps_rollup(text)


def parse_smaps_rollup(text: str) -> ProcessMemory | None:
    """Parse smaps_rollup: `Name:  <n> kB` rows after one header line."""
    rows: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[0].isdigit():
            rows[name] = int(words[0]) * 1024
    if "Rss" not in rows or "Pss" not in rows:
        return None
    return ProcessMemory(
        rss=Bytes(rows["Rss"]), pss=Bytes(rows["Pss"]), swap_pss=Bytes(rows.get("SwapPss", 0))
    )


def transparent_huge_pages(*, root: Path = Path("/")) -> str:
    """Return the mode in force: always, madvise or never; '' where the kernel has none."""
    try:
        text = (root / "sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return ""
    return text.partition("[")[2].partition("]")[0]


def oom_score_adj(pid: int, *, proc: Path = PROC) -> int | None:
    """Read back a process's oom_score_adj; None when it is gone."""
    try:
        return int((proc / str(pid) / "oom_score_adj").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def write_once(path: Path | str, value: str) -> None:
    """Write `value` with one write(2), so that the kernel's refusal (EBUSY, EINVAL, EACCES) is raised, not buffered away."""
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)  # as the shell's >; kernel files ignore it
    try:
        os.write(fd, value.encode("ascii"))
    finally:
        os.close(fd)
