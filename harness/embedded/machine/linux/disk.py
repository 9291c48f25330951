"""A guest's data disk: a raw file, and which of the agent's numbered records lie whole in it.

The layout is workloads/agent/record.h: one record a block of 512 or 4096 bytes, in the first half of the disk.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.embedded.machine.base import DiskRead, DiskShape, Undo
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import filesystem

CacheMode = Literal["none", "writethrough", "writeback"]

MAGIC = b"densrec1"
_HEADER = struct.Struct("<8sQQQII")
_BLOCKS = (512, 4096)
_ALIGN = 128 << 10
"""The agent uses whole pairs of 64 KiB chunks: records in the first of each two halves."""
_WINDOW = 1 << 20


def prepare(disk: DiskShape, *, undo: Undo) -> None:
    """Make the disk's file if it is not there, after its undo entry stands. Raises MachineError.

    A file in memory (tmpfs) is refused: its pages would be charged to the guest's pod.
    """
    try:
        kind = filesystem.of(disk.path.parent).kind
        if kind in filesystem.IN_MEMORY:
            raise MachineError(
                f"disk {disk.path}: {disk.path.parent} is in memory ({kind}): set TMPDIR to a directory on a disk"
            )
        if disk.path.exists():
            return
        if disk.size < 2 * _ALIGN:
            raise MachineError(f"disk {disk.path}: {disk.size} bytes are too few: 256 KiB or more")
        undo({"op": "unlink", "path": str(disk.path)})
        fd = os.open(disk.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, disk.size)
        finally:
            os.close(fd)
    except OSError as error:
        raise MachineError(f"disk {disk.path}: {error.strerror}: free some space or set TMPDIR") from error


def cache_mode(disk: DiskShape) -> CacheMode:
    """Return the mode QEMU opens the file with; `auto` asks the filesystem for O_DIRECT. Raises MachineError."""
    if disk.cache != "auto":
        return disk.cache
    try:
        os.close(os.open(disk.path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return "writethrough"
        raise MachineError(f"disk {disk.path}: {error.strerror}") from error
    return "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What lies in a disk. `intact`: run → sequence numbers of whole records; `torn`: offsets of blocks with a broken one.

    `block`: bytes of the largest whole record (an agent keeps to one size); 4096 where there is none.
    """

    intact: dict[int, frozenset[int]] = field(default_factory=dict)
    torn: tuple[int, ...] = ()
    block: int = _BLOCKS[-1]

    def of(self, run: int) -> frozenset[int]:
        """Sequence numbers of one run (the number the agent says in `@ rec run=`)."""
        return self.intact.get(run, frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """One run's records after its guest's death. Numbers of records; a block that was torn is among the lost."""

    written: int
    synced: int
    intact: int
    lost_synced: tuple[int, ...]
    lost_unsynced: tuple[int, ...]
    torn: int


def read_records(path: Path) -> Records:
    """Read the records of a disk image. Raises MachineError when it can't be read."""
    intact: dict[int, set[int]] = {}
    torn: list[int] = []
    block_size = 0
    try:
        with path.open("rb", buffering=0) as image:
            size = os.fstat(image.fileno()).st_size
            for offset, block in _blocks(image.fileno(), size // _ALIGN * _ALIGN // 2):
                found = _parse(block)
                if found is None:
                    torn.append(offset)
                else:
                    intact.setdefault(found[0], set()).add(found[1])
                    block_size = max(block_size, len(block))
    except OSError as error:
        raise MachineError(f"disk {path}: {error.strerror}") from error
    return Records(
        intact={run: frozenset(numbers) for run, numbers in intact.items()},
        torn=tuple(torn),
        block=block_size or _BLOCKS[-1],
    )


def read_ended(path: Path, *, pod_uid: str, guest: str) -> DiskRead:
    """Read the disk of a guest that has ended. Does not raise: what went wrong stands in `why`."""
    try:
        records, size = read_records(path), path.stat().st_size
    except (MachineError, OSError) as error:
        return DiskRead(pod_uid=pod_uid, guest=guest, why=str(error))
    return DiskRead(
        pod_uid=pod_uid,
        guest=guest,
        runs={run: ranges(numbers) for run, numbers in records.intact.items()},
        slots=slots(size, records.block),
        torn=len(records.torn),
    )


def ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return numbers as inclusive ranges, in order."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] + 1 == number:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def integrity(
    records: Records, *, run: int, written: int, synced: int, slots: int | None = None
) -> Integrity:
    """Compare what the guest last said of a run (`@ rec n= synced=`) with what lies on its disk.

    A guest says its numbers four times a second, so the disk may hold more than `written`, never less than `synced` if
    fsync keeps its promise. `slots`: how many records the disk holds; older ones were overwritten.
    """
    held = records.of(run)
    first = 1 if slots is None else max(1, max(written, max(held, default=0)) - slots + 1)
    lost = [number for number in range(first, written + 1) if number not in held]
    return Integrity(
        written=written,
        synced=synced,
        intact=len(held),
        lost_synced=tuple(number for number in lost if number <= synced),
        lost_unsynced=tuple(number for number in lost if number > synced),
        torn=len(records.torn),
    )


def _data(fd: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a sparse file that are written, widened to the largest block."""
    position = 0
    while position < end:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        stop = os.lseek(fd, start, os.SEEK_HOLE)
        start, position = start // 4096 * 4096, min(end, -(-stop // 4096) * 4096)
        if start < end:
            yield start, position


def _blocks(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield every block that begins as a record does, cut to the size it gives itself."""
    for start, stop in _data(fd, end):
        for base in range(start, stop, _WINDOW):
            window = os.pread(fd, min(_WINDOW, stop - base), base)
            offset = 0
            while offset + 512 <= len(window):
                if window[offset : offset + 8] != MAGIC:
                    offset += 512
                    continue
                size = _HEADER.unpack_from(window, offset)[4]
                size = size if size in _BLOCKS and offset % size == 0 else 512
                yield base + offset, window[offset : offset + size]
                offset += size


def _parse(block: bytes) -> tuple[int, int] | None:
    """Run and number of a whole record; None for a broken one."""
    (checksum,) = struct.unpack_from("<I", block, len(block) - 4)
    if zlib.crc32(block[:-4]) != checksum:
        return None
    _, run, number, _, size, _ = _HEADER.unpack_from(block)
    return (run, number) if size == len(block) else None


def slots(size: int, block: int) -> int:
    """How many records of `block` bytes a disk of `size` holds."""
    return size // _ALIGN * _ALIGN // 2 // block
