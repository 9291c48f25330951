"""A recording served as an API at its own pace, or many times faster: what a recorder meets on a real cluster.

Lists answer with what is there now, watches go on from any version they served and are closed now and then, stats are
whatever the kubelet would have last told, and nobody waits for the recorder. The replay's clock is the wall's times
`speed`, except that it never passes what is yet to be delivered: a machine that is too busy makes a replay slower,
not its records later.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
from tests.replay_server import FIRST, PLURALS, of_kind

LISTED = PLURALS.keys() - {"namespaces"}
"""What a recorder lists: the replay goes on from there."""
WATCH_LIFE = 50.0
"""Seconds of the recording's time until a watch is closed, as API servers do."""


@dataclass
class Pace:
    """The recording's time. Starts with `start`."""

    speed: float
    _origin: float = 0.0
    _limit: float = 0.0

    def start(self, t: float) -> None:
        self._limit = t
        self._origin = asyncio.get_running_loop().time() - t / self.speed

    def now(self) -> float:
        return min(self._limit, (asyncio.get_running_loop().time() - self._origin) * self.speed)

    async def until(self, t: float) -> None:
        self._limit = max(self._limit, t)
        due = self._origin + t / self.speed
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, due - clock()))
        self._origin += max(0.0, clock() - due)


@dataclass
class Paced:
    """One recording, at a pace. `play` it while it is `served`."""

    records: tuple[Record, ...]
    started: float
    pace: Pace
    watched: int = 0
    """Objects the recorder has written."""
    reconnects: int = 0
    readings: asyncio.Queue[Reading] = field(default_factory=asyncio.Queue)
    consoles: dict[str, asyncio.Queue[str]] = field(default_factory=lambda: defaultdict(asyncio.Queue))
    samples: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    log: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """(plural, type, object) of what was delivered."""
    _listed: set[str] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _first: int = 0
    _wrote: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, path: Path, *, speed: float) -> Paced:
        recording = Recording(path)
        records = tuple(r for r in recording if not isinstance(r, Note))
        return cls(records=records, started=served.epoch(recording.started), pace=Pace(speed))

    def wrote(self, _line: int, record: Record) -> None:
        """Listen to the recorder."""
        self.watched += isinstance(record, Watch)
        self._wrote.set()
        self.reconnects += isinstance(record, Note) and record.what == "reconnect"

    async def probe(self) -> AsyncIterator[Reading]:
        """What another than the API tells of nodes."""
        while True:
            yield await self.readings.get()

    # -- driving -------------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Deliver everything in time; return when the recorder has written every object."""
        there = max((n for n, r in enumerate(self.records) if _listed_first(r)), default=-1) + 1
        for record in self.records[:there]:
            self._deliver(record)
        self._first = len(self._state())
        self.pace.start(self.records[there - 1].t if there else 0.0)
        await self._tell()
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self._listed >= LISTED)
        self.pace.start(self.records[there - 1].t if there else 0.0)
        seen = len(self.log)
        for record in self.records[there:]:
            await self.pace.until(record.t)
            self._deliver(record)
            await self._tell()
        async with asyncio.timeout(20):
            while self.watched < self._first + len(self.log) - seen:
                self._wrote.clear()
                await self._wrote.wait()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _deliver(self, record: Record) -> None:
        match record:
            case Watch():
                self.log.append((BY_KIND[of_kind(record)].plural, record.type, record.object))
            case Sample(source="stats/summary" | "configz"):
                self.samples[record.source, record.node] = record.data
            case Sample():
                fields = {"source": record.source, "node": record.node, "subject": record.subject}
                self.readings.put_nowait(Reading(stream="sample", fields={**fields, "data": record.data}))
            case Kernel():
                names = [name for name in record.__struct_fields__ if name not in {"t", "at"}]
                told = {name: getattr(record, name) for name in names}
                self.readings.put_nowait(Reading(stream="kernel", fields=told))
            case Guest():
                self.consoles[record.vmi].put_nowait(record.line)
            case _:
                raise AssertionError(record)

    def _state(self, plural: str = "") -> list[dict[str, Any]]:
        there: dict[str, dict[str, Any]] = {}
        for resource, kind, item in self.log:
            if plural in {"", resource}:
                there.pop(item["metadata"]["uid"], None)
                if kind != "DELETED":
                    there[item["metadata"]["uid"]] = item
        return list(there.values())

    # -- serving -------------------------------------------------------------------------------------------------------

    async def collection(self, request: web.Request) -> web.StreamResponse:
        plural = request.match_info["plural"]
        if plural not in PLURALS:
            return status(404, "NotFound")
        if request.query.get("watch") == "true":
            return await self._watch(request, plural)
        async with self._changed:
            await self._changed.wait_for(lambda: self._first)
            self._listed.add(plural)
            self._changed.notify_all()
        return _json({"metadata": {"resourceVersion": f"list-{len(self.log)}"}, "items": self._state(plural)})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        at = self._position(plural, request.query["resourceVersion"])
        until = self.pace.now() + WATCH_LIFE
        while self.pace.now() < until:
            for resource, kind, item in self.log[at:]:
                at += 1
                if resource == plural:
                    await response.write(orjson.dumps({"type": kind, "object": item}) + b"\n")
            async with self._changed:
                if at == len(self.log):
                    await self._changed.wait()
        return response

    def _position(self, plural: str, version: str) -> int:
        if version.startswith("list-"):
            return int(version.removeprefix("list-"))
        for at in range(len(self.log), 0, -1):
            resource, _, item = self.log[at - 1]
            if resource == plural and item["metadata"]["resourceVersion"] == version:
                return at
        raise AssertionError(f"{plural}: version {version} was never served")

    async def version(self, _request: web.Request) -> web.Response:
        return _json({"gitVersion": "v1.36.2"})

    async def page(self, request: web.Request) -> web.Response:
        key = request.match_info["page"], request.match_info["node"]
        async with self._changed:
            await self._changed.wait_for(lambda: key in self.samples)
        return _json(self.samples[key])

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
        async with serve(app) as url:
            yield kubeconfig(url)


def _listed_first(record: Record) -> bool:
    return isinstance(record, Watch) and record.type == "ADDED" and record.t < FIRST


def _json(content: Any) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
