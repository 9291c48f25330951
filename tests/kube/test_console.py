from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from harness.kube.backoff import Backoff
from harness.kube.connection import connect
from harness.kube.console import Console, ConsoleItem, ConsoleLine
from harness.kube.errors import BrokenStream
from harness.kube.lines import LineSplitter
from harness.kube.watch import StreamNote
from tests.kube.faulty import kubeconfig, serve, status

PATH = "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vm/console"


async def take(lines: AsyncIterator[ConsoleItem], text: str) -> list[ConsoleItem]:
    found: list[ConsoleItem] = []
    async with asyncio.timeout(10):
        async for item in lines:
            found.append(item)
            if item == ConsoleLine(text):
                return found
    raise AssertionError("ended")


async def test_waits_for_the_guest_reads_lines_and_answers() -> None:
    attempts = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            return status(409, "Conflict")
        socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        assert socket.ws_protocol == "plain.kubevirt.io"
        await socket.send_bytes(b"@ hello pro")
        await socket.send_bytes(b"to=1\r\n\xff odd\n")
        async for message in socket:
            await socket.send_bytes(b"got " + message.data)
        return socket

    app = web.Application()
    app.router.add_get(PATH, handle)
    async with serve(app) as url, connect(kubeconfig(url)) as connection:
        console = Console(connection, namespace="ns", name="vm", backoff=Backoff(first=0.01, most=0.02))
        async with aclosing(console.lines()) as lines:
            items = await take(lines, "@ hello proto=1")
            assert [i.what for i in items if isinstance(i, StreamNote)] == ["reconnect"]  # refusals told once
            await console.send(b"1 hold\n")
            assert (await take(lines, "got 1 hold"))[0] == ConsoleLine("� odd")


async def test_a_lost_session_is_a_gap() -> None:
    sessions = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sessions
        sessions += 1
        socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        await socket.send_bytes(b"half" if sessions == 1 else b"whole\n")
        if sessions == 1:
            await socket.close()
        else:
            await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get(PATH, handle)
    async with serve(app) as url, connect(kubeconfig(url)) as connection:
        console = Console(connection, namespace="ns", name="vm", backoff=Backoff(first=0.01, most=0.02))
        async with aclosing(console.lines()) as lines:
            items = await take(lines, "whole")
    assert items[0] == ConsoleLine("half")
    assert [i.what for i in items if isinstance(i, StreamNote)] == ["reconnect", "gap"]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 17))
def test_lines_do_not_depend_on_where_chunks_are_cut(parts: list[bytes], size: int) -> None:
    data = b"\n".join(parts)
    splitter = LineSplitter()
    lines: list[bytes] = []
    for start in range(0, len(data), size):
        lines += splitter.feed(data[start : start + size])
    assert [*lines, splitter.rest] == data.split(b"\n")


def test_an_endless_line_is_refused() -> None:
    splitter = LineSplitter(limit=10)
    splitter.feed(b"12345")
    with pytest.raises(BrokenStream, match="longer than 10 bytes"):
        splitter.feed(b"678901")
