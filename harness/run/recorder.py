"""Opening a run directory for a run, and closing it whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.records.errors import WriteFailed
from harness.records.model import Provenance
from harness.records.rundir import RunDirectory
from harness.records.writing import RecordWriter
from harness.run.stream import Stream

FLUSH_PERIOD = 0.5
"""Seconds: with the writer's own second, a crash loses at most one and a half, and one where records come steadily."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A run directory that is being written."""

    directory: RunDirectory
    stream: Stream
    writer: RecordWriter

    @property
    def id(self) -> str:
        """The run id."""
        return self.directory.id

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    async def flushing(self) -> None:
        """Hand records to the kernel regularly, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_PERIOD)
            self.writer.flush()


@asynccontextmanager
async def recording(
    root: Path,
    provenance: Provenance,
    *,
    started: float,
    wall: Callable[[], float] = time.time,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Recording]:
    """Make a run directory and yield what writes to it; the file is closed as complete only if the body ends well.

    `started`: the epoch seconds that `provenance.started` says. `wall` and `clock` as `Stream` takes them.
    Raises RecordsError (disk full, not writable).
    """
    directory = RunDirectory.create(root, provenance)
    writer = directory.writer()
    stream = Stream(writer, started=started, wall=wall, clock=clock)
    made = Recording(directory=directory, stream=stream, writer=writer)
    try:
        yield made
    except BaseException:
        # A failure to write here is the body's error again, or less than it; the file ends with a whole record.
        with suppress(WriteFailed):
            writer.close(complete=False)
        raise
    writer.close()
