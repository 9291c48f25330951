"""Asking for a VMI's graphical console, as `virtctl vnc` does: what the API answers."""

from __future__ import annotations

import asyncio

import aiohttp

from harness.kube.connection import Connection, describe
from harness.kube.console import HANDSHAKE, PROTOCOL, SUBRESOURCES
from harness.kube.errors import ApiError, Unreachable

SWITCHED = 101


async def try_vnc(connection: Connection, *, namespace: str, name: str) -> tuple[int, str]:
    """Return the HTTP status (101: opened, and closed at once) and the Status' message. Raises Unreachable.

    KubeVirt validates before it upgrades (pkg/virt-api/rest/streamer.go), so that the words of a refusal, which a
    websocket handshake loses, are those of a plain GET.
    """
    path = SUBRESOURCES.path(namespace=namespace, name=name, subresource="vnc")
    try:
        async with asyncio.timeout(HANDSHAKE):
            socket = await connection.session.ws_connect(
                connection.server + path,
                protocols=(PROTOCOL,),
                headers=await connection.headers(),
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                **connection.options(),
            )
    except aiohttp.WSServerHandshakeError as error:
        status = error.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(describe(error)) from error
    else:
        await socket.close()
        return SWITCHED, ""
    try:
        async with connection.request("GET", path) as response:
            return response.status, ""
    except ApiError as error:
        return status, str(error)
