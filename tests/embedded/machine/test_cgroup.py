"""Version 1 and 2 against files; version 1 also against this machine's kernel, where it can be written."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import cgroup, cgroupfs
from harness.embedded.machine.linux.cgroup import Group
from harness.embedded.machine.linux.cgroupfs import Hierarchy, Unwritable
from harness.embedded.machine.linux.oomcounters import Counters, Level
from harness.units import MIB, Bytes

Entries = list[Mapping[str, Any]]

V1_MOUNT = "30 29 0:27 / {point} rw,relatime - cgroup cgroup rw,memory\n"
V2_MOUNT = "31 29 0:28 {root} {point} {mode},relatime - cgroup2 cgroup2 rw\n"


def fake_proc(tmp_path: Path, mountinfo: str, membership: str) -> Path:
    proc = tmp_path / "self"
    proc.mkdir()
    (proc / "mountinfo").write_text(mountinfo)
    (proc / "cgroup").write_text(membership)
    return proc


def v2_directory(path: Path, *, enabled: str = "", procs: str = "") -> Path:
    """What the kernel puts into a new v2 group."""
    path.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "cgroup.controllers": "cpu memory\n",
        "cgroup.subtree_control": enabled,
        "cgroup.procs": procs,
        "memory.max": "max\n",
        "memory.swap.max": "max\n",
        "memory.oom.group": "0\n",
        "memory.current": "104857600\n",
        "memory.swap.current": "4096\n",
        "memory.stat": "anon 94371840\nfile 10485760\ninactive_file 6291456\nactive_file 4194304\n",
        "memory.events": "low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0\n",
    }.items():
        (path / name).write_text(text)
    return path


def test_v1_is_found_at_its_root(tmp_path: Path) -> None:
    point = tmp_path / "memory"
    point.mkdir()
    proc = fake_proc(tmp_path, V1_MOUNT.format(point=point), "5:memory:/user/x\n0::/\n")
    assert cgroupfs.detect(proc=proc) == Hierarchy(version="v1", root=point)


def test_v2_counts_only_with_the_memory_controller(tmp_path: Path) -> None:
    point = tmp_path / "unified"
    point.mkdir()
    (point / "cgroup.controllers").write_text("hugetlb\n")
    proc = fake_proc(tmp_path, V2_MOUNT.format(root="/", point=point, mode="rw"), "0::/\n")
    found = cgroupfs.detect(proc=proc)
    assert isinstance(found, Unwritable)
    assert found.why == f"cgroup v2 at {point} has no memory controller, and there is none of version 1"
    assert found.mend == "boot without cgroup_disable=memory"
    (point / "cgroup.controllers").write_text("hugetlb memory\n")
    assert cgroupfs.detect(proc=proc) == Hierarchy(version="v2", root=point)


def test_no_mount_at_all_is_mended_by_one(tmp_path: Path) -> None:
    assert cgroupfs.detect(proc=fake_proc(tmp_path, "", "0::/\n")) == Unwritable(
        why="no cgroup with the memory controller is mounted", mend="mount -t cgroup2 none /sys/fs/cgroup"
    )


def test_a_read_only_mount_is_unwritable(tmp_path: Path) -> None:
    point = v2_directory(tmp_path / "unified")
    proc = fake_proc(tmp_path, V2_MOUNT.format(root="/", point=point, mode="ro"), "0::/\n")
    assert isinstance(cgroupfs.detect(proc=proc), Unwritable)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any directory")
def test_a_user_falls_back_to_the_group_it_is_in(tmp_path: Path) -> None:
    point = v2_directory(tmp_path / "unified")
    own = v2_directory(point / "user.slice/me")
    proc = fake_proc(tmp_path, V2_MOUNT.format(root="/", point=point, mode="rw"), "0::/user.slice/me\n")
    point.chmod(0o555)
    try:
        assert cgroupfs.detect(proc=proc) == Hierarchy(version="v2", root=own)
    finally:
        point.chmod(0o755)


def test_a_container_sees_its_own_group_as_the_mounts_root(tmp_path: Path) -> None:
    mount = cgroupfs._Mount("/docker/abc", tmp_path, "cgroup", frozenset({"memory"}), writable=True)
    assert cgroupfs._inside(mount, "/docker/abc") == tmp_path
    assert cgroupfs._inside(mount, "/docker/abc/inner") == tmp_path / "inner"
    assert cgroupfs._inside(mount, "/elsewhere") == tmp_path


def test_a_v2_group_is_limited_without_swap_and_killed_as_one(tmp_path: Path) -> None:
    group = Group(v2_directory(tmp_path / "compute"), "v2")
    group.set_limit(Bytes(256 * MIB))
    group.kill_together()
    assert (group.path / "memory.max").read_text().startswith("268435456")
    assert (group.path / "memory.swap.max").read_text().startswith("0")
    assert (group.path / "memory.oom.group").read_text().startswith("1")


def test_a_v2_group_reads_usage_working_set_and_events(tmp_path: Path) -> None:
    memory = Group(v2_directory(tmp_path / "pod"), "v2").read()
    assert (memory.usage, memory.inactive_file, memory.working_set) == (104857600, 6291456, 98566144)
    assert (memory.rss, memory.swap, memory.failcnt, memory.oom_kill) == (94371840, 4096, 7, 0)
    assert (memory.limit, memory.accounting) == (None, "v2")


def test_a_v1_group_reads_the_subtrees_inactive_file_and_its_childrens_kills(tmp_path: Path) -> None:
    (tmp_path / "compute").mkdir()
    for name, text in {
        "memory.usage_in_bytes": "209715200\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.failcnt": "3\n",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 4194304\ntotal_rss 188743680\ntotal_swap 8192\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        "compute/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }.items():
        (tmp_path / name).write_text(text)
    memory = Group(tmp_path, "v1").read()
    assert (memory.usage, memory.working_set, memory.rss) == (209715200, 205520896, 188743680)
    assert (memory.swap, memory.limit, memory.failcnt, memory.oom_kill) == (8192, None, 3, 2)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        (
            {
                "memory.swappiness": "60",
                "memory.limit_in_bytes": "1000",
                "memory.memsw.limit_in_bytes": "1500",
            },
            500,
        ),
        ({"memory.swappiness": "0", "memory.limit_in_bytes": "9223372036854771712"}, 0),
        (
            {
                "memory.swappiness": "60",
                "memory.limit_in_bytes": "9223372036854771712",
                "memory.memsw.limit_in_bytes": "9223372036854771712",
            },
            None,
        ),
        ({"memory.swappiness": "60", "memory.limit_in_bytes": "1000"}, None),
    ],
)
def test_how_much_a_v1_group_may_swap(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert Group(tmp_path, "v1").swap_limit() == limit


def test_a_node_with_swap_swaps_whatever_the_machine_is_told(tmp_path: Path) -> None:
    (tmp_path / "memory.swappiness").write_text("0\n")
    Group(tmp_path, "v1").may_swap()
    assert (tmp_path / "memory.swappiness").read_text() == "60"
    Group(tmp_path, "v2").may_swap()


@pytest.mark.parametrize(("text", "limit"), [("max", None), ("0", 0), ("33554432", 33554432)])
def test_how_much_a_v2_group_may_swap(tmp_path: Path, text: str, limit: int | None) -> None:
    (tmp_path / "memory.swap.max").write_text(f"{text}\n")
    assert Group(tmp_path, "v2").swap_limit() == limit


def test_a_group_that_is_gone_reads_as_nothing(tmp_path: Path) -> None:
    memory = Group(tmp_path / "gone", "v1").read()
    assert (memory.usage, memory.working_set, memory.failcnt) == (0, 0, 0)


def test_a_v2_run_enables_the_controller_on_its_way_and_says_how_to_undo_it(
    tmp_path: Path, recorder: Entries
) -> None:
    root = v2_directory(tmp_path / "cg", enabled="cpu\n")
    v2_directory(root / "kubevirt-density")
    run = cgroup.open_run(Hierarchy(version="v2", root=root), "run-1", undo=recorder.append)
    assert run.path == root / "kubevirt-density/run-1"
    assert run.path.is_dir()
    assert (root / "cgroup.subtree_control").read_text().startswith("+memory")
    assert (root / "kubevirt-density/cgroup.subtree_control").read_text().startswith("+memory")
    assert recorder == [
        {"op": "write", "path": str(root / "cgroup.subtree_control"), "value": "-memory"},
        {"op": "rmdir-cgroup", "path": str(root / "kubevirt-density"), "only-empty": True},
        {"op": "rmdir-cgroup", "path": str(root / "kubevirt-density/run-1")},
    ]


def test_a_v2_root_that_gives_memory_already_is_left_alone(tmp_path: Path, recorder: Entries) -> None:
    root = v2_directory(tmp_path / "cg", enabled="cpu memory\n")
    v2_directory(root / "kubevirt-density", enabled="memory\n")
    cgroup.open_run(Hierarchy(version="v2", root=root), "run-1", undo=recorder.append)
    assert (root / "cgroup.subtree_control").read_text() == "cpu memory\n"
    assert [entry["op"] for entry in recorder] == ["rmdir-cgroup", "rmdir-cgroup"]


def test_in_a_v2_container_the_processes_are_moved_to_a_leaf_first(tmp_path: Path, recorder: Entries) -> None:
    root = v2_directory(tmp_path / "cg", procs="41\n42\n")
    (root / "cgroup.type").write_text("domain\n")
    v2_directory(root / "kubevirt-density", enabled="memory\n")
    v2_directory(root / "kubevirt-density.leaf")
    cgroup.open_run(Hierarchy(version="v2", root=root), "run-1", undo=recorder.append)
    assert recorder[0] == {
        "op": "move-processes",
        "path": str(root / "kubevirt-density.leaf"),
        "to": str(root),
    }
    assert (root / "kubevirt-density.leaf/cgroup.procs").read_text() == "42"


def test_a_second_run_of_the_same_name_gets_a_fresh_directory(tmp_path: Path, recorder: Entries) -> None:
    hierarchy = Hierarchy(version="v1", root=tmp_path)
    first = cgroup.open_run(hierarchy, "run", undo=recorder.append)
    second = cgroup.open_run(hierarchy, "run", undo=recorder.append)
    assert (first.path.name, second.path.name) == ("run", "run-1")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden"])
def test_a_run_id_that_is_no_directory_name_is_refused(tmp_path: Path, recorder: Entries, name: str) -> None:
    with pytest.raises(MachineError, match="can't name a cgroup"):
        cgroup.open_run(Hierarchy(version="v1", root=tmp_path), name, undo=recorder.append)
    assert recorder == []


def levels_v2(tmp_path: Path) -> tuple[Level, ...]:
    return (
        Level("container", Group(v2_directory(tmp_path / "node/kubepods/pod/compute"), "v2")),
        Level("pod", Group(v2_directory(tmp_path / "node/kubepods/pod"), "v2")),
        Level("kubepods", Group(v2_directory(tmp_path / "node/kubepods"), "v2")),
        Level("node", Group(v2_directory(tmp_path / "node"), "v2")),
    )


def test_v2_counters_name_the_deepest_group_that_was_out_of_memory(tmp_path: Path) -> None:
    levels = levels_v2(tmp_path)
    before = Counters.now(levels)
    assert before.blame() is None
    # as seen in a guest: a node's OOM shows `oom 1` on the node, `oom_kill 1` on node and pod
    (levels[0].group.path / "memory.events").write_text("max 0\noom 0\noom_kill 1\n")
    (levels[3].group.path / "memory.events").write_text("max 9\noom 1\noom_kill 1\n")
    assert before.blame() == "node"
    (levels[0].group.path / "memory.events").write_text("max 9\noom 1\noom_kill 1\n")
    assert before.blame() == "container"


def test_removal_goes_on_until_the_group_is_empty_and_does_not_touch_us(tmp_path: Path) -> None:
    top = tmp_path / "run"
    (top / "node/pod").mkdir(parents=True)
    killed: list[int] = []

    def kill(pid: int, _signal: int) -> None:
        killed.append(pid)
        (top / "node/pod/cgroup.procs").unlink()

    (top / "node/pod/cgroup.procs").write_text("4711\n")
    assert cgroup.remove_tree(top, kill=kill) == 1
    assert killed == [4711]
    assert not top.exists()
    assert cgroup.remove_tree(top) == 0

    top.mkdir()
    (top / "cgroup.procs").write_text(f"{os.getpid()}\n")
    with pytest.raises(MachineError, match="must not be killed"):
        cgroup.remove_tree(top, kill=kill)


def test_a_group_that_can_not_be_emptied_is_an_error_after_the_deadline(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/cgroup.procs").write_text("4711\n")
    with pytest.raises(MachineError, match="can't be removed: Directory not empty"):
        cgroup.remove_tree(tmp_path / "run", deadline=0.02, kill=lambda _pid, _signal: None)


@pytest.fixture
def live(recorder: Entries) -> Iterator[Group]:
    """A run's group in the kernel."""
    found = cgroupfs.detect()
    if isinstance(found, Unwritable):
        pytest.skip(found.why)
    run = cgroup.open_run(found, f"test-{secrets.token_hex(3)}", undo=recorder.append)
    yield run
    cgroup.remove_tree(run.path)
    if not cgroup._children(run.path.parent):
        run.path.parent.rmdir()


def test_the_kernel_takes_limits_up_down_and_away(live: Group, recorder: Entries) -> None:
    group = live.child("node")
    group.make(undo=recorder.append)
    assert group.limit() is None
    for limit in (Bytes(64 * MIB), Bytes(16 * MIB), Bytes(128 * MIB)):
        group.set_limit(limit)
        assert group.limit() == limit
    group.set_limit(None)
    assert group.limit() is None
    assert recorder[-1] == {"op": "rmdir-cgroup", "path": str(group.path)}


def test_the_kernel_refuses_what_exists_already(live: Group, recorder: Entries) -> None:
    live.child("node").make(undo=recorder.append)
    with pytest.raises(MachineError, match="File exists"):
        live.child("node").make(undo=recorder.append)


def test_a_process_in_a_removed_tree_is_killed_whoever_started_it(live: Group, recorder: Entries) -> None:
    group = live.child("node")
    group.make(undo=recorder.append)
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        (group.path / "cgroup.procs").write_text(str(sleeper.pid))
        assert group.processes() == (sleeper.pid,)
        assert cgroup.remove_tree(live.path) == 1
        assert sleeper.wait(5) == -9
    assert not live.path.exists()
