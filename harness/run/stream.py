"""The one ordered stream of a run: what is published is on disk (at most a second late) before anyone acts on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar

from harness.records.model import Action, Guest, Kernel, Note, Record, Sample, Watch
from harness.units import Seconds

T = TypeVar("T")
Listener = Callable[[int, Record], None]
WatchType = Literal["ADDED", "MODIFIED", "DELETED", "RELIST"]


class Sink(Protocol):
    """Where records go: `records.writing.RecordWriter`."""

    def append(self, record: Record, /) -> int:
        """Append and return the 1-based line number."""
        ...


class Deadline(Exception):
    """What was waited for did not happen in time. The message says what."""


def rfc3339(epoch: float) -> str:
    """Return RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Stream:
    """Stamps, records and dispatches. Everything happens in the event loop's thread, so the order is the arrival order.

    `t` counts from `started` (epoch seconds, a moment ago; None: now) on the loop's clock; `at` is the wall clock,
    kept apart since it may be stepped. `clock` replaces the loop's where what is recorded has a time of its own.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        started: float | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._sink = sink
        self._wall = wall
        self._clock = clock or asyncio.get_running_loop().time
        self.started = wall() if started is None else started
        self._start = self._clock() - (wall() - self.started)
        self._listeners: list[Listener] = []
        self._waiters: dict[int, tuple[Callable[[], Any], asyncio.Future[Any]]] = {}
        self._serial = 0

    @property
    def now(self) -> Seconds:
        """Seconds since the start of the run."""
        return Seconds(self._clock() - self._start)

    def wall_drift(self) -> float:
        """Seconds by which the wall clock has moved against the loop's clock since the start (it was stepped)."""
        return self._wall() - self.started - self.now

    def listen(self, listener: Listener) -> None:
        """Call `listener(line, record)` for every record from now on, in order."""
        self._listeners.append(listener)

    # -- publishing ------------------------------------------------------------------------------------------------

    def _stamp(self) -> dict[str, Any]:
        return {"t": Seconds(round(self.now, 6)), "at": rfc3339(self._wall())}

    def publish(self, record: Record) -> None:
        """Record, then tell listeners, then wake whoever waited for this."""
        line = self._sink.append(record)
        for listener in self._listeners:
            listener(line, record)
        self.wake()

    def wake(self) -> None:
        """Look at all conditions again (a record came, or something else they depend on changed)."""
        for key, (condition, future) in list(self._waiters.items()):
            if future.done():
                continue
            try:
                result = condition()
            except Exception as error:  # noqa: BLE001 - belongs to the waiter
                future.set_exception(error)
            else:
                if result:
                    future.set_result(result)
            if future.done():
                self._waiters.pop(key, None)

    def watch(self, type_: WatchType, item: Mapping[str, Any]) -> None:
        """Record an object as a watch served it, without managedFields."""
        item = dict(item)
        meta = item.get("metadata")
        if isinstance(meta, dict) and "managedFields" in meta:
            item["metadata"] = {k: v for k, v in meta.items() if k != "managedFields"}
        self.publish(Watch(**self._stamp(), type=type_, object=item))

    def sample(self, **fields: Any) -> None:
        """Record a measurement (fields of records.Sample)."""
        self.publish(Sample(**self._stamp(), **fields))

    def kernel(self, **fields: Any) -> None:
        """Record an OOM report (fields of records.Kernel)."""
        self.publish(Kernel(**self._stamp(), **fields))

    def guest(self, vmi: str, line: str) -> None:
        """Record a console line."""
        self.publish(Guest(**self._stamp(), vmi=vmi, line=line))

    def action(self, what: str, target: str = "", **args: Any) -> None:
        """Record something the harness does, before doing it."""
        self.publish(Action(**self._stamp(), what=what, target=target, args=args))

    def note(self, what: str, text: str = "", **data: Any) -> None:
        """Record a diagnostic of the harness itself."""
        self.publish(Note(**self._stamp(), what=what, text=text, data=data))

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], T | None], *, within: float | None = None, what: str = ""
    ) -> T:
        """Return the first true value of `condition`, looked at now and after every record.

        Raises Deadline after `within` seconds, or whatever the condition raises.
        """
        now = condition()
        if now:
            return now
        self._serial += 1
        key = self._serial
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiters[key] = (condition, future)
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError as error:
            # Told in the turn of the loop in which the deadline's timer fired: it happened; or the condition's own TimeoutError.
            if future.done() and not future.cancelled():
                return future.result()
            raise Deadline(f"{what or 'nothing happened'} within {within:g} s") from error
        finally:
            self._waiters.pop(key, None)
