"""What tools/leftovers.py finds, and whom it does not blame: on a made tree of /proc and /sys, and on real processes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "tools/leftovers.py"
QEMU = "/usr/bin/qemu-system-x86_64 -name guest=a -chardev socket,path=/tmp/kubevirt-density-1/g1/ser"


@pytest.fixture(scope="module")
def leftovers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leftovers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tree:
    """A machine made of files: pid 1, a shell (pid 100) and in it the comparing process (pid 101), a neighbour's shell (200)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/self/mountinfo", "20 1 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
        self.write("proc/swaps", "Filename Type Size Used Priority\n")
        for name in ("swappiness", "overcommit_memory"):
            self.write(f"proc/sys/vm/{name}", "60")
        self.write("sys/kernel/mm/ksm/run", "0")
        self.write("sys/kernel/mm/ksm/pages_to_scan", "100")
        self.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
        self.process(1, 0, "systemd", "/sbin/init")
        self.process(100, 1, "bash", "bash")
        self.process(101, 100, "python3", "tools/leftovers.py")
        self.process(200, 1, "bash", "bash")

    def write(self, path: str, content: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def process(self, pid: int, parent: int, comm: str, command: str, *, state: str = "S") -> None:
        rest = " ".join(["0"] * 17)
        self.write(f"proc/{pid}/stat", f"{pid} ({comm}) {state} {parent} {rest} {pid * 10} 0\n")
        self.write(f"proc/{pid}/comm", comm)
        self.write(f"proc/{pid}/cmdline", command.replace(" ", "\0") + "\0" if command else "")

    def gone(self, pid: int) -> None:
        shutil.rmtree(self.root / f"proc/{pid}")

    def cgroup(self, path: str, *pids: int) -> str:
        self.write(f"sys/fs/cgroup/memory/{path}/cgroup.procs", "".join(f"{pid}\n" for pid in pids))
        return f"/sys/fs/cgroup/memory/{path}"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


class Compared:
    """A snapshot taken now; afterwards, what is ours and what is others'."""

    def __init__(self, leftovers: ModuleType, tree: Tree) -> None:
        self._leftovers, self._tree = leftovers, tree
        self.before = leftovers.Machine(tree.root, 101).snapshot()

    def now(self) -> tuple[list[str], list[str]]:
        found: Any = self._leftovers.compare(self.before, self._leftovers.Machine(self._tree.root, 101))
        ours, others = found
        return ours, others


@pytest.fixture
def compared(leftovers: ModuleType, tree: Tree) -> Compared:
    return Compared(leftovers, tree)


def test_nothing_changed_is_no_difference(compared: Compared) -> None:
    assert compared.now() == ([], [])


def test_a_leaked_qemu_was_adopted_by_init(tree: Tree, compared: Compared) -> None:
    tree.process(300, 1, "qemu-system-x86", QEMU)
    assert compared.now() == ([f"+ processes 300@3000 qemu-system-x86 [S]: {QEMU}"], [])


@pytest.mark.parametrize(
    ("reaper", "command"),
    [("systemd", "systemd --user"), ("containerd-shim", "containerd-shim -id x"), ("odd", "odd")],
)
def test_a_leaked_qemu_that_a_reaper_of_before_adopted_is_found_too(
    leftovers: ModuleType, tree: Tree, reaper: str, command: str
) -> None:
    tree.process(50, 1, reaper, command)
    compared = Compared(leftovers, tree)
    tree.process(300, 50, "qemu-system-x86", QEMU)
    ours, others = compared.now()
    assert len(ours) == 1
    assert others == []


def test_a_qemu_of_a_run_of_ours_that_hangs_is_found_with_it(tree: Tree, compared: Compared) -> None:
    tree.process(299, 1, "python", "python -m harness.cli run --runs /tmp/density-x")
    tree.process(300, 299, "qemu-system-x86", QEMU)
    ours, others = compared.now()
    assert [line.split()[2] for line in ours] == ["299@2990", "300@3000"]
    assert others == []


def test_a_qemu_below_our_own_shell_is_ours(tree: Tree, compared: Compared) -> None:
    tree.process(299, 100, "python", "python -m harness.cli run")
    tree.process(300, 299, "qemu-system-x86", QEMU)
    assert len(compared.now()[0]) == 1


def test_a_zombie_qemu_has_no_command_line_and_is_found(tree: Tree, compared: Compared) -> None:
    tree.process(300, 1, "qemu-system-x86", "", state="Z")
    assert compared.now()[0] == ["+ processes 300@3000 qemu-system-x86 [Z]: "]


def test_a_neighbours_run_is_not_ours(tree: Tree, compared: Compared) -> None:
    tree.process(250, 200, "python", "python -m harness.cli run --runs /tmp/density-y")
    tree.process(300, 250, "qemu-system-x86", QEMU)
    tree.process(301, 250, "qemu-system-x86", "", state="Z")
    tree.cgroup("kubevirt-density/6ff157/node/kubepods/pod1/compute", 300)
    tree.cgroup("kubevirt-density/6ff157/node/kubepods/pod1/log")
    (tree.root / "tmp/kubevirt-density-1/g1").mkdir(parents=True)
    (tree.root / "tmp/density-y").mkdir()
    tree.write(
        "var/lib/kubevirt-density/undo/250-aa.ndjson",
        json.dumps({"undo": 1, "pid": 250, "start": 2500})
        + "\n"
        + json.dumps({"op": "rmtree", "path": str(tree.root / "tmp/kubevirt-density-1")}),
    )
    ours, others = compared.now()
    assert ours == []
    assert len(others) >= 9


def test_another_qemu_than_ours_is_nobodys_business(tree: Tree, compared: Compared) -> None:
    tree.process(300, 1, "qemu-system-x86", "/usr/bin/qemu-system-x86_64 -name guest=other -m 512")
    assert compared.now() == ([], [])


@pytest.mark.parametrize(
    "path", ["kubevirt-density/abc123", "kubepods/burstable/pod1", "kubevirt-density/abc123/n/kubepods"]
)
def test_a_leaked_cgroup_is_found_empty_or_not(tree: Tree, compared: Compared, path: str) -> None:
    full = tree.cgroup(path)
    assert f"+ cgroups {full} cgroup" in compared.now()[0]
    tree.process(300, 1, "qemu-system-x86", QEMU)
    tree.cgroup(path, 300)
    assert f"+ cgroups {full} cgroup" in compared.now()[0]


def test_a_cgroup_with_a_neighbour_and_a_leak_in_it_is_found(tree: Tree, compared: Compared) -> None:
    tree.process(250, 200, "python", "python")
    tree.process(300, 1, "qemu-system-x86", QEMU)
    full = tree.cgroup("kubevirt-density/abc123", 250, 300)
    assert f"+ cgroups {full} cgroup" in compared.now()[0]


def test_a_pid_used_again_is_not_the_one_of_before(leftovers: ModuleType, tree: Tree) -> None:
    tree.process(250, 200, "python", "python")
    compared = Compared(leftovers, tree)
    tree.gone(250)
    tree.process(250, 1, "python", "python -m harness.cli run --runs /tmp/density-x")
    stat = (tree.root / "proc/250/stat").read_text().replace("2500", "9999")
    tree.write("proc/250/stat", stat)
    assert [line.split()[2] for line in compared.now()[0]] == ["250@9999"]


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        (
            "proc/self/mountinfo",
            (
                "20 1 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                "21 1 0:2 / /tmp/kubevirt-density-1/disk rw - tmpfs none rw\n"
            ),
            "+ mounts /tmp/kubevirt-density-1/disk tmpfs none",
        ),
        (
            "proc/swaps",
            "Filename Type Size Used Priority\n/var/tmp/kubevirt-density-swap-1 file 1048572 0 -2\n",
            "+ swaps /var/tmp/kubevirt-density-swap-1 1048572",
        ),
        ("sys/kernel/mm/ksm/run", "1", "~ ksm run 0 -> 1"),
        ("sys/kernel/mm/ksm/pages_to_scan", "1250", "~ ksm pages_to_scan 100 -> 1250"),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "always [madvise] never -> [always] madvise never",
        ),
        ("sys/block/zram0/disksize", "1073741824", "zram0 1073741824 "),
        ("proc/sys/vm/swappiness", "100", "~ sysctl swappiness 60 -> 100"),
        ("tmp/density-api-x/cert.pem", "x", "/tmp/density-api-x file"),
        ("var/lib/kubevirt-density/undo/9-a.ndjson", "{}", "9-a.ndjson undo file"),
    ],
)
def test_whatever_else_is_left_is_one_line(
    tree: Tree, compared: Compared, path: str, content: str, line: str
) -> None:
    tree.write(path, content)
    ours, others = compared.now()
    assert any(found.endswith(line) or found == line for found in ours), ours
    assert others == []


def test_settings_are_compared_whoever_runs_beside_us(tree: Tree, compared: Compared) -> None:
    tree.process(250, 200, "python", "python -m harness.cli run --runs /tmp/density-y")
    tree.write("sys/kernel/mm/ksm/run", "1")
    assert "~ ksm run 0 -> 1" in compared.now()[0]


def test_an_undo_file_whose_owner_is_gone_is_found(tree: Tree, compared: Compared) -> None:
    header = json.dumps({"undo": 1, "pid": 250, "start": 2500})
    file = tree.write("var/lib/kubevirt-density/undo/250-aa.ndjson", header)
    assert compared.now()[0] == [f"+ undo {file} undo file"]


def test_a_snapshot_of_an_older_tool_blames_nobody_else(tree: Tree, compared: Compared) -> None:
    del compared.before["alive"]
    tree.process(300, 200, "python", "python -m harness.cli run --runs /tmp/density-y")
    assert len(compared.now()[0]) == 1


@pytest.fixture
def fake_qemu(tmp_path: Path) -> Iterator[Path]:
    program = tmp_path / "qemu-fake"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    yield program
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and str(program) in _command(entry):
            os.kill(int(entry.name), 9)


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text()
    except OSError:
        return ""


def _marked(program: Path) -> str:
    """A command line that carries our name, as a QEMU's does in its socket's path."""
    return f"exec -a 'qemu-fake path=/tmp/kubevirt-density-test' {program} 30"


def _wait_for(leftovers: ModuleType, before: Any, *, ours: bool) -> list[str]:
    deadline = time.monotonic() + 20
    while True:
        found: list[str] = leftovers.compare(before, leftovers.Machine())[0 if ours else 1]
        hits = [line for line in found if "qemu-fake" in line]
        if hits or time.monotonic() > deadline:
            return hits
        time.sleep(0.05)


def test_a_real_orphan_is_found(leftovers: ModuleType, fake_qemu: Path) -> None:
    before = leftovers.Machine().snapshot()
    script = f"({_marked(fake_qemu)}) & disown"
    subprocess.run(["bash", "-c", script], check=True, stdin=subprocess.DEVNULL, start_new_session=True)
    assert len(_wait_for(leftovers, before, ours=True)) == 1


def test_a_real_child_of_a_neighbour_is_not_ours(leftovers: ModuleType, fake_qemu: Path) -> None:
    """The neighbour was there before and starts its guest after: as another's run on the same machine."""
    code = (
        "import subprocess, sys\n"
        "sys.stdin.readline()\n"
        f"subprocess.run(['bash', '-c', {_marked(fake_qemu)!r}])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as neighbour:
        before = leftovers.Machine().snapshot()
        assert neighbour.stdin is not None
        neighbour.stdin.write("\n")
        neighbour.stdin.flush()
        hits = _wait_for(leftovers, before, ours=False)
        ours = [line for line in leftovers.compare(before, leftovers.Machine())[0] if "qemu-fake" in line]
        neighbour.kill()
    assert len(hits) == 1
    assert ours == []


def test_a_process_and_a_directory_of_ours_are_seen_and_we_ourselves_are_not(leftovers: ModuleType) -> None:
    before = leftovers.Machine().snapshot()
    folder = Path("/tmp/kubevirt-density-leftovers-test")
    folder.mkdir(exist_ok=True)
    try:
        with subprocess.Popen(["/bin/sleep", "60"], cwd=folder) as sleeper:
            found, _ = leftovers.compare(before, leftovers.Machine())
            sleeper.kill()
        assert f"+ temporary {folder} file" in found
        assert any(line.startswith(f"+ processes {sleeper.pid}@") for line in found)
    finally:
        folder.rmdir()


def test_the_command_line_says_by_its_exit_code_whether_something_differs(tmp_path: Path) -> None:
    taken = subprocess.run(
        [sys.executable, str(SCRIPT), "snapshot"], check=True, stdout=subprocess.PIPE
    ).stdout
    before = json.loads(taken)
    assert set(before) == {
        *(
            "alive",
            "processes",
            "cgroups",
            "mounts",
            "swaps",
            "zram",
            "ksm",
            "thp",
            "sysctl",
            "temporary",
            "undo",
        ),
    }
    before["sysctl"]["swappiness"] = "-7"
    (tmp_path / "before.json").write_text(json.dumps(before))
    compared = subprocess.run(
        [sys.executable, str(SCRIPT), "compare", str(tmp_path / "before.json")],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert compared.returncode == 1
    assert "~ sysctl swappiness -7 -> " in compared.stdout
