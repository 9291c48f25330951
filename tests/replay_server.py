"""A recording served as an API: lists, watches, stats, configz and consoles, in the order things were recorded.

In lock step: the clock stands at a record's time while it is delivered, and moves on once the recorder has written it.
So a live recording of the replay has the recording's own times, however fast the machine is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.kube.resources import BY_KIND
from harness.records import served
from harness.records.importing import Recording
from harness.records.model import Note, Record, Watch
from tests.recorded_api import FIRST, PLURALS, RecordedApi, event, of_kind


@dataclass(kw_only=True)
class Replay(RecordedApi):
    """One recording and who listens to it."""

    t: float = 0.0
    written: int = 0
    """Records the recorder has written, its own notes left out."""
    lists: dict[str, asyncio.Future[list[dict[str, Any]]]] = field(default_factory=dict)
    watches: dict[str, asyncio.Queue[bytes]] = field(default_factory=lambda: defaultdict(asyncio.Queue))
    samples: dict[tuple[str, str], asyncio.Queue[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(asyncio.Queue)
    )
    _listed: set[str] = field(default_factory=set)
    _nodes_asked: int = 0

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
                self.deliver(burst[0])
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

    # -- serving -------------------------------------------------------------------------------------------------------

    def watched_object(self, plural: str, record: Watch) -> None:
        self.watches[plural].put_nowait(event(record.type, record.object))

    def page_changed(self, page: tuple[str, str], data: dict[str, Any]) -> None:
        self.samples[page].put_nowait(data)

    async def listed(self, plural: str) -> tuple[str, list[dict[str, Any]]]:
        if plural == "nodes":
            self._nodes_asked += 1
        if plural == "nodes" and self._nodes_asked == 1:  # the recorder's look before it begins
            nodes = {
                served.name(r.object): r.object
                for r in self.records
                if isinstance(r, Watch) and of_kind(r) == "Node"
            }
            return "1", list(nodes.values())
        return "1", await self.lists[plural]

    async def events(self, plural: str, version: str) -> AsyncIterator[bytes]:
        while True:
            yield await self.watches[plural].get()

    async def page_of(self, page: tuple[str, str]) -> dict[str, Any]:
        return await self.samples[page].get()
