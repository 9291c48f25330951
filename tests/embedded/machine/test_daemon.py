"""A node's own daemon: a real process in the node's cgroup, outside kubepods, and gone with the node."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.machine.base import GuestImage
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import procfs
from harness.embedded.machine.linux.machine import LinuxMachine
from harness.run.undo import UndoFile
from harness.units import MIB, Bytes
from tests.embedded.machine.test_machine import FALLBACK, machine

pytestmark = pytest.mark.guest


@pytest.mark.parametrize("fallback", [False, True], ids=["cgroup", "pss"])
async def test_what_a_daemon_holds_is_the_nodes_and_no_pods(
    image: GuestImage, undo: UndoFile, tmp_path: Path, fallback: bool
) -> None:
    options = {"hierarchy": FALLBACK} if fallback else {}
    async with machine(image, undo, tmp_path, **options) as linux:
        if not fallback and linux.accounting == "pss":
            pytest.skip("no writable memory cgroup")
        node = await linux.create_node("n", Bytes(256 * MIB))
        daemon = await node.start_daemon("sshd")
        lines = daemon.lines()
        assert (await anext(lines)).startswith("@ hello proto=1")
        before = node.memory().usage
        await daemon.send(f"1 grow to={50 * MIB} rate=0 pages=unique seed=1 force=1")
        async with asyncio.timeout(10):
            while not (await anext(lines)).startswith("@ ok id=1"):
                pass
        assert 49 * MIB <= node.memory().usage - before <= 53 * MIB
        assert node.kubepods_memory().usage < 5 * MIB
        if node.group is not None:
            assert daemon.pid in node.group.child("system.slice").child("sshd.service").processes()
    assert daemon.ended
    assert procfs.identity(daemon.pid) is None
    assert [line async for line in lines][-1:] != ["@ ok id=1"]
    await daemon.send("2 stat")  # to one that is gone


async def test_the_kernel_kills_it_at_the_nodes_limit(
    image: GuestImage, undo: UndoFile, tmp_path: Path
) -> None:
    async with machine(image, undo, tmp_path) as linux:
        if linux.accounting == "pss":
            pytest.skip("no writable memory cgroup")
        node = await linux.create_node("n", Bytes(64 * MIB))
        daemon = await node.start_daemon("sshd")
        await daemon.send(f"1 grow to={100 * MIB} rate=0 pages=unique seed=1 force=1")
        async with asyncio.timeout(10):
            async for _ in daemon.lines():
                pass
        assert daemon.ended
        kill = await anext(linux.oom_kills())
        assert (kill.domain, kill.node, kill.pod_uid, kill.pid) == ("node", "n", "", daemon.pid)


async def test_without_its_program_there_is_none(undo: UndoFile, tmp_path: Path, image: GuestImage) -> None:
    bare = GuestImage(kernel=image.kernel, initramfs=image.initramfs, release=image.release)
    async with machine(bare, undo, tmp_path) as linux:
        node = await linux.create_node("n", Bytes(64 * MIB))
        with pytest.raises(MachineError, match="does not say where its agent is"):
            await node.start_daemon("sshd")


async def test_what_undoes_it_is_written_down(
    image: GuestImage, recorder: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    async with LinuxMachine(
        image,
        undo=recorder.append,
        run_id=f"test-{secrets.token_hex(3)}",
        accel="tcg",
        scratch=tmp_path / "s",
    ) as linux:
        node = await linux.create_node("n", Bytes(64 * MIB))
        before = len(recorder)
        first, second = await node.start_daemon("sshd"), await node.start_daemon("dhcpd")
        kills = {entry["pid"]: entry for entry in recorder[before:] if entry["op"] == "kill"}
        assert set(kills) == {first.pid, second.pid}
        assert all(entry["start"] > 0 for entry in kills.values())
        groups = [Path(entry["path"]).name for entry in recorder[before:] if entry["op"] == "rmdir-cgroup"]
        if linux.accounting == "pss":
            assert groups == []
        else:
            assert groups == ["system.slice", "sshd.service", "dhcpd.service"]
