"""The node's own programs with real mounts: /proc/meminfo is covered, resized in place and uncovered in a namespace."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cluster.kind import meminfo
from harness.cluster.kind.node import COVER, OPEN_PROC, WORKING_SET, WRITE_FAKE
from harness.cluster.nodes import kubelet_files as kubelet
from harness.cluster.nodes.kubelet_files import RESTORE
from harness.units import GIB, Bytes


def in_namespace(script: str, *arguments: str, path: Path) -> list[str]:
    """Run in a mount namespace of its own, with an empty /run."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"mount -t tmpfs tmpfs /run && {{ {script}\n}}", "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{path}:/usr/bin:/bin:/usr/sbin:/sbin"},
    )  # fmt: skip
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed: apt-get install util-linux")
    systemctl = tmp_path / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "systemctl $*"\n')
    systemctl.chmod(0o755)
    return tmp_path


def test_a_node_is_covered_resized_in_place_and_restored(programs: Path) -> None:
    config = programs / "config.yaml"
    config.write_text("old\n")
    small, large = meminfo.render(GIB), meminfo.render(Bytes(2 * GIB))
    script = f"""
    real=$(head -1 /proc/meminfo)
    {OPEN_PROC}; {OPEN_PROC}
    [ "$(head -1 /run/density/proc/meminfo)" = "$real" ] && echo "second procfs"
    printf %s "$3" | {WRITE_FAKE}
    {COVER}
    {COVER}
    head -1 /proc/meminfo
    printf %s "$4" | {WRITE_FAKE}
    head -1 /proc/meminfo
    grep -c " /proc/meminfo " /proc/self/mountinfo
    [ "$(head -1 /run/density/proc/meminfo)" = "$real" ] && echo "real one still seen"
    sh -c '{kubelet.KEEP}' sh "$1" "$2"
    echo new | sh -c '{kubelet.REPLACE}' sh "$1"
    sh -c '{kubelet.KEEP}' sh "$1" "$2"
    cat "$1" "$1$2"
    sh -c '{RESTORE}' sh "$1" "$2" ""
    [ "$(head -1 /proc/meminfo)" = "$real" ] && echo "uncovered"
    cat "$1"
    sh -c '{RESTORE}' sh "$1" "$2" ""
    ls "$1"*
    """
    said = in_namespace(script, str(config), kubelet.PRISTINE_SUFFIX, small, large, path=programs)
    assert said == [
        "second procfs",
        "MemTotal:            1048576 kB",
        "MemTotal:            2097152 kB",
        "1",
        "real one still seen",
        "new",
        "old",
        "systemctl restart kubelet",
        "restored",
        "uncovered",
        "old",
        str(config),
    ]


def test_a_drop_in_is_removed(programs: Path) -> None:
    drop_in = programs / "99-density.conf"
    drop_in.write_text("x")
    said = in_namespace(
        'sh -c "$RESTORE" sh /nowhere .p "$1"'.replace("$RESTORE", "$2"), str(drop_in), RESTORE, path=programs
    )
    assert said == ["systemctl restart kubelet", "restored"]
    assert not drop_in.exists()


def test_the_kubelets_arguments_are_found(tmp_path: Path) -> None:
    for pid, comm, cmdline in (
        ("1", "systemd", "/sbin/init"),
        ("71", "kubelet", "/usr/bin/kubelet\0--config=/var/lib/kubelet/config.yaml\0"),
        ("710", "kubelet", "another"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_text(f"{comm}\n")
        (tmp_path / pid / "cmdline").write_text(cmdline)
    (tmp_path / "70").mkdir()  # it ended while being looked at
    # not this machine's processes: others play kubelets here
    program = kubelet.FIND.replace("/proc/", f"{tmp_path}/")
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "/usr/bin/kubelet\n--config=/var/lib/kubelet/config.yaml\n"
    assert done.stderr == ""
    assert kubelet.files(done.stdout).config == "/var/lib/kubelet/config.yaml"


def test_the_working_set_is_read_of_a_real_cgroup() -> None:
    done = subprocess.run(["sh", "-c", WORKING_SET], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no memory cgroup is mounted here")
    usage, *rows = done.stdout.splitlines()
    assert int(usage) >= 0
    assert any(row.split()[0].endswith("inactive_file") for row in rows)
