"""The image on a real guest: what it holds, seen from the host, and what its power button does."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from harness.embedded.machine.linux.disk import integrity, read_records
from tests.workloads.qemu import MIB, QEMU, boot
from workloads.image import GuestImage, ImageError, build

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def image() -> GuestImage:
    if QEMU is None:
        pytest.skip("qemu-system-x86_64 is not installed: apt-get install qemu-system-x86")
    try:
        return build()
    except ImageError as error:
        pytest.skip(str(error))


async def test_a_guest_holds_what_was_asked_and_powers_off(image: GuestImage, tmp_path: Path) -> None:
    assert image.missing == ()
    async with boot(image, tmp_path, arguments="density.nonce=c0ffee") as guest:
        hello = await guest.expect("@ hello ", within=30)
        assert (hello["proto"], hello["nonce"], hello["deaf"]) == ("1", "c0ffee", "0")
        assert hello["kernel"] == image.release
        # Kernel 6.1 leaves 0.86 of 256 MiB, 6.12 0.83.
        assert 0.80 <= int(hello["memtotal"]) / (256 * MIB) <= 1.0
        base = guest.pss()
        for to, pages in (
            (20 * MIB, "unique"),
            (60 * MIB, "shared"),
            (100 * MIB, "zero"),
            (140_000_001, "unique"),
        ):
            assert (await guest.ask(f"grow to={to} rate={100 * MIB} pages={pages} seed=1"))["held"] == str(to)
            # 8 MiB: QEMU's own shared pages, huge-page rounding, one report of what boot left free
            assert abs(guest.pss() - base - to) <= to * 0.03 + 8 * MIB
        await guest.send("stat")
        stat = await guest.expect("@ stat id=")
        assert int(stat["resident"]) == 140_001_280  # whole pages
        await guest.ask("shrink to=0")
        async with asyncio.timeout(15):  # free page reporting gives it back after 2 s
            while guest.pss() - base > 20 * MIB:  # noqa: ASYNC110 - /proc has no event to wait for
                await asyncio.sleep(0.1)
        began = time.monotonic()
        await guest.power_button()
        await guest.expect("@ power ")
        assert (await guest.expect("@ bye "))["reason"] == "power"
        assert await asyncio.wait_for(guest.process.wait(), 5) == 0
        assert time.monotonic() - began < 2.0


async def test_a_deaf_guest_goes_on(image: GuestImage, tmp_path: Path) -> None:
    async with boot(image, tmp_path, memory_mib=128, arguments="density.nonce=1 density.deaf=1") as guest:
        assert (await guest.expect("@ hello "))["deaf"] == "1"
        await guest.power_button()
        await guest.expect("@ power ", within=5)
        assert (await guest.ask("grow to=1000"))["held"] == "1000"
        await guest.send("grow to=90000000")
        await guest.expect("@ err id=2")
        assert guest.process.returncode is None
        await guest.send("bye")
        assert (await guest.expect("@ bye "))["reason"] == "command"
        assert await asyncio.wait_for(guest.process.wait(), 5) == 0


async def test_killed_at_once_only_records_without_fsync_are_lost(image: GuestImage, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    drive = f"driver=raw,node-name=d,file.driver=file,file.filename={disk},cache.direct=on"
    devices = (
        *("-device", "VGA,addr=0x2,vgamem_mb=16"),
        *("-blockdev", f"driver=null-co,node-name=n,size={MIB}"),
        *("-device", "virtio-blk-pci,drive=n,serial=somebodys"),
        *("-blockdev", drive, "-device", "virtio-blk-pci,drive=d,serial=density"),
    )
    async with boot(image, tmp_path, memory_mib=128, devices=devices) as guest:
        await guest.expect("@ hello ", within=30)
        # display memory counts once it is written, and not more of it
        before = guest.pss()
        await guest.ask(f"vram bytes={16 * MIB}")
        assert abs(guest.pss() - before - 16 * MIB) < 3 * MIB
        # what goes through the page cache is held by the guest
        before = guest.pss()
        await guest.ask(f"cache bytes={16 * MIB}")
        assert guest.pss() - before > 10 * MIB
        await guest.ask("record rate=50 fsync=1")
        while int((seen := await guest.expect("@ rec ", within=20))["synced"]) < 20:
            pass
        await guest.ask("record rate=0")
        fsynced = int(seen["synced"])
        await guest.ask("record rate=50 fsync=0")
        while int((seen := await guest.expect("@ rec ", within=20))["n"]) < fsynced + 40:
            pass
        guest.process.kill()
        await guest.process.wait()
    found = integrity(
        read_records(disk), run=int(seen["run"]), written=int(seen["n"]), synced=int(seen["synced"])
    )
    assert found.lost_synced == ()
    assert found.torn == 0
    assert len(found.lost_unsynced) >= 30  # the guest's kernel writes dirty pages back after 30 s
