"""How long to wait before trying again, so that no failure becomes a tight loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

IMMEDIATE_EVERY = 1.0
"""Seconds between two retries without delay."""


class Backoff:
    """Delays 0, then doubling from `first` to `most` seconds with jitter; `reset` after real progress.

    The first retry is immediate: streams end for good reasons (a server's time-out), and what happens meanwhile
    is seen late. But no more than one a second is: a server that sends a little and hangs up makes progress for ever.
    """

    def __init__(
        self,
        *,
        first: float = 0.1,
        most: float = 10.0,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._most = most
        self._random = rng or random.Random()
        self._clock = clock
        self._immediate = clock() - IMMEDIATE_EVERY
        self.failures = 0

    def next(self) -> float:
        """Return the delay in seconds before the next attempt and count it."""
        self.failures += 1
        if self.failures == 1:
            now = self._clock()
            if now - self._immediate >= IMMEDIATE_EVERY:
                self._immediate = now
                return 0.0
            return self._first * self._random.uniform(0.75, 1.0)
        # 32 doublings exceed any `most` in use; the cap keeps the power from growing without bound.
        delay = min(self._most, self._first * 2.0 ** min(self.failures - 2, 32))
        return delay * self._random.uniform(0.75, 1.0)

    def reset(self) -> None:
        """Start over: something arrived."""
        self.failures = 0
