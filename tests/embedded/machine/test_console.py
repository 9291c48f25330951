from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.embedded.machine.errors import ConsoleClosed, MachineError
from harness.embedded.machine.linux.console import SerialConsole


async def collect(console: SerialConsole, *, from_start: bool) -> bytes:
    return b"".join([chunk async for chunk in console.read(from_start=from_start)])


async def test_several_readers_see_everything_and_end_with_the_guest(tmp_path: Path) -> None:
    console = SerialConsole()
    server = await console.listen(tmp_path / "ser")
    _, writer = await asyncio.open_unix_connection(tmp_path / "ser")
    await asyncio.wait_for(console.connected.wait(), 5)
    server.close()
    async with asyncio.TaskGroup() as group:
        early = group.create_task(collect(console, from_start=True))
        writer.write(b"hello ")
        await writer.drain()
        assert await anext(aiter(console.read(from_start=True))) == b"hello "
        late = group.create_task(collect(console, from_start=False))
        again = group.create_task(collect(console, from_start=True))
        await asyncio.sleep(0)
        writer.write(b"world")
        writer.close()
        await writer.wait_closed()
    assert (early.result(), again.result(), late.result()) == (b"hello world", b"hello world", b"world")
    assert console.tail() == "hello world"


async def test_what_we_write_reaches_the_guest_and_a_dead_guest_is_an_error(tmp_path: Path) -> None:
    console = SerialConsole()
    with pytest.raises(ConsoleClosed):
        await console.write(b"too early")
    server = await console.listen(tmp_path / "ser")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "ser")
    await asyncio.wait_for(console.connected.wait(), 5)
    server.close()
    await console.write(b"1 grow to=1\n")
    assert await reader.readline() == b"1 grow to=1\n"
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(console.closed.wait(), 5)
    with pytest.raises(ConsoleClosed):
        await console.write(b"too late")


async def test_the_history_is_bounded_and_a_late_reader_gets_its_newest_part() -> None:
    console = SerialConsole()
    for number in range(5):
        console.data_received(bytes([number]) * (1 << 20))
    console.data_received(b"end")
    console.close()
    assert len(console.history()) == 4 << 20
    kept = await collect(console, from_start=True)
    assert kept.endswith(b"\x04end")
    assert kept[0] == 1


async def test_a_path_longer_than_a_socket_can_have_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"longer than 107 bytes: set TMPDIR"):
        await SerialConsole().listen(tmp_path / ("x" * 120))
