"""Swap areas: real files and mkswap, a recorded swapon; zram on files; containers' shares."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.machine.base import ContainerShape
from harness.embedded.machine.errors import HostLack, MachineError
from harness.embedded.machine.linux import filesystem, node, pressure, swap
from harness.embedded.machine.linux.cgroup import Group
from harness.embedded.machine.linux.hostlock import HostLock
from harness.embedded.machine.linux.swap import SwapArea, SwapSettings
from harness.units import MIB, Bytes
from tests.embedded.machine import hosttree

Entries = list[Mapping[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if filesystem.of(tmp_path).kind in {*filesystem.IN_MEMORY, "overlay", "btrfs", "zfs"}:
        pytest.skip("the temporary directory takes no swap file")
    return tmp_path


def started(
    root: Path, lock: HostLock, settings: SwapSettings, entries: Entries, *, kind: str = "file"
) -> SwapArea:
    def activate(path: str, priority: int) -> None:
        assert entries[-1]["op"] == "swapoff"  # stands before the area is in use
        line = f"{path} {kind} {settings.size // 1024} 0 {priority}\n"
        (root / "proc/swaps").write_text(hosttree.SWAPS + line)

    return swap.start(settings, undo=entries.append, lock=lock, root=root, activate=activate)


def test_a_swap_file_is_whole_private_and_has_a_swap_header(
    root: Path, lock: HostLock, folder: Path, recorder: Entries
) -> None:
    area = started(root, lock, SwapSettings(size=Bytes(4 * MIB), folder=folder), recorder)
    path = Path(area.path)
    assert (area.kind, area.size, area.used, area.priority) == ("file", 4 * MIB, 0, 100)
    info = path.stat()
    assert info.st_mode & 0o777 == 0o600
    assert info.st_blocks * 512 >= 4 * MIB
    assert path.read_bytes()[4086:4096] == b"SWAPSPACE2"
    assert [(entry["op"], entry["path"]) for entry in recorder] == [
        ("unlink", str(path)),
        ("swapoff", str(path)),
    ]


def test_places_that_take_no_swap_file_are_refused_in_one_line(
    root: Path, lock: HostLock, recorder: Entries, tmp_path: Path
) -> None:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    for kind, why in {
        "tmpfs": f"{tmp_path} is in memory (tmpfs)",
        "overlay": f"{tmp_path}: an overlay can't map a swap file to blocks",
        "ext4": "",
    }.items():
        (proc / "self/mountinfo").write_text(
            f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / {tmp_path} rw - {kind} x rw\n"
        )
        assert swap.why_no_file(tmp_path, proc=proc) == why
    if filesystem.of(Path("/dev/shm")).kind == "tmpfs":
        settings = SwapSettings(size=Bytes(4 * MIB), folder=Path("/dev/shm"))
        with pytest.raises(HostLack, match=r"no swap file: /dev/shm is in memory \(tmpfs\): set TMPDIR"):
            swap.start(settings, undo=recorder.append, lock=lock, root=root)
    assert recorder == []


@pytest.mark.parametrize(
    ("sparse", "mode", "why"),
    [(True, 0o600, "has holes: make it with fallocate"), (False, 0o644, "may be read by others")],
)
def test_files_swapon_would_refuse_or_should_are_refused(
    folder: Path, sparse: bool, mode: int, why: str
) -> None:
    path = folder / "swap"
    with path.open("wb") as file:
        if sparse:
            file.truncate(MIB)
        else:
            os.posix_fallocate(file.fileno(), 0, MIB)
    path.chmod(mode)
    with pytest.raises(MachineError, match=why):
        swap.check_file(path)


def test_a_disk_too_full_is_a_lack(root: Path, lock: HostLock, folder: Path, recorder: Entries) -> None:
    with pytest.raises(HostLack, match=r"no swap file of 1073741824 MiB: \d+ MiB are free in .*: free some"):
        started(root, lock, SwapSettings(size=Bytes(1 << 50), folder=folder), recorder)
    assert recorder == []


def test_swapon_without_the_right_is_a_lack_that_names_the_mend(
    root: Path, lock: HostLock, folder: Path
) -> None:
    def forbidden(_path: str, _priority: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    settings = SwapSettings(size=Bytes(MIB), folder=folder)
    with pytest.raises(HostLack, match="Operation not permitted: run it as root on a machine of your own"):
        swap.start(settings, undo=lambda _entry: None, lock=lock, root=root, activate=forbidden)


def test_a_kernel_without_swap_is_a_lack(tmp_path: Path) -> None:
    with pytest.raises(HostLack, match="this kernel has no swap"):
        swap.areas(root=tmp_path)
    assert swap.counters(root=tmp_path) == {}


def test_a_path_with_a_space_is_read(root: Path) -> None:
    (root / "proc/swaps").write_text(f"{hosttree.SWAPS}/a\\040b file 1024 512 -2\n")
    assert swap.areas(root=root) == (
        SwapArea(path="/a b", kind="file", size=Bytes(MIB), used=Bytes(MIB // 2), priority=-2),
    )


def test_an_unused_zram_device_is_taken_and_its_algorithm_given_back(
    root: Path, lock: HostLock, recorder: Entries
) -> None:
    hosttree.zram(root, "zram0", size="4096")  # somebody's
    device = hosttree.zram(root, "zram1")
    node_file = root / "dev/zram1"
    with node_file.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4 * MIB)
    settings = SwapSettings(kind="zram", size=Bytes(4 * MIB), algorithm="lz4")
    area = started(root, lock, settings, recorder, kind="partition")
    assert (area.path, area.kind) == (str(node_file), "partition")
    assert ((device / "comp_algorithm").read_text(), (device / "disksize").read_text()) == ("lz4", "4194304")
    assert [entry["op"] for entry in recorder] == ["zram", "swapoff"]
    assert swap.reset_zram(recorder[0]) == "reset, algorithm lzo-rle"
    assert ((device / "comp_algorithm").read_text(), (device / "reset").read_text()) == ("lzo-rle", "1")
    (device / "disksize").write_text("0\n")
    assert swap.reset_zram(recorder[0]) is None


def test_an_algorithm_the_kernel_does_not_have_is_a_lack(root: Path, lock: HostLock) -> None:
    device = hosttree.zram(root)
    settings = SwapSettings(kind="zram", size=Bytes(4 * MIB), algorithm="brotli")
    with pytest.raises(HostLack, match="no algorithm brotli: lzo-rle, lzo, lz4, zstd"):
        started(root, lock, settings, [])
    assert (device / "disksize").read_text() == "0\n"


def test_without_zram_the_module_is_named(root: Path, lock: HostLock) -> None:
    with pytest.raises(HostLack, match="no zram: run `modprobe zram`"):
        started(root, lock, SwapSettings(kind="zram", size=Bytes(4 * MIB)), [])


def test_a_new_zram_device_is_named_before_it_is_made(root: Path, lock: HostLock, recorder: Entries) -> None:
    hosttree.zram(root, "zram0", size="4096")
    control = root / "sys/class/zram-control"
    control.mkdir(parents=True)
    (control / "hot_add").write_text("5\n")  # not the number that was to be expected
    (control / "hot_remove").write_text("")
    with pytest.raises(MachineError, match="zram5 came instead of zram1: try again"):
        started(root, lock, SwapSettings(kind="zram", size=Bytes(4 * MIB)), recorder)
    assert recorder[0]["path"] == str(root / "sys/block/zram1")
    assert (control / "hot_remove").read_text() == "5"


def test_doctor_knows_whether_any_swap_area_can_be_made(root: Path) -> None:
    (root / "proc/self").mkdir()
    mountinfo = root / "proc/self/mountinfo"
    mountinfo.write_text("1 0 8:1 / / rw - ext4 /dev/a rw\n")
    assert swap.why_no_area(root=root) == ""
    mountinfo.write_text("1 0 8:1 / / rw - overlay overlay rw\n")
    assert "an overlay can't map a swap file to blocks" in swap.why_no_area(root=root)
    hosttree.zram(root)
    assert swap.why_no_area(root=root) == ""


# -- containers ------------------------------------------------------------------------------------------------------


def v1_group(path: Path) -> Group:
    path.mkdir()
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        (path / name).write_text("9223372036854771712\n")
    (path / "memory.swappiness").write_text("60\n")
    return Group(path, "v1")


def v2_group(path: Path) -> Group:
    path.mkdir()
    for name in ("memory.max", "memory.swap.max"):
        (path / name).write_text("max\n")
    return Group(path, "v2")


@pytest.mark.parametrize(
    ("limit", "share", "expected"),
    [
        # None: what a node without swap had before; the others: LimitedSwap and NoSwap of the kubelet
        (None, None, ("max", "max")),
        (256 * MIB, None, ("268435456", "0")),
        (None, 50 * MIB, ("max", "52428800")),
        (256 * MIB, 50 * MIB, ("268435456", "52428800")),
        (None, 0, ("max", "0")),
    ],
)
def test_a_containers_share_of_swap_on_v2(
    tmp_path: Path, limit: int | None, share: int | None, expected: tuple[str, str]
) -> None:
    group = v2_group(tmp_path / "c")
    node._bound_container(group, shape(limit, share))
    found = [(group.path / name).read_text().strip() for name in ("memory.max", "memory.swap.max")]
    assert tuple(found) == expected


@pytest.mark.parametrize(
    ("limit", "share", "expected"),
    [
        (None, None, ("-1", "-1", "60")),
        (256 * MIB, None, ("268435456", "268435456", "60")),  # memsw = limit, as the kubelet on v1
        (256 * MIB, 50 * MIB, ("268435456", "320864256", "60")),
        (None, 50 * MIB, ("-1", "-1", "60")),  # not to be bounded on v1
        (None, 0, ("-1", "-1", "0")),
        (256 * MIB, 0, ("268435456", "268435456", "0")),
    ],
)
def test_a_containers_share_of_swap_on_v1(
    tmp_path: Path, limit: int | None, share: int | None, expected: tuple[str, str, str]
) -> None:
    group = v1_group(tmp_path / "c")
    node._bound_container(group, shape(limit, share))
    names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.swappiness")
    assert tuple((group.path / name).read_text().strip() for name in names) == expected


def shape(limit: int | None, share: int | None) -> ContainerShape:
    return ContainerShape(
        limit=None if limit is None else Bytes(limit),
        oom_score_adj=0,
        swap=None if share is None else Bytes(share),
    )


# -- pressure of a group ---------------------------------------------------------------------------------------------


def test_a_v2_group_tells_its_pressure(tmp_path: Path) -> None:
    for name, text in {
        "memory.pressure": "some avg10=12.00 avg60=3.00 avg300=0.50 total=900\n",
        "memory.events": "low 0\nhigh 2\nmax 7\noom 1\noom_kill 1\n",
        "memory.swap.events": "high 0\nmax 4\nfail 3\n",
        "memory.stat": "anon 1\npgmajfault 5\nworkingset_refault_anon 6\nworkingset_refault_file 8\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert pressure.of_group(Group(tmp_path, "v2")) == {
        "someAvg10": 12.0,
        "someAvg60": 3.0,
        "someAvg300": 0.5,
        "someTotal": 900,
        "events.low": 0,
        "events.high": 2,
        "events.max": 7,
        "events.oom": 1,
        "events.oom_kill": 1,
        "swap.high": 0,
        "swap.max": 4,
        "swap.fail": 3,
        "pgmajfault": 5,
        "workingset_refault_anon": 6,
        "workingset_refault_file": 8,
    }


def test_a_v1_group_tells_what_it_can(tmp_path: Path) -> None:
    for name, text in {
        "memory.stat": "pgmajfault 1\ntotal_pgmajfault 5\ntotal_workingset_refault_anon 6\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n",
        "memory.failcnt": "9\n",
        "memory.memsw.failcnt": "4\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert pressure.of_group(Group(tmp_path, "v1")) == {
        "pgmajfault": 5,
        "workingset_refault_anon": 6,
        "underOom": 1,
        "oomKill": 2,
        "failcnt": 9,
        "memswFailcnt": 4,
    }
    assert pressure.of_group(Group(tmp_path / "gone", "v1")) == {}


def test_psi_lines_that_are_none_are_left_out() -> None:
    assert pressure.parse_psi("some avg10=x total=1\n\n") == {"someTotal": 1}
