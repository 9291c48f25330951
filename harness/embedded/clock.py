"""Wall time of an embedded cluster: the event loop's time plus a fixed offset, so that virtual time works too.

Unit: seconds since the Unix epoch. What Kubernetes serves as `metav1.Time` has whole seconds, cut, not rounded.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.units import Seconds


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns loop times into wall times. `epoch` is the wall time at loop time 0."""

    epoch: Seconds

    @classmethod
    def synchronised(cls) -> Clock:
        """Return a clock that agrees with the machine's now. Needs a running loop."""
        return cls(Seconds(time.time() - asyncio.get_running_loop().time()))

    @classmethod
    def starting_at(cls, wall: Seconds) -> Clock:
        """Return a clock that says `wall` now. Needs a running loop."""
        return cls(Seconds(wall - asyncio.get_running_loop().time()))

    def now(self) -> Seconds:
        """Return the wall time now. Needs a running loop."""
        return self.wall(asyncio.get_running_loop().time())

    def wall(self, loop_time: float) -> Seconds:
        """Return the wall time of a loop time."""
        return Seconds(self.epoch + loop_time)

    def moment(self) -> datetime:
        """Return now as an aware datetime, for the store."""
        return datetime.fromtimestamp(self.now(), tz=UTC)

    def stamp(self) -> str:
        """Return now as `metav1.Time` is served: `2026-11-24T09:58:24Z`."""
        return stamp(self.now())


def stamp(wall: float) -> str:
    """Print a wall time as `metav1.Time` is served (RFC 3339, UTC, seconds cut)."""
    return datetime.fromtimestamp(int(wall), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
