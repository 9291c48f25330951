"""The guest agent as a process, talked to line by line on its standard input and output (`agent --stdio`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Spoken:
    """Such a process, whoever started it. Its lines end when it does."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process

    async def send(self, line: str) -> None:
        """Send it a command. One that is gone is no error: its lines have ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode("ascii") + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return

    async def lines(self) -> AsyncIterator[str]:
        """Yield what it says until it is gone. For one reader."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            yield line.decode("ascii", errors="replace").rstrip("\r\n")
