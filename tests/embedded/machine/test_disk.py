"""A guest's disk file, and the records in it as they would lie there."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedded.machine.base import DiskRead, DiskShape
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import disk, filesystem
from harness.embedded.machine.linux.disk import integrity, read_records
from harness.units import MIB, Bytes

Entries = list[Mapping[str, Any]]


def record(number: int, *, run: int = 7, size: int = 4096) -> bytes:
    """workloads/agent/record.h, written a second time."""
    head = struct.pack("<8sQQQII", b"densrec1", run, number, 1000, size, 1)
    body = head + bytes(size - len(head) - 4)
    return body + struct.pack("<I", zlib.crc32(body))


def image(tmp_path: Path, blocks: Mapping[int, bytes], *, size: int = MIB) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(size)
        for offset, block in blocks.items():
            file.seek(offset)
            file.write(block)
    return path


def test_records_of_several_runs_and_sizes_are_told_apart(tmp_path: Path) -> None:
    path = image(
        tmp_path,
        {0: record(1), 4096: record(2), 8192: record(17, run=9, size=512), 400 << 10: record(101)},
    )
    found = read_records(path)
    assert found.intact == {7: frozenset({1, 2, 101}), 9: frozenset({17})}
    assert found.torn == ()
    assert found.of(8) == frozenset()


def test_a_torn_record_is_counted_and_not_intact(tmp_path: Path) -> None:
    path = image(tmp_path, {0: record(1), 4096: record(2)[:1024], 8192: record(3)})
    found = read_records(path)
    assert found.of(7) == frozenset({1, 3})
    assert found.torn == (4096,)
    result = integrity(found, run=7, written=4, synced=2)
    assert result == disk.Integrity(
        written=4, synced=2, intact=2, lost_synced=(2,), lost_unsynced=(4,), torn=1
    )


def test_the_second_half_holds_no_records(tmp_path: Path) -> None:
    assert read_records(image(tmp_path, {MIB // 2: record(1)})).intact == {}


def test_an_empty_disk_has_none_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert read_records(image(tmp_path, {})) == disk.Records()
    with pytest.raises(MachineError, match="none: No such file"):
        read_records(tmp_path / "none")


def test_a_disk_that_was_read_is_told_in_ranges(tmp_path: Path) -> None:
    path = image(tmp_path, {0: record(1), 4096: record(2), 8192: record(4), 12288: record(5)[:100]})
    assert disk.read_ended(path, pod_uid="u", guest="ns_a") == DiskRead(
        pod_uid="u", guest="ns_a", runs={7: ((1, 2), (4, 4))}, slots=128, torn=1
    )
    small = image(tmp_path, {0: record(3, size=512)})
    assert disk.read_ended(small, pod_uid="u", guest="ns_a").slots == 1024
    gone = disk.read_ended(tmp_path / "none", pod_uid="u", guest="ns_a")
    assert gone.why.endswith("No such file or directory")
    assert gone.runs == {}


@given(st.frozensets(st.integers(0, 40)))
def test_ranges_hold_exactly_the_numbers(numbers: frozenset[int]) -> None:
    found = disk.ranges(numbers)
    assert [n for low, high in found for n in range(low, high + 1)] == sorted(numbers)
    assert all(high + 1 < low for (_, high), (low, _) in itertools.pairwise(found))


def test_what_was_overwritten_is_not_lost() -> None:
    records = disk.Records(intact={7: frozenset(range(91, 101))})
    assert integrity(records, run=7, written=100, synced=100, slots=10).lost_synced == ()
    assert integrity(records, run=7, written=100, synced=100).lost_synced == tuple(range(1, 91))
    # the guest wrote two more after it last told
    later = disk.Records(intact={7: frozenset(range(93, 103))})
    assert integrity(later, run=7, written=100, synced=100, slots=10).lost_synced == ()


@pytest.mark.parametrize(
    ("size", "block", "count"), [(64 * MIB, 4096, 8192), (64 * MIB, 512, 65536), (300_000, 4096, 32)]
)
def test_a_disk_holds_that_many_records(size: int, block: int, count: int) -> None:
    assert disk.slots(size, block) == count


@given(present=st.sets(st.integers(1, 60)), written=st.integers(0, 60), data=st.data())
def test_every_record_that_was_told_is_intact_or_lost(
    present: set[int], written: int, data: st.DataObject
) -> None:
    synced = data.draw(st.integers(0, written))
    found = integrity(disk.Records(intact={1: frozenset(present)}), run=1, written=written, synced=synced)
    lost = {*found.lost_synced, *found.lost_unsynced}
    assert lost | (present & set(range(1, written + 1))) == set(range(1, written + 1))
    assert lost & present == set()
    assert all(number <= synced for number in found.lost_synced)
    assert all(number > synced for number in found.lost_unsynced)


def test_a_disk_is_made_sparse_and_private_after_its_undo_entry(tmp_path: Path, recorder: Entries) -> None:
    if filesystem.of(tmp_path).kind in filesystem.IN_MEMORY:
        pytest.skip("the temporary directory is in memory")
    shape = DiskShape(path=tmp_path / "kubevirt-density.raw", size=Bytes(64 * MIB))

    def undo(entry: Mapping[str, Any]) -> None:
        assert not shape.path.exists()
        recorder.append(entry)

    disk.prepare(shape, undo=undo)
    info = shape.path.stat()
    assert (info.st_size, info.st_mode & 0o777) == (64 * MIB, 0o600)
    assert info.st_blocks * 512 < MIB
    assert recorder == [{"op": "unlink", "path": str(shape.path)}]
    shape.path.write_bytes(b"kept")
    disk.prepare(shape, undo=undo)
    assert shape.path.read_bytes() == b"kept"


def test_a_disk_in_memory_or_too_small_is_refused(tmp_path: Path, recorder: Entries) -> None:
    if filesystem.of(Path("/dev/shm")).kind == "tmpfs":
        with pytest.raises(MachineError, match=r"/dev/shm is in memory \(tmpfs\): set TMPDIR"):
            disk.prepare(DiskShape(path=Path("/dev/shm/x.raw"), size=Bytes(MIB)), undo=recorder.append)
    with pytest.raises(MachineError, match="1000 bytes are too few"):
        disk.prepare(DiskShape(path=tmp_path / "x.raw", size=Bytes(1000)), undo=recorder.append)
    assert recorder == []


def test_the_cache_mode_is_kubevirts(tmp_path: Path) -> None:
    path = image(tmp_path, {})
    expected = "writethrough" if filesystem.of(tmp_path).kind in filesystem.IN_MEMORY else "none"
    assert disk.cache_mode(DiskShape(path=path, size=Bytes(MIB))) == expected
    assert disk.cache_mode(DiskShape(path=path, size=Bytes(MIB), cache="writethrough")) == "writethrough"
    assert disk.cache_mode(DiskShape(path=Path("/proc/version"), size=Bytes(MIB), cache="none")) == "none"


def test_later_mounts_hide_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(
        "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n"
        f"2 1 8:2 / {tmp_path} rw - xfs /dev/b rw\n"
        f"3 2 8:3 / {tmp_path} rw - tmpfs none rw\n"
        f"4 1 8:4 / {tmp_path}x rw - btrfs none rw\n"
    )
    assert filesystem.of(tmp_path, proc=tmp_path).kind == "tmpfs"
    assert filesystem.of(Path("/"), proc=tmp_path).kind == "ext4"
