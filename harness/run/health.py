"""The run's own health: what spoils a measurement must be on record, or the measurement would be believed."""

from __future__ import annotations

import asyncio

from harness.run.stream import Stream

TICK = 0.1
"""Seconds between two looks at the event loop."""
LAG = 0.25
"""Seconds of lateness worth a record: half the distance of two probe samples."""
STEP = 0.5
"""Seconds by which the wall clock may drift from the loop's before objects' own times can't be compared any more."""


async def guard(stream: Stream) -> None:
    """Record `loop-lag` and `clock-step` until cancelled."""
    loop = asyncio.get_running_loop()
    due = loop.time() + TICK
    stepped = 0.0
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        late = loop.time() - due
        if late > LAG:
            stream.note("loop-lag", f"the event loop was {late:.2f} s late", seconds=round(late, 3))
        drift = stream.wall_drift()
        if abs(drift - stepped) > STEP:
            stream.note(
                "clock-step",
                f"the wall clock moved by {drift - stepped:+.2f} s",
                seconds=round(drift - stepped, 3),
            )
            stepped = drift
        due = loop.time() + TICK
