"""LinuxMachine on this machine's kernel. Guests here need not boot: an OOM kill or a crash comes sooner."""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.embedded.machine.base import (
    ContainerShape,
    DiskShape,
    GuestImage,
    GuestShape,
    Machine,
    OomKill,
    PodShape,
    ReadsDisks,
)
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import cgroupfs, kmsg, procfs
from harness.embedded.machine.linux.cgroupfs import Unwritable
from harness.embedded.machine.linux.guest import LinuxGuest
from harness.embedded.machine.linux.machine import LinuxMachine
from harness.embedded.machine.linux.node import LinuxNode, LinuxPod
from harness.run import undo as undo_files
from harness.run.undo import UndoFile
from harness.units import MIB, Bytes

pytestmark = pytest.mark.guest

ROOT = Path(__file__).parents[3]
FALLBACK = Unwritable(why="the test said so", mend="")


def conforms(linux: LinuxMachine) -> Machine:
    """Checked by mypy: what we hand out is what the contract promises."""
    reads: ReadsDisks = linux
    assert reads is linux
    return linux


def machine(image: GuestImage, undo: UndoFile, tmp_path: Path, **options: object) -> LinuxMachine:
    run = f"test-{secrets.token_hex(3)}"
    scratch = tmp_path / "s"
    scratch.mkdir(exist_ok=True)
    return LinuxMachine(image, undo=undo, run_id=run, accel="tcg", scratch=scratch, **options)  # type: ignore[arg-type]


def pod_shape(uid: str, *, limit: int | None = None, adj: int = 0) -> PodShape:
    bound = None if limit is None else Bytes(limit * MIB)
    return PodShape(
        uid=uid,
        name=f"virt-launcher-{uid}",
        qos="Burstable",
        limit=None,
        containers={"compute": ContainerShape(limit=bound, oom_score_adj=adj)},
    )


async def guest_in(
    node: LinuxNode, uid: str, *, limit: int | None = None, adj: int = 0, memory: int = 256
) -> tuple[LinuxPod, LinuxGuest]:
    pod = await node.add_pod(pod_shape(uid, limit=limit, adj=adj))
    shape = GuestShape(name=uid, memory=Bytes(memory * MIB), nonce="c0ffee")
    return pod, await pod.start_guest("compute", shape)


async def line(guest: LinuxGuest, pattern: bytes, *, within: float = 40) -> re.Match[bytes]:
    seen = b""
    async with asyncio.timeout(within):
        async for chunk in guest.console.read(from_start=True):
            seen += chunk
            found = re.search(pattern, seen)
            if found is not None:
                return found
    raise AssertionError(f"the guest went away: {seen[-1000:]!r}")


async def until(condition: Callable[[], bool], *, within: float = 5) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def needs_cgroup() -> cgroupfs.Hierarchy:
    found = cgroupfs.detect()
    if isinstance(found, Unwritable):
        pytest.skip(found.why)
    return found


@pytest.fixture
def leftovers(tmp_path: Path) -> Iterator[None]:
    """Compare the machine before and after with the script users are given."""
    before = tmp_path / "before.json"
    tool = [sys.executable, str(ROOT / "tools/leftovers.py")]
    before.write_bytes(subprocess.run([*tool, "snapshot"], check=True, stdout=subprocess.PIPE).stdout)
    yield
    after = subprocess.run([*tool, "compare", str(before)], check=False, stdout=subprocess.PIPE, text=True)
    # other tests may run on this machine at the same time: only what names this test's directory or run counts
    ours = [
        item
        for item in after.stdout.splitlines()
        if str(tmp_path) in item or "kubevirt-density/test-" in item
    ]
    assert ours == []


@pytest.mark.usefixtures("leftovers")
async def test_a_guest_boots_holds_what_it_was_asked_for_and_obeys_the_power_button(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with machine(image, undo, tmp_path) as linux:
        node = await linux.create_node("worker", Bytes(1024 * MIB))
        pod, guest = await guest_in(node, "a", adj=500)
        hello = await line(guest, rb"@ hello proto=1 nonce=(\w+) kernel=(\S+) ")
        assert hello.groups() == (b"c0ffee", image.release.encode())
        assert guest.oom_score_adj == 500
        before = pod.memory()
        await guest.console.write(f"1 grow to={60 * MIB} rate=0 pages=unique seed=1\n".encode())
        await line(guest, rb"@ ok id=1")
        held = pod.memory().working_set - before.working_set
        assert 55 * MIB <= held <= 65 * MIB
        assert node.memory().usage >= pod.memory().usage
        assert node.memory().limit in {1024 * MIB, None}
        seen = guest.process_memory()
        assert seen["pid"] == guest.pid
        assert seen["rss"] >= seen["pss"] > 60 * MIB
        await guest.power_button()
        ended = await asyncio.wait_for(guest.wait(), 10)
        assert (ended.code, ended.signal, ended.oom) == (0, None, None)
        assert b"reason=power" in guest.console.history()
        assert guest.process_memory() == {}
        await guest.power_button()
        guest.kill()
        assert await guest.wait() == ended


@pytest.mark.usefixtures("leftovers")
async def test_a_container_at_its_limit_is_killed_alone_and_a_node_at_its_limit_kills_the_highest_score(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    needs_cgroup()
    async with machine(image, undo, tmp_path) as linux:
        node = await linux.create_node("worker", Bytes(220 * MIB))
        bystander, calm = await guest_in(node, "calm", memory=128)
        _, small = await guest_in(node, "small", limit=60)
        ended = await asyncio.wait_for(small.wait(), 30)
        assert (ended.code, ended.signal) == (None, signal.SIGKILL)
        assert ended.oom is not None
        assert (ended.oom.domain, ended.oom.node, ended.oom.pod_uid) == ("container", "worker", "small")
        assert ended.oom.container == "compute"
        assert calm.process_memory()

        # now the node: the second guest's boot does not fit, and its score is the higher one
        _, hog = await guest_in(node, "hog", adj=800)
        ended = await asyncio.wait_for(hog.wait(), 30)
        assert ended.oom is not None
        assert (ended.oom.domain, ended.oom.pod_uid, ended.oom.oom_score_adj) == ("node", "hog", 800)
        seen: list[OomKill] = []
        async for kill in linux.oom_kills():
            seen.append(kill)
            if len(seen) == 2:
                break
        assert [kill.pod_uid for kill in seen] == ["small", "hog"]
        assert node.memory().oom_kill in {2, 3}  # the kernel may take a second victim with it
        await bystander.remove()
        await bystander.remove()
        ended = await calm.wait()
        assert ended.oom is None or ended.oom.domain == "node"


@pytest.mark.usefixtures("leftovers")
async def test_without_the_kernel_log_counters_tell_the_domain(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    found = needs_cgroup()
    async with machine(image, undo, tmp_path, kmsg_path=tmp_path / "no-kmsg") as linux:
        assert "no-kmsg: No such file" in linux.capabilities()["kmsg"]
        node = await linux.create_node("worker", Bytes(512 * MIB))
        _, small = await guest_in(node, "small", limit=60)
        ended = await asyncio.wait_for(small.wait(), 30)
        assert ended.oom is not None
        assert (ended.oom.domain, ended.oom.pod_uid, ended.oom.pid) == ("container", "small", small.pid)
        assert ended.oom.source == ("oom_control" if found.version == "v1" else "memory.events")
        tiny = await linux.create_node("tiny", Bytes(60 * MIB))
        _, second = await guest_in(tiny, "second")
        ended = await asyncio.wait_for(second.wait(), 30)
        assert ended.oom is not None
        assert ended.oom.domain == "node"


def _files(folder: Path, name: str) -> list[Path]:
    return list(folder.glob(f"s/*/disks/{name}"))


@pytest.mark.usefixtures("leftovers")
async def test_a_disk_is_read_when_its_guest_has_ended_and_goes_with_its_pod_only_if_ephemeral(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with machine(image, undo, tmp_path, hierarchy=FALLBACK) as linux:
        node = await linux.create_node("worker", Bytes(1024 * MIB))
        for name, ephemeral in (("a", True), ("b", False)):
            pod = await node.add_pod(pod_shape(name))
            disk = DiskShape(path=Path(f"{name}.raw"), size=Bytes(8 * MIB), ephemeral=ephemeral)
            guest = await pod.start_guest(
                "compute", GuestShape(name=name, memory=Bytes(256 * MIB), nonce="1", disk=disk)
            )
            await line(guest, rb"@ hello")
            await guest.console.write(b"1 record rate=100 fsync=1 bytes=4096\n")
            said = await line(guest, rb"@ rec up=\d+ id=1 run=(\d+) n=(\d\d+) synced=(\d\d+)")
            (file,) = await asyncio.to_thread(_files, tmp_path, f"{name}.raw")
            guest.kill()
            await guest.wait()
            await pod.remove()
            assert file.exists() is not ephemeral
            read = [read for read in linux.disks_read if read.guest == name]
            assert [(one.pod_uid, one.slots, one.torn, one.why) for one in read] == [(name, 1024, 0, "")]
            # every record the guest called synced is there, and none is missing between
            ((low, high),) = read[0].runs[int(said[1])]
            assert low == 1
            assert high >= int(said[3]) >= 10
    assert not file.exists()


@pytest.mark.usefixtures("leftovers")
async def test_a_signal_of_ours_is_no_oom(image: GuestImage, undo: UndoFile, tmp_path: Path) -> None:
    async with machine(image, undo, tmp_path, hierarchy=FALLBACK) as linux:
        node = await linux.create_node("worker", Bytes(1024 * MIB))
        _, first = await guest_in(node, "a")
        first.kill()
        assert (await first.wait()).signal == signal.SIGKILL
        pod, second = await guest_in(node, "b")
        second.terminate()
        ended = await asyncio.wait_for(second.wait(), 10)
        # before QEMU has its handler, SIGTERM ends it as a signal
        assert (ended.code, ended.signal, ended.oom) in {(0, None, None), (None, signal.SIGTERM, None)}
        with pytest.raises(MachineError, match="has no container 'other': compute"):
            await pod.start_guest("other", GuestShape(name="x", memory=Bytes(128 * MIB)))


@pytest.mark.usefixtures("leftovers")
async def test_where_no_cgroup_can_be_written_the_guests_pss_is_the_usage(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with machine(image, undo, tmp_path, hierarchy=FALLBACK) as linux:
        assert linux.accounting == "pss"
        assert linux.qualifiers["cgroup"] == "pss"
        assert linux.capabilities()["cgroup-write"] == "the test said so"
        node = await linux.create_node("worker", Bytes(1024 * MIB))
        assert node.memory().usage == 0
        pod, guest = await guest_in(node, "a")
        await until(lambda: pod.memory().usage > 40 * MIB, within=20)
        memory = node.memory()
        assert memory.accounting == "pss"
        assert memory.limit == 1024 * MIB
        assert memory.working_set == memory.usage
        node.set_kubepods_limit(Bytes(900 * MIB))
        assert node.kubepods_memory().limit == 900 * MIB
        assert not any(entry["op"] == "rmdir-cgroup" for entry in undo._entries)
        await node.remove()
        assert (await guest.wait()).signal == signal.SIGKILL
        assert node.memory().usage == 0


@pytest.mark.usefixtures("leftovers")
async def test_an_error_of_the_caller_comes_out_as_it_is_and_takes_everything_down(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    guests: list[LinuxGuest] = []

    async def fail() -> None:
        async with machine(image, undo, tmp_path) as linux:
            node = await linux.create_node("worker", Bytes(512 * MIB))
            guests.append((await guest_in(node, "a"))[1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (await guests[0].wait()).signal == signal.SIGKILL
    assert procfs.identity(guests[0].pid) is None
    assert [item.failed for item in undo.close() if item.did or item.failed] == []


@pytest.mark.usefixtures("leftovers")
async def test_cancelling_takes_everything_down(image: GuestImage, undo: UndoFile, tmp_path: Path) -> None:
    started = asyncio.Event()
    pids: list[int] = []

    async def run() -> None:
        async with machine(image, undo, tmp_path) as linux:
            node = await linux.create_node("worker", Bytes(512 * MIB))
            pids.append((await guest_in(node, "a"))[1].pid)
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await asyncio.wait_for(started.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert procfs.identity(pids[0]) is None


@pytest.mark.usefixtures("leftovers")
async def test_a_guest_that_qemu_refuses_is_one_line_with_its_reason(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with machine(image, undo, tmp_path) as linux:
        node = await linux.create_node("worker", Bytes(512 * MIB))
        pod = await node.add_pod(pod_shape("a"))
        with pytest.raises(MachineError, match=r"guest huge: qemu-system-x86_64 did not start: .*") as caught:
            await pod.start_guest("compute", GuestShape(name="huge", memory=Bytes(1 << 60)))
        assert "\n" not in str(caught.value)
        assert "memory" in str(caught.value)
        with pytest.raises(MachineError, match=r"can't name a cgroup"):
            await node.add_pod(pod_shape("../escape"))
        with pytest.raises(MachineError, match=r"has pod a already"):
            await node.add_pod(pod_shape("a"))


@pytest.mark.usefixtures("leftovers")
async def test_a_kernel_that_is_none_leaves_a_console_to_read(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    broken = tmp_path / "vmlinuz"
    broken.write_bytes(b"\0" * 1_000_000)
    async with machine(
        GuestImage(kernel=broken, initramfs=image.initramfs, release="none"), undo, tmp_path
    ) as linux:
        node = await linux.create_node("worker", Bytes(512 * MIB))
        pod = await node.add_pod(pod_shape("a"))
        with pytest.raises(MachineError, match=r"did not start: .*kernel"):
            await pod.start_guest("compute", GuestShape(name="a", memory=Bytes(128 * MIB)))


async def test_a_node_larger_than_the_machine_is_refused(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with machine(image, undo, tmp_path) as linux:
        with pytest.raises(MachineError, match=r"node huge of 1073741824 MiB is larger than the machine"):
            await linux.create_node("huge", Bytes(1 << 50))
        await linux.create_node("worker", Bytes(256 * MIB))
        with pytest.raises(MachineError, match="there is a node worker already"):
            await linux.create_node("worker", Bytes(256 * MIB))


async def test_a_guest_whose_cgroup_is_gone_does_not_run_outside_of_it(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    needs_cgroup()
    async with machine(image, undo, tmp_path) as linux:
        node = await linux.create_node("worker", Bytes(256 * MIB))
        pod = await node.add_pod(pod_shape("a"))
        assert pod._group is not None
        (pod._group.path / "compute").rmdir()
        with pytest.raises(MachineError, match=r"enter cgroup .*compute: No such file or directory"):
            await pod.start_guest("compute", GuestShape(name="a", memory=Bytes(128 * MIB)))


KILLED = """
import asyncio, os, sys
from pathlib import Path
from harness.embedded.machine.base import *
from harness.embedded.machine.linux.machine import LinuxMachine
from harness.run.undo import UndoFile
from harness.units import Bytes

async def main():
    undo = UndoFile.create(run="killed", where=Path(sys.argv[1]))
    image = GuestImage(kernel=Path(sys.argv[2]), initramfs=Path(sys.argv[3]), release="")
    async with LinuxMachine(image, undo=undo, run_id=sys.argv[5], accel="tcg", scratch=Path(sys.argv[4])) as linux:
        node = await linux.create_node("worker", Bytes(512 << 20))
        pod = await node.add_pod(PodShape(uid="a", name="a", qos="BestEffort", limit=None,
            containers={"compute": ContainerShape(limit=None, oom_score_adj=0)}))
        guest = await pod.start_guest("compute", GuestShape(name="a", memory=Bytes(128 << 20)))
        print(guest.pid, flush=True)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.usefixtures("leftovers")
def test_a_killed_harness_takes_its_guests_with_it_and_clean_removes_the_rest(
    image: GuestImage, tmp_path: Path
) -> None:
    run = f"test-{secrets.token_hex(3)}"
    arguments = [str(tmp_path / "undo"), str(image.kernel), str(image.initramfs), str(tmp_path), run]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -9
    pid = int(done.stdout)

    def gone() -> bool:
        who = procfs.identity(pid)
        return who is None or who.state == "Z" or not who.name.startswith("qemu")

    end = time.monotonic() + 5
    while not gone():
        assert time.monotonic() < end
        time.sleep(0.01)
    (cleaned,) = undo_files.clean(where=tmp_path / "undo")
    assert cleaned.state == "undone"
    assert [item.failed for item in cleaned.done if item.failed] == []
    assert json.dumps([item.op for item in cleaned.done if item.did]).count("rmtree") == 1
    assert not list(tmp_path.glob("kubevirt-density-*"))
    found = cgroupfs.detect()
    if isinstance(found, cgroupfs.Hierarchy):
        assert not (found.subtree / run).exists()


async def test_no_qemu_on_path_is_reported_and_nothing_is_made(
    image: GuestImage, undo: UndoFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="not on PATH"):
        async with machine(image, undo, tmp_path):
            pass
    assert undo._entries == []


async def test_a_scratch_directory_too_deep_for_sockets_is_reported(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    async with LinuxMachine(
        image, undo=undo, run_id=f"test-{secrets.token_hex(3)}", accel="tcg", scratch=deep
    ) as linux:
        node = await linux.create_node("worker", Bytes(256 * MIB))
        with pytest.raises(MachineError, match="set TMPDIR to a short directory"):
            await guest_in(node, "a")


def test_the_kernel_log_can_be_followed_or_says_why_not(tmp_path: Path) -> None:
    assert kmsg.why_unreadable(tmp_path / "none").endswith("none: No such file or directory")


@pytest.mark.soak
@pytest.mark.usefixtures("leftovers")
@pytest.mark.parametrize("seed", range(12))
def test_a_harness_killed_at_any_moment_leaves_nothing_that_clean_does_not_find(
    image: GuestImage, tmp_path: Path, seed: int
) -> None:
    run = f"test-{secrets.token_hex(3)}"
    script = KILLED.replace("os.kill(os.getpid(), 9)", "await asyncio.sleep(60)")
    arguments = [str(tmp_path / "undo"), str(image.kernel), str(image.initramfs), str(tmp_path), run]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as harness:
        time.sleep(0.2 + random.Random(seed).random())
        harness.kill()
    cleaned = undo_files.clean(where=tmp_path / "undo")
    assert [item for file in cleaned for item in file.done if item.failed] == []
    assert undo_files.clean(where=tmp_path / "undo") == ()
    found = cgroupfs.detect()
    if isinstance(found, cgroupfs.Hierarchy):
        assert not (found.subtree / run).exists()
