"""Telling how to look around in a held run, and waiting for Enter or Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress


class AtTheKeyboard:
    """Tells by `say`, and waits. Where there is no keyboard, Ctrl-C (SIGINT, SIGTERM) alone ends it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    async def hold(self, how: tuple[str, ...], released: asyncio.Event) -> None:
        """Return when Enter was pressed or Ctrl-C sent."""
        for line in how:
            self._say(f"  {line}")
        loop = asyncio.get_running_loop()
        watched = False

        def pressed() -> None:
            # The end of a pipe or of /dev/null is nobody's word.
            if sys.stdin.readline():
                released.set()
            else:
                loop.remove_reader(sys.stdin)

        with suppress(OSError, ValueError, NotImplementedError):  # closed, or a file that can't be waited for
            loop.add_reader(sys.stdin, pressed)
            watched = True
        self._say(
            "Enter or Ctrl-C takes it down" if watched and sys.stdin.isatty() else "Ctrl-C takes it down"
        )
        try:
            await released.wait()
        finally:
            if watched:
                loop.remove_reader(sys.stdin)
