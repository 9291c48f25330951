"""Reading record files line by line, plain or gzip, whole or cut anywhere.

Files are streamed: memory use does not grow with their size. A last line that was cut (even inside a UTF-8
sequence or a gzip member) is dropped; the caller learns of it from `Reading.cut`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.records.codec import UNREADABLE, decode
from harness.records.model import End, Note, Record
from harness.units import Seconds

_CHUNK = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"


def _inflate(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip members as far as they go; a cut or damaged tail ends the stream silently."""
    engine = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        data = chunk
        while data:
            try:
                yield engine.decompress(data)
            except zlib.error:
                return
            data = b""
            if engine.eof:
                data = engine.unused_data
                engine = zlib.decompressobj(wbits=31)
    tail = engine.flush()
    if tail:
        yield tail


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield `(line without newline, whether a newline ended it)` of a plain or gzip file."""
    chunks = _inflate(_chunks(path)) if _is_gzip(path) else _chunks(path)
    rest: list[bytes] = []
    for chunk in chunks:
        first, *more = chunk.split(b"\n")
        rest.append(first)
        if not more:
            continue
        yield b"".join(rest), True
        for line in more[:-1]:
            yield line, True
        rest = [more[-1]]
    last = b"".join(rest)
    if last:
        yield last, False


@dataclass(slots=True)
class Reading:
    """One pass over a record file; the findings about the file itself are there once the pass has ended."""

    path: Path
    cut: bool = False
    """The last line was not whole and was dropped."""
    unreadable: list[int] = field(default_factory=list)
    """Line numbers in the middle that are no JSON."""
    ended: bool = False
    """The last record is `end` and its counts add up to the lines before it."""

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        """Yield `(1-based line number, record)` in file order."""
        self.cut, self.ended, self.unreadable = False, False, []
        t, at = Seconds(0.0), ""
        for number, (line, whole) in enumerate(lines(self.path), start=1):
            record = decode(line)
            self.ended = False
            if record is None:
                if not whole:
                    self.cut = True
                    return
                self.unreadable.append(number)
                record = Note(t=t, at=at, what=UNREADABLE, text="this line is not a record")
            elif isinstance(record, End):
                self.ended = sum(record.counts.values()) == number - 1
            t, at = record.t, record.at
            yield number, record

    @property
    def complete(self) -> bool:
        """Whether nothing is missing. Meaningful after a whole pass."""
        return self.ended and not self.cut and not self.unreadable


def read_records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield `(line number, record)` of a record file, plain or gzip; a cut last line is dropped."""
    return iter(Reading(path))
