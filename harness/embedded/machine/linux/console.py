"""A guest's serial console: a unix socket we listen on before QEMU starts, and everything the guest ever wrote."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from harness.embedded.machine.errors import ConsoleClosed, MachineError

HISTORY = 4 << 20
"""Bytes kept: the newest 4 MiB."""
_SUN_PATH = 107
"""Longest unix socket path (sockaddr_un.sun_path less its NUL, unix(7))."""


def check_socket_path(path: Path) -> None:
    """Raise MachineError for a path no socket can have."""
    if len(bytes(path)) > _SUN_PATH:
        raise MachineError(
            f"socket path {path} is longer than {_SUN_PATH} bytes: set TMPDIR to a short directory"
        )


class SerialConsole(asyncio.Protocol):
    """Keeps what the guest writes and hands it to any number of readers; owned by the guest."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._dropped = 0
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()

    async def listen(self, path: Path) -> asyncio.Server:
        """Listen for QEMU. Raises MachineError (path too long, disk full)."""
        check_socket_path(path)
        try:
            return await asyncio.get_running_loop().create_unix_server(lambda: self, path, backlog=1)
        except OSError as error:
            raise MachineError(
                f"console socket {path}: {error.strerror}: free some space or set TMPDIR"
            ) from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """QEMU has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._writable.set()
        self.connected.set()

    def data_received(self, data: bytes) -> None:
        """Keep what the guest wrote and wake the readers."""
        self._kept += data
        excess = len(self._kept) - HISTORY
        if excess > 0:
            del self._kept[:excess]
            self._dropped += excess
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """QEMU is gone, and everything it had written has been read."""
        self.close()

    def pause_writing(self) -> None:
        """Stop writers: the guest reads slower than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def close(self) -> None:
        """End all readers once they have read everything. Idempotent."""
        self.closed.set()
        self._writable.set()
        if self._transport is not None:
            self._transport.close()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def read(self, *, from_start: bool = False) -> AsyncIterator[bytes]:
        """Yield chunks as they come until the guest is gone; `from_start` gives what is kept of the past first."""
        position = self._dropped if from_start else self._dropped + len(self._kept)
        while True:
            changed = self._changed
            position = max(position, self._dropped)  # a reader too slow for the history loses its oldest part
            chunk = bytes(self._kept[position - self._dropped :])
            if chunk:
                position += len(chunk)
                yield chunk
            elif self.closed.is_set():
                return
            else:
                await changed.wait()

    async def write(self, data: bytes) -> None:
        """Send bytes to the guest. Raises ConsoleClosed when it is gone."""
        if self.closed.is_set() or self._transport is None or self._transport.is_closing():
            raise ConsoleClosed("the guest behind this console is gone")
        self._transport.write(data)
        await self._writable.wait()
        if self.closed.is_set():
            raise ConsoleClosed("the guest behind this console went away while it was written to")

    def history(self) -> bytes:
        """Everything written so far (bounded to the newest 4 MiB)."""
        return bytes(self._kept)

    def tail(self, lines: int = 5) -> str:
        """Return the last lines, for error messages."""
        text = self._kept[-4096:].decode("utf-8", errors="replace")
        return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())

    async def drained(self, within: float) -> None:
        """Wait until everything a dead QEMU left in the socket has been read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.closed.wait()
