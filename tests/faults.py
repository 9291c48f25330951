"""A proxy that breaks things, in front of any API server: what a network and a busy control plane do to a client."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from tests.kube.faulty import kubeconfig, serve, status

WATCH_FAULTS = (
    "ok",
    "close",
    "drop",
    "half",
    "crumbs",
    "slow",
    "gone-http",
    "gone-event",
    "throttle",
    "error",
    "page",
    "expired",
)
"""drop: cut after two lines; half: cut in the third line; crumbs: seven bytes at a time; page: a proxy's HTML."""
LIST_FAULTS = ("ok", "throttle", "error", "cut", "gone", "expired")
TOKEN = "of-the-proxy"


@dataclass
class Upstream:
    """Where requests go now; a server that is started again has another address and authority."""

    url: str
    token: str
    authority: bytes = b""

    def tls(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cadata=self.authority.decode()) if self.authority else True


@dataclass
class Faults:
    """`plan` and `list_plan` are used up by the coming requests; then everything is well (or `always` happens)."""

    upstream: Callable[[], Upstream]
    plan: list[str] = field(default_factory=list)
    list_plan: list[str] = field(default_factory=list)
    always: str = ""
    asked: list[tuple[float, str]] = field(default_factory=list)
    url: str = ""

    def most_a_second(self) -> int:
        """The largest number of requests within any second."""
        times = [t for t, _ in self.asked]
        return max((sum(1 for u in times if t <= u < t + 1.0) for t in times), default=0)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        watching = request.query.get("watch") == "true"
        self.asked.append((time.monotonic(), "watch" if watching else "list"))
        plan = self.plan if watching else self.list_plan
        fault = plan.pop(0) if plan else self.always if watching else "ok"
        match fault:
            case "gone-http" | "gone":
                return status(410, "Expired")
            case "throttle":
                return status(429, "TooManyRequests", {"Retry-After": "0"})
            case "error":
                return status(500, "InternalError")
            case "page":
                return web.Response(text="<html>\n502\n</html>", status=502)
            case "expired":
                return status(401, "Unauthorized")
        here = self.upstream()
        headers = {"Authorization": f"Bearer {here.token}", "Accept": request.headers.get("Accept", "*/*")}
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, read_bufsize=2**21) as session,
                session.request(
                    request.method,
                    here.url + request.path_qs,
                    headers={**headers, "Content-Type": "application/json"},
                    data=await request.read() or None,
                    ssl=here.tls(),
                ) as answer,
            ):
                if watching and answer.status == 200:
                    return await self._stream(request, answer, fault or "ok")
                body = await answer.read()
        except (aiohttp.ClientError, OSError):
            return self._cut(request)
        if fault == "cut" and len(body) > 10:
            return await self._cut_short(request, body)
        return web.Response(body=body, status=answer.status, content_type="application/json")

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, fault: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if fault == "gone-event":
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(orjson.dumps({"type": "ERROR", "object": gone}) + b"\n")
            return response
        if fault == "close":
            return response
        sent = 0
        async for line in lines(answer):
            if fault == "half" and sent == 2:
                await response.write(line[: len(line) // 2])
                return self._cut(request, response)
            if fault == "crumbs":
                for start in range(0, 3500, 7):
                    await response.write(line[start : start + 7])
                await response.write(line[3500:])
            elif fault == "slow":
                for start in range(0, len(line), 1 << 16):
                    await response.write(line[start : start + (1 << 16)])
                    await asyncio.sleep(0.002)
            else:
                await response.write(line)
            sent += 1
            if fault == "drop" and sent == 2:
                return self._cut(request, response)
        return response

    async def _cut_short(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        return self._cut(request, response)

    @staticmethod
    def _cut(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return response or web.Response(status=502)


async def lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole lines of an answer; a broken connection ends them."""
    rest = b""
    with suppress(aiohttp.ClientError):
        async for chunk in answer.content.iter_any():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line + b"\n"


@asynccontextmanager
async def faults(
    upstream: Callable[[], Upstream], user: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Faults, dict[str, Any]]]:
    """Run the proxy; yield it and a kubeconfig that leads to it."""
    made = Faults(upstream=upstream, **options)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with serve(app) as made.url:
        yield made, kubeconfig(made.url, dict(user) if user else {"token": TOKEN})
