"""A loop whose clock jumps to the next timer when nothing is ready, so that tests run on the real periods."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if found or timeout == 0:
            return found
        timers = self.loop.timers()
        if not timers:
            raise RuntimeError("deadlock: nothing is ready and no timer is left")
        self.loop.now = max(self.loop.now, timers)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual; real file descriptors are only polled."""

    def __init__(self) -> None:
        self.now = 1.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def timers(self) -> float:
        """When the earliest timer is due; 0 where there is none."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else 0.0


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
