"""Appending records so that a crash loses at most the last second.

Records go to the kernel (one `write` for many lines) at the latest `FLUSH_SECONDS` after they were appended,
provided somebody appends or calls `flush` once a second; the recorder does. `fsync` happens at close only: what is
survived is the death of the process, at any instant; a power cut of the machine may cost what the kernel had not
written back.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from harness.records.codec import encode
from harness.records.errors import RunDirectoryExists, WriteFailed
from harness.records.model import End, Record
from harness.units import Seconds

FLUSH_SECONDS = 1.0
_FLUSH_BYTES = 1 << 20


class RecordWriter:
    """Appends records to a new file. Also a context manager: left without an error, it closes as complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o644)
        except FileExistsError as error:
            raise RunDirectoryExists(f"{path}: records were begun already; a run is recorded once") from error
        except OSError as error:
            raise WriteFailed(f"{path}: {error.strerror}") from error
        self._buffer = bytearray()
        self._size = 0
        self._since = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._last: tuple[Seconds, str] = (Seconds(0.0), "")
        self._closed = False

    @property
    def counts(self) -> dict[str, int]:
        """Records appended so far, by stream."""
        return dict(sorted(self._counts.items()))

    def append(self, record: Record) -> int:
        """Append one record and return its 1-based line number."""
        if self._closed:
            raise WriteFailed(f"{self._path}: the records are closed")
        if not self._buffer:
            self._since = time.monotonic()
        self._buffer += encode(record)
        self._counts[str(record.__struct_config__.tag)] += 1
        self._last = (record.t, record.at)
        if len(self._buffer) >= _FLUSH_BYTES or time.monotonic() - self._since >= FLUSH_SECONDS:
            self.flush()
        return self._counts.total()

    def flush(self) -> None:
        """Hand everything appended to the kernel.

        Raises:
            WriteFailed: the file is cut back to the last whole record and the writer is closed.
        """
        if self._closed or not self._buffer:
            return
        view = memoryview(self._buffer)
        written = 0
        try:
            while written < len(view):
                written += os.write(self._fd, view[written:])
        except OSError as error:
            whole = bytes(view[:written]).rfind(b"\n") + 1
            os.ftruncate(self._fd, self._size + whole)
            self._closed = True
            os.close(self._fd)
            raise WriteFailed(f"{self._path}: {error.strerror}") from error
        finally:
            view.release()
        self._size += written
        self._buffer.clear()

    def close(self, *, complete: bool = True, t: Seconds | None = None, at: str | None = None) -> None:
        """Write the `end` record (when complete), flush, sync and close. Idempotent.

        `t` and `at` are those of the end; by default those of the last record.
        """
        if self._closed:
            return
        if complete:
            end = End(
                t=self._last[0] if t is None else t,
                at=self._last[1] if at is None else at,
                counts=self.counts,
            )
            self._buffer += encode(end)
        self.flush()
        self._closed = True
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise WriteFailed(f"{self._path}: {error.strerror}") from error
        finally:
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=kind is None)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file so that a reader sees the old or the new text, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WriteFailed(f"{path}: {error.strerror}") from error


def pretty(value: msgspec.Struct) -> bytes:
    """Return a struct as indented JSON in the order of its fields, newline at the end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
