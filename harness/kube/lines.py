"""Splitting a byte stream into lines that may be megabytes long, in linear time."""

from __future__ import annotations

from harness.kube.errors import BrokenStream

MAX_LINE = 64 << 20
"""Bytes. etcd refuses objects above 1.5 MiB; escaping and aggregation may multiply that, an endless line is garbage."""


class LineSplitter:
    """Feed chunks, get whole lines without their line end. What is left over when the stream ends is `rest`."""

    def __init__(self, *, limit: int = MAX_LINE) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._limit = limit

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines completed by this chunk. Raises BrokenStream when a line exceeds the limit."""
        first, newline, tail = chunk.partition(b"\n")
        if not newline:
            self._hold(chunk)
            return []
        self._parts.append(first)
        lines = [b"".join(self._parts)]
        self._parts, self._held = [], 0
        *whole, rest = tail.split(b"\n")
        lines += whole
        if rest:
            self._hold(rest)
        return lines

    @property
    def rest(self) -> bytes:
        """The beginning of a line that was not completed."""
        return b"".join(self._parts)

    def clear(self) -> bytes:
        """Drop and return what is left over."""
        rest, self._parts, self._held = self.rest, [], 0
        return rest

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > self._limit:
            raise BrokenStream(f"a line longer than {self._limit} bytes")
        self._parts.append(part)
