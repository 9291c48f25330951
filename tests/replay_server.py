"""A recording served as an API: lists, watches, stats, configz and consoles, in the order things were recorded.

In lock step: the clock stands at a record's time while it is delivered, and moves on once the recorder has written it.
So a live recording of the replay has the recording's own times, however fast the machine is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from harness.cluster.base import Reading
from harness.kube.resources import BY_KIND
from harness.records import served
from harness.records.importing import Recording
from harness.records.model import Guest, Kernel, Note, Record, Sample, Watch
from tests.kube.faulty import kubeconfig, serve, status

FIRST = 1.0
"""Seconds within which a recorder's first lists came."""
PLURALS = {r.plural: r for r in BY_KIND.values()}


def of_kind(record: Record) -> str:
    return str(record.object.get("kind")) if isinstance(record, Watch) else ""


@dataclass
class Replay:
    """One recording and who listens to it."""

    records: tuple[Record, ...]
    started: float
    t: float = 0.0
    written: int = 0
    """Records the recorder has written, its own notes left out."""
    lists: dict[str, asyncio.Future[list[dict[str, Any]]]] = field(default_factory=dict)
    watches: dict[str, asyncio.Queue[bytes]] = field(default_factory=lambda: defaultdict(asyncio.Queue))
    samples: dict[tuple[str, str], asyncio.Queue[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(asyncio.Queue)
    )
    consoles: dict[str, asyncio.Queue[str]] = field(default_factory=lambda: defaultdict(asyncio.Queue))
    readings: asyncio.Queue[Reading] = field(default_factory=asyncio.Queue)
    url: str = ""
    _listed: set[str] = field(default_factory=set)
    _nodes_asked: int = 0
    _wrote: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, path: Path) -> Replay:
        recording = Recording(path)
        records = tuple(recording)
        made = cls(records=records, started=served.epoch(recording.started))
        loop = asyncio.get_running_loop()
        made.lists = {plural: loop.create_future() for plural in PLURALS}
        return made

    def now(self) -> float:
        return self.t

    def wrote(self, _line: int, record: Record) -> None:
        """Listen to the recorder."""
        if not isinstance(record, Note):
            self.written += 1
            self._wrote.set()

    async def probe(self) -> AsyncIterator[Reading]:
        """What another than the API tells of nodes."""
        while True:
            yield await self.readings.get()

    # -- driving -------------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Deliver everything, one after the other."""
        queue: list[Record] = [r for r in self.records if not isinstance(r, Note)]
        here = {of_kind(r) for r in queue if r.t < FIRST and isinstance(r, Watch) and r.type == "ADDED"}
        for resource in PLURALS.values():
            if resource.kind not in here:
                self.lists[resource.plural].set_result([])
        while queue:
            burst = self._first_list(queue) or queue[:1]
            del queue[: len(burst)]
            self.t = burst[0].t
            before = self.written
            if len(burst) > 1 or self._is_first(burst[0]):
                self._listed.add(of_kind(burst[0]))
                objects = [r.object for r in burst if isinstance(r, Watch)]
                self.lists[BY_KIND[of_kind(burst[0])].plural].set_result(objects)
            else:
                self._deliver(burst[0])
            try:
                async with asyncio.timeout(20):
                    while self.written < before + len(burst):
                        self._wrote.clear()
                        await self._wrote.wait()
            except TimeoutError as error:
                raise AssertionError(f"was not recorded: {str(burst[0])[:300]}") from error

    def _is_first(self, record: Record) -> bool:
        return isinstance(record, Watch) and not self.lists[BY_KIND[of_kind(record)].plural].done()

    def _first_list(self, queue: list[Record]) -> list[Record]:
        """What stands at the head of the queue and came from the first list of its kind."""
        head = queue[0]
        if not self._is_first(head):
            return []
        burst: list[Record] = []
        for record in queue:
            if of_kind(record) != of_kind(head) or not isinstance(record, Watch) or record.type != "ADDED":
                break
            burst.append(record)
        return burst

    def _deliver(self, record: Record) -> None:
        match record:
            case Watch():
                event = {"type": record.type, "object": record.object}
                self.watches[BY_KIND[of_kind(record)].plural].put_nowait(orjson.dumps(event) + b"\n")
            case Sample(source="stats/summary" | "configz"):
                self.samples[record.source, record.node].put_nowait(record.data)
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

    # -- serving -------------------------------------------------------------------------------------------------------

    async def collection(self, request: web.Request) -> web.StreamResponse:
        plural = request.match_info["plural"]
        if plural not in PLURALS:
            return status(404, "NotFound")
        if request.query.get("watch") == "true":
            return await self._watch(request, plural)
        if plural == "nodes":
            self._nodes_asked += 1
        if plural == "nodes" and self._nodes_asked == 1:  # the recorder's look before it begins
            nodes = {
                served.name(r.object): r.object
                for r in self.records
                if isinstance(r, Watch) and of_kind(r) == "Node"
            }
            items = list(nodes.values())
        else:
            items = await self.lists[plural]
        return web.Response(
            body=orjson.dumps({"metadata": {"resourceVersion": "1"}, "items": items}),
            content_type="application/json",
        )

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(await self.watches[plural].get())

    async def version(self, _request: web.Request) -> web.Response:
        return web.Response(text='{"gitVersion": "v1.36.2"}', content_type="application/json")

    async def page(self, request: web.Request) -> web.Response:
        source = request.match_info["page"]
        found = await self.samples[source, request.match_info["node"]].get()
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    async def console(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        lines = self.consoles[f"{request.match_info['ns']}/{request.match_info['name']}"]
        while True:
            await socket.send_bytes((await lines.get()).encode() + b"\n")

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
