"""What an embedded cluster says of its own health: passes that came late, tasks that were refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

Notes = Callable[[str, str, Mapping[str, Any]], None]
"""Takes `what` (as in a `note` record), a text for people, and data."""


def ignore(what: str, text: str, data: Mapping[str, Any]) -> None:
    """Drop a note."""


async def sleep_until(due: float, *, what: str, late: float, notes: Notes) -> None:
    """Sleep until a loop time; report a `late-pass` if it got more than `late` seconds later than that."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(0.0, due - loop.time()))
    behind = loop.time() - due
    if behind > late:
        notes("late-pass", f"{what} came {behind:.2f} s late", {"pass": what, "late": behind})
