"""A recording served as an API at its own pace, or many times faster: what a recorder meets on a real cluster.

Lists answer with what is there now, watches go on from any version they served and are closed now and then, stats are
whatever the kubelet would have last told, and nobody waits for the recorder. The replay's clock is the wall's times
`speed`, except that it never passes what is yet to be delivered: a machine that is too busy makes a replay slower,
not its records later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records import served
from harness.records.importing import Recording
from harness.records.model import Note, Record, Watch
from tests.recorded_api import FIRST, PLURALS, RecordedApi, event

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


@dataclass(kw_only=True)
class Paced(RecordedApi):
    """One recording, at a pace. `play` it while it is `served`."""

    pace: Pace
    watched: int = 0
    """Objects the recorder has written."""
    reconnects: int = 0
    samples: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    log: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """(plural, type, object) of what was delivered."""
    _listed: set[str] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _first: int = 0

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

    # -- driving -------------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Deliver everything in time; return when the recorder has written every object."""
        there = max((n for n, r in enumerate(self.records) if _listed_first(r)), default=-1) + 1
        for record in self.records[:there]:
            self.deliver(record)
        self._first = len(self._state())
        self.pace.start(self.records[there - 1].t if there else 0.0)
        await self._tell()
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self._listed >= LISTED)
        self.pace.start(self.records[there - 1].t if there else 0.0)
        seen = len(self.log)
        for record in self.records[there:]:
            await self.pace.until(record.t)
            self.deliver(record)
            await self._tell()
        async with asyncio.timeout(20):
            while self.watched < self._first + len(self.log) - seen:
                self._wrote.clear()
                await self._wrote.wait()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def watched_object(self, plural: str, record: Watch) -> None:
        self.log.append((plural, record.type, record.object))

    def page_changed(self, page: tuple[str, str], data: dict[str, Any]) -> None:
        self.samples[page] = data

    def _state(self, plural: str = "") -> list[dict[str, Any]]:
        there: dict[str, dict[str, Any]] = {}
        for resource, kind, item in self.log:
            if plural in {"", resource}:
                there.pop(item["metadata"]["uid"], None)
                if kind != "DELETED":
                    there[item["metadata"]["uid"]] = item
        return list(there.values())

    # -- serving -------------------------------------------------------------------------------------------------------

    async def listed(self, plural: str) -> tuple[str, list[dict[str, Any]]]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._first)
            self._listed.add(plural)
            self._changed.notify_all()
        return f"list-{len(self.log)}", self._state(plural)

    async def events(self, plural: str, version: str) -> AsyncIterator[bytes]:
        at = self._position(plural, version)
        until = self.pace.now() + WATCH_LIFE
        while self.pace.now() < until:
            for resource, kind, item in self.log[at:]:
                at += 1
                if resource == plural:
                    yield event(kind, item)
            async with self._changed:
                if at == len(self.log):
                    await self._changed.wait()

    def _position(self, plural: str, version: str) -> int:
        if version.startswith("list-"):
            return int(version.removeprefix("list-"))
        for at in range(len(self.log), 0, -1):
            resource, _, item = self.log[at - 1]
            if resource == plural and item["metadata"]["resourceVersion"] == version:
                return at
        raise AssertionError(f"{plural}: version {version} was never served")

    async def page_of(self, page: tuple[str, str]) -> dict[str, Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: page in self.samples)
        return self.samples[page]


def _listed_first(record: Record) -> bool:
    return isinstance(record, Watch) and record.type == "ADDED" and record.t < FIRST
