"""A VMI's serial console over KubeVirt's websocket.

`plain.kubevirt.io`: raw bytes in binary frames, no channel byte. One session per VMI: a newer one closes the older
(KubeVirt pkg/virt-api/rest/console.go), so losing it is normal, and what a guest wrote meanwhile is lost: a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from harness.kube.backoff import Backoff
from harness.kube.connection import Connection, describe
from harness.kube.errors import ConfigError, Forbidden, KubeError, Unreachable, api_error
from harness.kube.lines import LineSplitter
from harness.kube.resources import VMIS, Resource
from harness.kube.watch import StreamNote

PROTOCOL = "plain.kubevirt.io"
PING = 20.0
"""Seconds between websocket pings; idle proxies cut after 30-60 s. The embedded server answers them as any would."""
HANDSHAKE = 60.0
"""Seconds for the upgrade; virt-api asks virt-handler, which asks the launcher, before it answers."""
MAX_LINE = 1 << 16
"""Bytes of one console line; beyond that it is not text and is handed out in pieces."""
SUBRESOURCES = Resource(group="subresources.kubevirt.io", version="v1", plural=VMIS.plural, kind=VMIS.kind)

_REFUSALS = {
    403: "no console: RBAC denies get virtualmachineinstances/console in subresources.kubevirt.io",
    401: "no console: the credentials are not accepted",
}


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """One line a guest wrote, without line end."""

    text: str


ConsoleItem = ConsoleLine | StreamNote


class Console:
    """Reads lines and writes commands, across reconnects. Iterate `lines()` in one task; `send` from any other."""

    def __init__(
        self,
        connection: Connection,
        *,
        namespace: str,
        name: str,
        ended: Callable[[], bool] = lambda: False,
        backoff: Backoff | None = None,
    ) -> None:
        self._connection = connection
        self._path = SUBRESOURCES.path(namespace=namespace, name=name, subresource="console")
        self._who = f"{namespace}/{name}"
        self._backoff = backoff or Backoff(first=0.25, most=5.0)
        self._ended = ended
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._open = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """Send bytes, waiting for a session if there is none (bound it with a deadline). Raises Unreachable if it breaks."""
        await self._open.wait()
        socket = self._socket
        if socket is None or socket.closed:
            raise Unreachable(f"console of {self._who}: closed")
        try:
            await socket.send_bytes(data)
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:
            raise Unreachable(f"console of {self._who}: {describe(error)}") from error

    async def lines(self) -> AsyncGenerator[ConsoleItem]:
        """Yield lines and notes until the guest is over (as `ended` says) or the generator is closed.

        A gap is told when a later session has brought something: only then something may have been missed.
        Raises Forbidden and ConfigError, which waiting does not mend.
        """
        loop = asyncio.get_running_loop()
        lost: float | None = None
        refused = ""
        while True:
            try:
                socket = await self._connect()
            except (Forbidden, ConfigError):
                raise
            except KubeError as error:
                if lost is not None and self._ended():
                    return
                # Before the first session: not running yet. Say so once, then wait quietly.
                if lost is None and str(error) != refused:
                    refused = str(error)
                    yield StreamNote("reconnect", f"console of {self._who}: {error}", {"vmi": self._who})
                await asyncio.sleep(max(self._backoff.next(), 0.25))
                continue
            splitter = LineSplitter(limit=MAX_LINE * 2)
            ended = "closed"
            async with socket:
                self._socket = socket
                self._open.set()
                try:
                    async for message in socket:
                        if message.type not in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}:
                            continue
                        if lost is not None:
                            gap: dict[str, Any] = {"vmi": self._who, "seconds": round(loop.time() - lost, 3)}
                            yield StreamNote("gap", f"console of {self._who}: connected again", gap)
                            lost = None
                        self._backoff.reset()
                        data = message.data.encode() if isinstance(message.data, str) else message.data
                        for line in splitter.feed(data):
                            yield ConsoleLine(_text(line))
                        if len(splitter.rest) > MAX_LINE:
                            yield ConsoleLine(_text(splitter.clear()))
                    if (broken := socket.exception()) is not None:
                        ended = describe(broken)
                except (aiohttp.ClientError, OSError) as error:
                    ended = describe(error)
                finally:
                    self._open.clear()
                    self._socket = None
            if splitter.rest:
                yield ConsoleLine(_text(splitter.clear()))
            if lost is None:
                lost = loop.time()
                if not self._ended():
                    yield StreamNote("reconnect", f"console of {self._who}: {ended}", {"vmi": self._who})
            if self._ended():
                return
            await asyncio.sleep(self._backoff.next())

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        server = self._connection.server
        headers = await self._connection.headers()
        try:
            async with asyncio.timeout(HANDSHAKE):
                socket: aiohttp.ClientWebSocketResponse = await self._connection.session.ws_connect(
                    server + self._path,
                    protocols=(PROTOCOL,),
                    headers=headers,
                    heartbeat=PING,
                    max_msg_size=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                    **self._connection.options(),
                )
                return socket
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                self._connection.renew_credentials(headers)
            raise api_error(
                error.status, {"message": _REFUSALS.get(error.status, f"no console ({error.status})")}
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(describe(error)) from error


def _text(line: bytes) -> str:
    return line.replace(b"\r", b"").decode(errors="replace")
