"""Runs as init of a guest whose kernel has cgroup v2 only: our v2 code against the real thing. Prints one line a check.

Started by test_v2_in_guest.py; needs the standard library, `harness` and `qemu.qmp` in the guest.
"""

# ruff: noqa: PLC0415, ASYNC222, ASYNC240 - imports need /proc first; nothing else runs in this guest

from __future__ import annotations

import asyncio
import ctypes
import json
import mmap
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(kind: str, where: str) -> None:
    Path(where).mkdir(parents=True, exist_ok=True)
    if LIBC.mount(kind.encode(), where.encode(), kind.encode(), 0, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind}")


def load_modules() -> None:
    for path in Path("/modules.list").read_text(encoding="ascii").split():
        fd = os.open(path, os.O_RDONLY)
        if LIBC.syscall(313, fd, b"", 0) != 0:  # finit_module(2)
            say(f"module {path}: {os.strerror(ctypes.get_errno())}")
        os.close(fd)


def say(line: str) -> None:
    with Path("/dev/ttyS0").open("w", encoding="ascii", errors="replace") as console:
        console.write(line + "\n")


def child(group: Path, hold: int, *, adj: int = 0) -> int:
    """Fork a process that confines itself as QEMU would be, touches `hold` bytes and sleeps."""
    from harness.embedded.machine.linux.qemu import Confinement

    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            Confinement(parent=parent, cgroup=group, oom_score_adj=adj).apply(2)
            memory = mmap.mmap(-1, hold)
            for offset in range(0, hold, 4096):
                memory[offset] = 1
            time.sleep(600)
        finally:
            os._exit(1)
    return pid


def ended(pid: int, within: float = 60) -> int:
    """Wait for a child; the signal that ended it, 0 if none has."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        time.sleep(0.05)
    return 0


def wait_for(condition: Callable[[], bool], within: float = 60) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


async def checks() -> dict[str, object]:
    from harness.embedded.kubelet.shapes import pod_shape
    from harness.embedded.machine.base import ContainerShape, GuestImage, PodShape
    from harness.embedded.machine.linux import cgroup, cgroupfs, kmsg, oom, procfs, swap, syscalls
    from harness.embedded.machine.linux.node import Host, LinuxNode, LinuxPod
    from harness.embedded.machine.linux.oomcounters import Counters
    from harness.run import undo_machine  # noqa: F401 - registers how this machine is undone
    from harness.run.undo_operations import undo_all

    seen: dict[str, object] = {}
    entries: list[dict[str, object]] = []
    reports: list[oom.Report] = []
    found = cgroupfs.detect()
    assert isinstance(found, cgroupfs.Hierarchy)
    seen["detected"] = [found.version, str(found.root)]

    # 0. as in a container: our own processes sit in the group that is to be divided
    box = found.root / "box"
    cgroup.enable_memory(found.root)
    box.mkdir()
    procfs.write_once(box / "cgroup.procs", str(os.getpid()))
    boxed = cgroup.open_run(
        cgroupfs.Hierarchy(version="v2", root=box), "boxed", undo=lambda entry: entries.append(dict(entry))
    )
    boxed.set_limit(8 * MIB)  # type: ignore[arg-type]
    seen["boxed limit"] = boxed.read().limit
    seen["we sit in"] = Path("/proc/self/cgroup").read_text(encoding="ascii").strip()
    seen["boxed undo failed"] = [item.failed for item in undo_all(entries, same_boot=True) if item.failed]
    seen["we are back in"] = Path("/proc/self/cgroup").read_text(encoding="ascii").strip()
    procfs.write_once(found.root / "cgroup.procs", str(os.getpid()))
    box.rmdir()
    procfs.write_once(found.root / "cgroup.subtree_control", "-memory")
    entries.clear()

    run = cgroup.open_run(found, "v2", undo=lambda entry: entries.append(dict(entry)))
    host = Host(
        program=Path("/none"),
        image=GuestImage(kernel=Path("/none"), initramfs=Path("/none"), release=""),
        accelerator="tcg",
        scratch=Path("/"),
        undo=lambda entry: entries.append(dict(entry)),
        own=lambda _guest, _pod: None,
    )
    node = LinuxNode.create(name="node", capacity=64 * MIB, run=run, host=host)  # type: ignore[arg-type]
    assert node.kubepods is not None
    seen["node limit"] = node.memory().limit
    node.set_kubepods_limit(60 * MIB)  # type: ignore[arg-type]
    seen["kubepods limit"] = node.kubepods_memory().limit
    node.set_kubepods_limit(None)
    follower = kmsg.Follower(reports.append)
    follower.start()

    async def pod(uid: str, limit: int | None) -> tuple[LinuxPod, cgroup.Group, Counters]:
        shape = PodShape(
            uid=uid,
            name=uid,
            qos="Burstable",
            limit=None,
            containers={"compute": ContainerShape(limit=limit, oom_score_adj=0)},  # type: ignore[arg-type]
        )
        made = await node.add_pod(shape)
        assert made._group is not None
        group = made._group.child("compute")
        return made, group, Counters.now(made._levels(group))

    def domain(counters: Counters, pid: int) -> list[object]:
        follower.drain()
        kills = [report.kill("v2") for report in reports if report.pid == pid]
        return [counters.blame(), *[(kill.domain, kill.pod_uid, kill.container) for kill in kills]]

    # 1. holding memory is seen where it should be
    calm_pod, calm, calm_counters = await pod("calm", None)
    resting = child(calm.path, 16 * MIB)
    seen["usage rises"] = wait_for(lambda: calm_pod.memory().working_set >= 16 * MIB)
    seen["node sees it"] = node.memory().usage >= calm_pod.memory().usage
    seen["untouched"] = calm_counters.blame()
    seen["adj"] = Path(f"/proc/{resting}/oom_score_adj").read_text(encoding="ascii").strip()

    # 2. a container at its limit: all of it dies, nobody else
    _, small, small_counters = await pod("small", 16 * MIB)
    friend = child(small.path, 1 * MIB)
    wait_for(lambda: small.read().usage >= 1 * MIB)
    greedy = child(small.path, 32 * MIB)
    seen["greedy ended by"] = ended(greedy)
    seen["its group died with it"] = ended(friend)
    follower.drain()
    victims = [report.pid for report in reports]
    seen["container kill"] = domain(small_counters, victims[0])
    seen["bystander lives"] = os.waitpid(resting, os.WNOHANG)[0] == 0

    # 3. the node at its limit: the highest score dies
    _, hog, hog_counters = await pod("hog", None)
    pid = child(hog.path, 100 * MIB, adj=900)
    seen["hog ended by"] = ended(pid)
    seen["node kill"] = domain(hog_counters, pid)
    seen["bystander lives on"] = os.waitpid(resting, os.WNOHANG)[0] == 0
    kills = node.memory().oom_kill
    seen["node counts kills"] = kills is not None and kills >= 2

    # 4. swap: a share of it lets a container live beyond its limit, none does not
    swap_node = LinuxNode.create(
        name="swapping",
        capacity=128 * MIB,  # type: ignore[arg-type]
        run=run,
        host=host,
        swap=96 * MIB,  # type: ignore[arg-type]
    )
    syscalls.swapon("/dev/vda", 100)
    seen["swap areas"] = [area.path for area in swap.areas()]
    shares = {}
    for uid, behavior in (("lives", "LimitedSwap"), ("dies", "NoSwap")):
        resources = {"requests": {"memory": "40Mi"}, "limits": {"memory": "64Mi"}}
        served = {
            "metadata": {"name": uid, "uid": uid},
            "spec": {"containers": [{"name": "compute", "resources": resources}]},
        }
        shape = pod_shape(served, capacity=swap_node.capacity, swap=swap_node.swap, behavior=behavior)
        made = await swap_node.add_pod(shape)
        assert made._group is not None
        shares[uid] = (made, child(made._group.path / "compute", 80 * MIB))
    seen["without a share ended by"] = ended(shares["dies"][1])
    lives, held = shares["lives"]
    seen["with a share it lives"] = wait_for(
        lambda: int(lives.memory().swap or 0) >= 12 * MIB and os.waitpid(held, os.WNOHANG)[0] == 0
    )
    assert lives._group is not None
    limits = [
        (lives._group.path / name).read_text().strip()
        for name in ("memory.swap.max", "compute/memory.swap.max")
    ]
    seen["swap limits"] = [*limits, *(shares[uid][0].swap_limit("compute") for uid in ("lives", "dies"))]
    told = lives.pressure()
    seen["pressure is told"] = sorted(set(told) & {"someTotal", "events.oom_kill", "swap.max", "pgmajfault"})
    seen["swapped out"] = swap.counters().get("out", 0) > 1000
    os.kill(held, signal.SIGKILL)
    ended(held)
    syscalls.swapoff("/dev/vda")
    seen["swap is off"] = swap.areas() == ()

    # 5. everything goes, with the process still in it, and the root is as before
    follower.close()
    undone = undo_all(entries, same_boot=True)
    seen["undo failed"] = [item.failed for item in undone if item.failed]
    seen["resting ended by"] = ended(resting)
    seen["tree is gone"] = not found.subtree.exists()
    seen["root control"] = (found.root / "cgroup.subtree_control").read_text(encoding="ascii").split()
    return seen


def main() -> None:
    for kind, where in (
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("cgroup2", "/sys/fs/cgroup"),
    ):
        mount(kind, where)
    load_modules()
    try:
        say("V2 " + json.dumps(asyncio.run(checks())))
    except BaseException:  # noqa: BLE001 - init has nobody else to tell
        say("V2 " + json.dumps({"error": traceback.format_exc()}))
    os.sync()
    LIBC.reboot(0x4321FEDC)
    signal.pause()


if __name__ == "__main__":
    main()
