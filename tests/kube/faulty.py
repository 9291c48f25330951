"""A small API server over real HTTP that serves pods and misbehaves as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass
class FaultyServer:
    """One collection of pods with a history. `fault` is asked before each watch and list."""

    token: str = ""
    version: int = 100
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    oldest: int = 0
    """Watches from before this version are answered with 410."""
    plan: list[str] = field(default_factory=list)
    """Faults of the coming watches: ok, drop, half, close, gone-http, gone-event, throttle, error, garbage, replay."""
    list_plan: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    compact: Callable[[], None] | None = None
    url: str = ""

    def put(self, name: str, *, padding: int = 0) -> None:
        self.version += 1
        old = self.pods.get(name)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "ns",
                "uid": old["metadata"]["uid"] if old else f"uid-{name}-{self.version}",
                "resourceVersion": str(self.version),
                "annotations": {"padding": "x" * padding},
            },
        }
        self.pods[name] = pod
        self._log("MODIFIED" if old else "ADDED", pod)

    def remove(self, name: str) -> None:
        self.version += 1
        pod = self.pods.pop(name)
        meta = {**pod["metadata"], "resourceVersion": str(self.version)}
        self._log("DELETED", {**pod, "metadata": meta})

    def _log(self, kind: str, pod: dict[str, Any]) -> None:
        self.history.append((self.version, {"type": kind, "object": pod}))
        self.changed.set()
        self.changed = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        if request.query.get("watch") == "true":
            self.requests.append("watch")
            return await self.watch(request)
        self.requests.append("list")
        fault = self.list_plan.pop(0) if self.list_plan else "ok"
        if fault == "throttle":
            return status(429, "TooManyRequests", {"Retry-After": "0"})
        if fault == "error":
            return status(500, "InternalError")
        return web.Response(
            body=orjson.dumps(
                {
                    "kind": "PodList",
                    "apiVersion": "v1",
                    "metadata": {"resourceVersion": str(self.version)},
                    "items": [
                        {k: v for k, v in p.items() if k not in {"kind", "apiVersion"}}
                        for p in self.pods.values()
                    ],
                }
            ),
            content_type="application/json",
        )

    async def watch(self, request: web.Request) -> web.StreamResponse:
        fault = self.plan.pop(0) if self.plan else "ok"
        since = int(request.query["resourceVersion"])
        assert request.query["allowWatchBookmarks"] == "true"
        if fault == "gone-http" or since < self.oldest:
            self.oldest = 0
            return status(410, "Expired")
        if fault == "throttle":
            return status(429, "TooManyRequests", {"Retry-After": "0"})
        if fault == "error":
            return status(503, "ServiceUnavailable")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if fault == "replay":
            since = 0
        if fault == "gone-event":
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(line({"type": "ERROR", "object": gone}))
            return response
        if fault == "garbage":
            await response.write(b"<html>proxy error</html>\n")
            return response
        sent = 0
        while True:
            waiter = self.changed
            events = [(v, e) for v, e in self.history if v > since]
            for version, event in events:
                data = line(event)
                if fault == "half" and sent >= 1:
                    await response.write(data[: len(data) // 2])
                    transport = request.transport
                    if transport is not None:
                        transport.close()
                    return response
                await response.write(data)
                since = version
                sent += 1
                if fault == "drop" and sent >= 2 and request.transport is not None:
                    request.transport.close()
                    return response
            if fault == "close":
                return response
            if fault == "bookmark":
                mark = {"kind": "Pod", "metadata": {"resourceVersion": str(self.version)}}
                await response.write(line({"type": "BOOKMARK", "object": mark}))
                since = self.version
                return response
            await waiter.wait()


def line(event: dict[str, Any]) -> bytes:
    return orjson.dumps(event) + b"\n"


def status(code: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": f"told: {reason}",
    }
    return web.Response(
        status=code, body=orjson.dumps(body), content_type="application/json", headers=headers
    )


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    """Run an application on a free loopback port and yield its URL."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def faulty(server: FaultyServer) -> AsyncIterator[FaultyServer]:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_get("/api/v1/namespaces/ns/pods", server.handle)
    async with serve(app) as url:
        server.url = url
        yield server


def kubeconfig(url: str, user: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {}}],
    }
