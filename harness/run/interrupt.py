"""Ctrl-C: once ends what is running in good order, twice cuts that short. Never leaves the loop by force."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The user asked to stop. The message says what was cut short."""


class Interrupt:
    """Counts requests to stop and ends scopes: those of level 1 at the first request, those of level 2 at the second."""

    def __init__(self) -> None:
        self.level = 0
        self._scopes: dict[asyncio.Timeout, int] = {}
        self._pauses: list[asyncio.Event] = []

    def request(self) -> None:
        """Stop, or stop harder; or only go on, where someone waits for just that."""
        if self._pauses:
            self._pauses.pop().set()
            return
        self.level += 1
        for scope, level in list(self._scopes.items()):
            if level <= self.level:
                self._expire(scope)

    def _expire(self, scope: asyncio.Timeout) -> None:
        if not scope.expired():
            scope.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def scope(self, level: int = 1, *, what: str = "") -> AsyncIterator[None]:
        """Run the body until it ends or is interrupted. Raises Interrupted."""
        timeout: asyncio.Timeout | None = None
        try:
            async with asyncio.timeout(None) as timeout:
                self._scopes[timeout] = level
                if self.level >= level:
                    self._expire(timeout)
                yield
        except TimeoutError as error:
            if timeout is not None and timeout.expired():
                raise Interrupted(what or "interrupted") from error
            raise
        finally:
            if timeout is not None:
                self._scopes.pop(timeout, None)

    @contextmanager
    def pause(self) -> Iterator[asyncio.Event]:
        """Let the next request set an event instead of stopping anything."""
        event = asyncio.Event()
        self._pauses.append(event)
        try:
            yield event
        finally:
            if event in self._pauses:
                self._pauses.remove(event)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into requests meanwhile."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
