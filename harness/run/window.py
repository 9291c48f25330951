"""How long a run is watched when its load is over: until no check could be decided otherwise, or the time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from harness.judge.judge import still_open, timeline_of
from harness.records.model import Action, Note, Record, Sample
from harness.records.rundir import RunDirectory
from harness.run.stream import Deadline, Stream
from harness.run.world import World
from harness.spec.model import Claim, Scenario

LOOK_AGAIN = 0.5
"""Seconds at least between two questions to the judge: it answers on the loop that must stay punctual."""


class Window:
    """The window of one run; `observe`: how many seconds it is open at most.

    Listens to the stream from the start, since the judge's index is built on the way.
    """

    def __init__(
        self,
        directory: RunDirectory,
        scenario: Scenario,
        claims: Mapping[str, Claim],
        *,
        stream: Stream,
        world: World,
        observe: float,
    ) -> None:
        self._directory = directory
        self._scenario = scenario
        self._claims = claims
        self._stream = stream
        self._world = world
        self._observe = observe
        self._timeline = timeline_of(directory.provenance, scenario)
        self._news = True
        self.over = False
        """Its end is on record."""
        stream.listen(self._timeline.add)
        stream.listen(self._notice)

    def _notice(self, _line: int, record: Record) -> None:
        # Measurements alone never close a check; objects, actions, consoles and OOM reports do.
        if not isinstance(record, Sample | Note):
            self._news = True
        if isinstance(record, Action) and record.what == "window-end":
            self.over = True

    async def watch(self, *, until: str = "") -> None:
        """Watch on to the end of the window; leave it open if that happens which the run is to be held on."""
        if why := await self._watched(until):
            self.close(why)

    def close(self, why: str) -> None:
        """Put its end on record: what comes later is not judged."""
        self._stream.action("window-end", reason=why)

    async def _watched(self, until: str) -> str:
        """Keep watching until nothing is open any more or the time is over; return why it ended, '' for `until`."""
        end = self._stream.now + self._observe
        while (left := end - self._stream.now) > 0:
            if self._news:
                self._news = False
                if not still_open(self._timeline, self._directory.provenance, self._scenario, self._claims):
                    return "every check is decided"
                if self._world.happened.get(until):
                    return ""
            try:
                await self._stream.until(lambda: self._news, within=left)
            except Deadline:
                break
            await asyncio.sleep(min(LOOK_AGAIN, max(0.0, end - self._stream.now)))
        return "observed long enough"
