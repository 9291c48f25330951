"""Follows /dev/kmsg from now on, without a thread: the event loop wakes us, one read(2) gives one record."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from harness.embedded.machine.linux import oom

KMSG = Path("/dev/kmsg")


def why_unreadable(path: Path = KMSG) -> str:
    """'' when the kernel log can be followed, else why not."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"{path}: {error.strerror}"
    try:
        os.lseek(fd, 0, os.SEEK_END)
        os.read(fd, 8192)
    except BlockingIOError:
        return ""
    except OSError as error:
        return f"{path}: {error.strerror}"
    finally:
        os.close(fd)
    return ""


class Follower:
    """Parses OOM reports out of the kernel log as they come. `lost` counts times the log overtook us."""

    def __init__(self, take: Callable[[oom.Report], None], path: Path = KMSG) -> None:
        self.lost = 0
        self._take = take
        self._path = path
        self._parser = oom.Parser()
        self._fd = -1

    def start(self) -> None:
        """Follow from the log's end. Raises OSError where it can't be read."""
        self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._fd, 0, os.SEEK_END)
        asyncio.get_running_loop().add_reader(self._fd, self.drain)

    def drain(self) -> None:
        """Read all records there are. Called by the loop, and by whoever can't wait for it."""
        while self._fd >= 0:
            try:
                record = os.read(self._fd, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:  # records were overwritten before we read them; the next read goes on
                self.lost += 1
                continue
            if not record:
                return
            report = self._parser.feed(oom.message(record))
            if report is not None:
                self._take(report)

    def close(self) -> None:
        """Stop following. Idempotent."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
