"""A recording served as an API: what its two replays have in common, which is everything but their pace.

`replay_server` goes in lock step with the recorder, `paced_server` at the recording's own pace or faster.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from harness.cluster.base import Reading
from harness.kube.resources import BY_KIND
from harness.records.model import Guest, Kernel, Record, Sample, Watch
from tests.kube.faulty import kubeconfig, serve, status

FIRST = 1.0
"""Seconds within which a recorder's first lists came."""
PLURALS = {r.plural: r for r in BY_KIND.values()}


def of_kind(record: Record) -> str:
    return str(record.object.get("kind")) if isinstance(record, Watch) else ""


def event(kind: str, item: dict[str, Any]) -> bytes:
    """One line of a watch."""
    return orjson.dumps({"type": kind, "object": item}) + b"\n"


def answer(content: Any) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")


@dataclass(kw_only=True)
class RecordedApi(ABC):
    """One recording and who listens to it."""

    records: tuple[Record, ...]
    started: float
    readings: asyncio.Queue[Reading] = field(default_factory=asyncio.Queue)
    consoles: dict[str, asyncio.Queue[str]] = field(default_factory=lambda: defaultdict(asyncio.Queue))
    url: str = ""
    _wrote: asyncio.Event = field(default_factory=asyncio.Event)

    async def probe(self) -> AsyncIterator[Reading]:
        """What another than the API tells of nodes."""
        while True:
            yield await self.readings.get()

    # -- delivering ----------------------------------------------------------------------------------------------------

    def deliver(self, record: Record) -> None:
        match record:
            case Watch():
                self.watched_object(BY_KIND[of_kind(record)].plural, record)
            case Sample(source="stats/summary" | "configz"):
                self.page_changed((record.source, record.node), record.data)
            case Sample():
                fields = {"source": record.source, "node": record.node, "subject": record.subject}
                self.readings.put_nowait(Reading(stream="sample", fields={**fields, "data": record.data}))
            case Kernel():
                names = [name for name in record.__struct_fields__ if name not in {"t", "at"}]
                fields = {name: getattr(record, name) for name in names}
                self.readings.put_nowait(Reading(stream="kernel", fields=fields))
            case Guest():
                self.consoles[record.vmi].put_nowait(record.line)
            case _:
                raise AssertionError(record)

    @abstractmethod
    def watched_object(self, plural: str, record: Watch) -> None:
        """Have watches of a kind tell of an object."""

    @abstractmethod
    def page_changed(self, page: tuple[str, str], data: dict[str, Any]) -> None:
        """Have (source, node) answer with this from now on."""

    # -- serving -------------------------------------------------------------------------------------------------------

    @abstractmethod
    async def listed(self, plural: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the resource version and the items of a list."""

    @abstractmethod
    def events(self, plural: str, version: str) -> AsyncIterator[bytes]:
        """Yield the lines of a watch from a resource version on."""

    @abstractmethod
    async def page_of(self, page: tuple[str, str]) -> dict[str, Any]:
        """Return what (source, node) answers now."""

    async def collection(self, request: web.Request) -> web.StreamResponse:
        plural = request.match_info["plural"]
        if plural not in PLURALS:
            return status(404, "NotFound")
        if request.query.get("watch") == "true":
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            async for line in self.events(plural, request.query["resourceVersion"]):
                await response.write(line)
            return response
        version, items = await self.listed(plural)
        return answer({"metadata": {"resourceVersion": version}, "items": items})

    async def version(self, _request: web.Request) -> web.Response:
        return answer({"gitVersion": "v1.36.2"})

    async def page(self, request: web.Request) -> web.Response:
        return answer(await self.page_of((request.match_info["page"], request.match_info["node"])))

    async def console(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        lines = self.consoles[f"{request.match_info['ns']}/{request.match_info['name']}"]
        with suppress(ConnectionError):
            while True:
                await socket.send_bytes((await lines.get()).encode() + b"\n")
        return socket

    @asynccontextmanager
    async def served(self) -> AsyncIterator[dict[str, Any]]:
        """Yield a kubeconfig."""
        app = web.Application()
        app.router.add_get("/version", self.version)
        app.router.add_get(r"/api/v1/nodes/{node}/proxy/{page:(?:stats/summary|configz)}", self.page)
        app.router.add_get(
            "/apis/subresources.kubevirt.io/v1/namespaces/{ns}/virtualmachineinstances/{name}/console",
            self.console,
        )
        app.router.add_get("/api/v1/{plural}", self.collection)
        app.router.add_get("/apis/kubevirt.io/v1/{plural}", self.collection)
        async with serve(app) as self.url:
            yield kubeconfig(self.url)
