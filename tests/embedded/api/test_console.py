from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from harness.embedded.api.resources import VIRTUALMACHINEINSTANCES
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from tests.embedded.api.fakes import FakeConsole, FakeHooks, until

Make = Callable[..., dict[str, Any]]


def path(name: str, what: str = "console", version: str = "v1") -> str:
    return (
        f"/apis/subresources.kubevirt.io/{version}/namespaces/default/virtualmachineinstances/{name}/{what}"
    )


@pytest.fixture
def running(store: Store, vmi: Make, hooks: FakeHooks) -> FakeConsole:
    store.create(VIRTUALMACHINEINSTANCES, {**vmi("v"), "status": {"phase": "Running"}})
    return hooks.console("default", "v")


async def reader_of(console: FakeConsole) -> None:
    await until(lambda: bool(console.readers))


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
async def test_bytes_go_both_ways(http: aiohttp.ClientSession, running: FakeConsole, version: str) -> None:
    async with http.ws_connect(path("v", version=version), protocols=["plain.kubevirt.io"]) as socket:
        assert socket.protocol == "plain.kubevirt.io"
        await reader_of(running)
        running.say(b"@ hello\n\x00\xff")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.BINARY, b"@ hello\n\x00\xff")
        await socket.send_bytes(b"1 hello\n")
        await socket.send_str("2 stat\n")
        await until(lambda: len(running.typed) == 2)
    assert running.typed == [b"1 hello\n", b"2 stat\n"]


async def test_a_new_console_closes_the_old(
    http: aiohttp.ClientSession, running: FakeConsole, server: ApiServer
) -> None:
    async with http.ws_connect(path("v")) as old:
        await reader_of(running)
        async with http.ws_connect(path("v")) as new:
            assert (await old.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
            await until(lambda: len(running.readers) == 1)
            running.say(b"x")
            assert (await new.receive(timeout=5)).data == b"x"
            assert len(server._consoles) == 1


async def test_the_guests_end_closes_the_console(
    http: aiohttp.ClientSession, running: FakeConsole, server: ApiServer
) -> None:
    async with http.ws_connect(path("v")) as socket:
        await reader_of(running)
        running.say(None)
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
    await until(lambda: len(server._consoles) == 0)


async def test_a_client_that_goes_frees_the_console(
    http: aiohttp.ClientSession, running: FakeConsole, server: ApiServer
) -> None:
    socket = await http.ws_connect(path("v"))
    await reader_of(running)
    await socket.close()
    await until(lambda: not running.readers and len(server._consoles) == 0)


async def test_stopping_closes_consoles_within_a_second(
    http: aiohttp.ClientSession, running: FakeConsole, server: ApiServer
) -> None:
    loop = asyncio.get_running_loop()
    async with http.ws_connect(path("v")) as socket:
        await reader_of(running)
        closing = asyncio.create_task(socket.receive(timeout=5))
        began = loop.time()
        await server.stop()
        took = loop.time() - began
        assert (await closing).type is aiohttp.WSMsgType.CLOSE
    assert took < 2.0  # one second, and one for a busy machine; waiting for a client would take thirty


@pytest.mark.parametrize(
    ("devices", "phase", "code", "message"),
    [
        ({}, "Scheduled", 400, "VMI is not running"),
        ({}, "Succeeded", 400, "VMI is not running"),
        ({}, None, 400, "VMI is not running"),
        (
            {},
            "Failed",
            409,
            'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "w": VMI is in failed status',
        ),
        ({"autoattachSerialConsole": False}, "Running", 400, "No serial consoles are present."),
        ({}, "Running", 400, "a console is a websocket: the request asks for no upgrade"),
    ],
)
async def test_refused_consoles(
    http: aiohttp.ClientSession,
    store: Store,
    vmi: Make,
    devices: dict[str, Any],
    phase: str | None,
    code: int,
    message: str,
) -> None:
    store.create(
        VIRTUALMACHINEINSTANCES, {**vmi("w", **devices), **({"status": {"phase": phase}} if phase else {})}
    )
    async with http.get(path("w")) as answer:
        body = await answer.json()
    assert (answer.status, body["code"], body["message"]) == (code, code, message)


async def test_a_refused_upgrade_carries_the_status_code(
    http: aiohttp.ClientSession, store: Store, vmi: Make
) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("w"))
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect(path("w"))
    assert caught.value.status == 400


async def test_no_pictures(http: aiohttp.ClientSession, store: Store, vmi: Make) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("headless", autoattachGraphicsDevice=False))
    store.create(VIRTUALMACHINEINSTANCES, vmi("screen"))
    async with http.get(path("headless", "vnc")) as answer:
        body = await answer.json()
    assert (answer.status, body["message"]) == (400, "No graphics devices are present.")
    async with http.get(path("screen", "vnc")) as answer:
        assert answer.status == 501
    async with http.get(path("screen", "pause")) as answer:
        assert answer.status == 404
