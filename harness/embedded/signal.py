"""Waiting for a condition that other tasks bring about, with a deadline that may move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Signal:
    """Tells its waiters that something changed; each looks whether it is what it waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake every waiter."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(
        self, holds: Callable[[], bool], *, deadline: Callable[[], float | None] = lambda: None
    ) -> bool:
        """Return True once `holds()`; False once the loop time `deadline()` has passed without.

        `deadline` is asked again after every notification, so it may be brought forward.
        """
        loop = asyncio.get_running_loop()
        while not holds():
            event, due = self._event, deadline()
            if due is not None and due <= loop.time():
                return False
            try:
                async with asyncio.timeout_at(due):
                    await event.wait()
            except TimeoutError:
                continue
        return True
