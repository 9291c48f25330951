"""KSM and swap of this very machine, for a few seconds, with one real guest. Only where no other QEMU runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.embedded.machine.base import ContainerShape, DiskShape, GuestImage, GuestShape, PodShape
from harness.embedded.machine.errors import HostBusy, MachineError
from harness.embedded.machine.linux import probe, swap
from harness.embedded.machine.linux.disk import integrity, read_records
from harness.embedded.machine.linux.guest import LinuxGuest
from harness.embedded.machine.linux.host import HostKnobs, HostSettings
from harness.embedded.machine.linux.hostlock import PATH, HostLock
from harness.embedded.machine.linux.ksm import Ksm
from harness.embedded.machine.linux.machine import LinuxMachine
from harness.embedded.machine.linux.node import LinuxNode, LinuxPod
from harness.embedded.machine.linux.swap import SwapSettings
from harness.run import undo as undo_files
from harness.run.undo import UndoFile
from harness.units import MIB, Bytes

ROOT = Path(__file__).parents[3]
FAST: dict[str, int | str] = {"run": 1, "pages_to_scan": 5000, "sleep_millisecs": 10}
pytestmark = [pytest.mark.guest, pytest.mark.soak, pytest.mark.timeout(120)]


def nobody_else(*own: int) -> None:
    """Skip if somebody else's guests run: their memory would be merged, or swapped, under them."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = comm.read_text()
        except OSError:
            continue
        if name.startswith("qemu-") and int(comm.parent.name) not in own:
            pytest.skip(f"another QEMU runs on this machine: pid {comm.parent.name}")


@pytest.fixture
def as_before() -> Iterator[None]:
    """KSM's knobs, the swap areas and the lock are after the test what they were before it."""
    for capability in probe.survey():
        if capability.name in {"ksm", "swap", "cgroup-write"} and capability.value == "no":
            pytest.skip(f"{capability.name}: {capability.why}")
    if (Path("/") / PATH).exists():
        pytest.skip("another harness has the host-wide settings")
    nobody_else()
    before = (Ksm().settings(), [area.path for area in swap.areas()])
    yield
    assert (Ksm().settings(), [area.path for area in swap.areas()]) == before
    assert not (Path("/") / PATH).exists()


def open_machine(
    image: GuestImage, undo: UndoFile, scratch: Path, *, huge_pages: bool = True
) -> LinuxMachine:
    run = f"test-{secrets.token_hex(3)}"
    return LinuxMachine(image, undo=undo, run_id=run, accel="tcg", scratch=scratch, huge_pages=huge_pages)


def swap_files(folder: Path) -> list[Path]:
    return list(folder.glob("kubevirt-density-swap-*"))


async def start(
    node: LinuxNode, shape: GuestShape, *, share: int | None = None
) -> tuple[LinuxPod, LinuxGuest]:
    container = ContainerShape(limit=None, oom_score_adj=0, swap=None if share is None else Bytes(share))
    pod = await node.add_pod(
        PodShape(uid="a", name="a", qos="Burstable", limit=None, containers={"compute": container})
    )
    guest = await pod.start_guest("compute", shape)
    await said(guest, rb"@ hello ")
    return pod, guest


async def said(guest: LinuxGuest, pattern: bytes, *, within: float = 60) -> re.Match[bytes]:
    seen = b""
    async with asyncio.timeout(within):
        async for chunk in guest.console.read(from_start=True):
            seen += chunk
            found = re.search(pattern, seen)
            if found is not None:
                return found
    raise AssertionError(f"the guest went away: {seen[-500:]!r}")


@pytest.mark.usefixtures("as_before")
async def test_ksm_merges_what_is_the_same_and_lets_go_of_it(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    # on 6.18 zero pages of huge pages are freed when KSM comes by, but not counted as shared
    async with open_machine(image, undo, tmp_path, huge_pages=False) as linux:
        node = await linux.create_node("worker", Bytes(1024 * MIB))
        pod, guest = await start(node, GuestShape(name="a", memory=Bytes(256 * MIB), graphics=False))
        balloon = await guest.balloon()
        nobody_else(guest.pid)
        await linux.apply_host(HostSettings(ksm=FAST))
        with pytest.raises(HostBusy, match="in use by run test-"):
            HostLock.take(run="second", undo=lambda _entry: None)
        idle = await settled(linux)
        for number, (to, pages) in enumerate([(40, "unique"), (100, "zero")], start=1):
            await guest.console.write(f"{number} grow to={to * MIB} pages={pages}\n".encode())
            await said(guest, rb"@ ok id=%d " % number)
            grown = await settled(linux)
            nobody_else(guest.pid)
            growth = (grown["pages_sharing"] - idle["pages_sharing"]) * 4096 / MIB
            if pages == "unique":
                assert growth <= 2  # 5 % of 40
            else:
                assert growth >= 54  # 90 % of 60
        assert linux.host_samples()["ksm"]["ksmdCpu"] > 0
        assert guest.process_memory()["ksmMerging"] >= 54 * MIB
        used = pod.memory().usage  # of the 100 MiB it holds, 60 are nearly free
        await guest.console.write(f"9 rewrite bytes={100 * MIB}\n".encode())
        await said(guest, rb"@ ok id=9 ")
        assert pod.memory().usage - used >= 50 * MIB
        assert await guest.balloon() == balloon == 256 * MIB
    assert Ksm().counters()["pages_sharing"] == 0


async def settled(linux: LinuxMachine) -> dict[str, int]:
    """Counters once no more is merged: not 20 pages more in two seconds, after 5 full scans (a page is merged at its third)."""
    end = time.monotonic() + 40
    since, last = time.monotonic(), dict(linux.host_samples()["ksm"])
    goal = last["full_scans"] + 5
    while last["full_scans"] < goal or time.monotonic() - since < 2:
        assert time.monotonic() < end, last
        await asyncio.sleep(0.1)
        now = dict(linux.host_samples()["ksm"])
        if abs(now["pages_sharing"] - last["pages_sharing"]) > 20:
            since = time.monotonic()
            last = now
        last["full_scans"] = now["full_scans"]
    return last


@pytest.mark.usefixtures("as_before")
async def test_a_node_with_swap_swaps_where_one_without_would_kill(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with open_machine(image, undo, tmp_path) as linux:
        nobody_else()
        await linux.apply_host(HostSettings(swap=SwapSettings(size=Bytes(256 * MIB), folder=tmp_path)))
        node = await linux.create_node("worker", Bytes(208 * MIB))  # 166 of it after hello
        assert 255 * MIB <= node.swap <= 256 * MIB
        shape = GuestShape(name="a", memory=Bytes(256 * MIB), graphics=False)
        pod, guest = await start(node, shape, share=128 * MIB)
        await guest.console.write(f"1 grow to={150 * MIB} pages=unique\n".encode())
        await said(guest, rb"@ ok id=1 held=157286400")
        seen = pod.memory()
        assert seen.swap is not None
        assert seen.swap >= 60 * MIB
        assert node.memory().usage <= 208 * MIB
        assert linux.host_samples()["swap"]["out"] > 0
        assert guest.process_memory()["swapPss"] >= 60 * MIB
        await guest.console.write(b"2 touch pages=2000\n")
        await said(guest, rb"@ ok id=2 ")
        await guest.console.write(b"3 stat\n")
        stat = await said(guest, rb"@ stat id=3 .* p99=(\d+) max=(\d+) ")
        assert int(stat[2]) > 50_000  # ns: a page came back from the disk; in memory it takes 3 µs at most
        assert node.memory().oom_kill == 0
        assert not guest.died.is_set()
    assert swap_files(tmp_path) == []


@pytest.mark.usefixtures("as_before")
async def test_a_container_without_a_share_is_killed_though_the_node_has_swap(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with open_machine(image, undo, tmp_path) as linux:
        nobody_else()
        await linux.apply_host(HostSettings(swap=SwapSettings(size=Bytes(256 * MIB), folder=tmp_path)))
        node = await linux.create_node("worker", Bytes(256 * MIB))
        shape = GuestShape(name="a", memory=Bytes(256 * MIB), graphics=False)
        pod, guest = await start(node, shape, share=0)
        await guest.console.write(f"1 grow to={150 * MIB} pages=unique\n".encode())
        ended = await asyncio.wait_for(guest.wait(), 30)
        assert ended.oom is not None
        assert ended.oom.domain == "node"
        assert (pod.memory().swap or 0) < 10 * MIB


async def test_a_killed_guests_disk_has_what_was_fsynced(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    disk = DiskShape(path=tmp_path / "kubevirt-density-disk.raw", size=Bytes(64 * MIB))
    async with open_machine(image, undo, tmp_path) as linux:
        node = await linux.create_node("worker", Bytes(1024 * MIB))
        _, guest = await start(node, GuestShape(name="a", memory=Bytes(128 * MIB), disk=disk))
        await guest.console.write(b"1 record rate=50 fsync=1\n")
        last = await said(guest, rb"@ rec up=\d+ id=1 run=(\d+) n=(\d\d+) synced=(\d+)\n")
        guest.kill()
        await guest.wait()
        run, written, synced = (int(number) for number in last.groups())
        found = integrity(read_records(disk.path), run=run, written=written, synced=synced)
        assert (found.lost_synced, found.torn) == ((), 0)
        assert found.intact >= synced >= 9
    undo.close()
    assert not disk.path.exists()


KILLED = """
import json, os, sys, time
from pathlib import Path
from harness.embedded.machine.linux.host import HostKnobs, HostSettings
from harness.embedded.machine.linux.swap import SwapSettings
from harness.run.undo import UndoFile
from harness.units import Bytes
undo = UndoFile.create(run="killed", where=Path(sys.argv[1]) / "undo")
knobs = HostKnobs(undo=undo, run="killed")
swap = SwapSettings(size=Bytes(32 << 20), folder=Path(sys.argv[1]))
knobs.apply(HostSettings(ksm={"run": 1, "pages_to_scan": 777, "smart_scan": 0, "advisor_max_cpu": 50}, swap=swap))
print("applied", flush=True)
time.sleep(60)
"""


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("delay", [None, 0.12, 0.2, 0.3])
def test_a_killed_harness_leaves_host_settings_that_clean_gives_back(
    tmp_path: Path, delay: float | None
) -> None:
    nobody_else()
    if not os.access(Ksm().directory / "run", os.W_OK):
        pytest.skip("KSM is not writable")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        if delay is None:
            assert process.stdout.readline() == b"applied\n"
            assert Ksm().settings()["pages_to_scan"] == "777"
            assert len(swap.areas()) == 1
        else:
            time.sleep(delay)
        process.kill()
    cleaned = undo_files.clean(where=tmp_path / "undo")
    assert [item for file in cleaned for item in file.done if item.failed] == []
    if delay is None:
        assert [item.op for item in cleaned[0].done if item.did] == ["ksm", "swapoff", "unlink", "host-lock"]
    assert swap_files(tmp_path) == []


@pytest.mark.usefixtures("as_before")
def test_zram_is_taken_and_given_back(tmp_path: Path) -> None:
    before = {path.name: (path / "comp_algorithm").read_text() for path in Path("/sys/block").glob("zram*")}
    with UndoFile.create(run="zram", where=tmp_path / "undo") as undo:
        knobs = HostKnobs(undo=undo, run="zram")
        try:
            knobs.apply(HostSettings(swap=SwapSettings(kind="zram", size=Bytes(64 * MIB), algorithm="lz4")))
        except MachineError as error:
            pytest.skip(str(error))
        assert knobs.area is not None
        assert knobs.area.path.startswith("/dev/zram")
        assert knobs.samples()["swap"]["areas"] == 1
        assert knobs.give_back() == ()
    after = {path.name: (path / "comp_algorithm").read_text() for path in Path("/sys/block").glob("zram*")}
    assert json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True)
