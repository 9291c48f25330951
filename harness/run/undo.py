"""What was changed on a machine, written down before it changes, and undone in reverse: by us, or by `density clean`.

An undo file is append-only NDJSON in `$XDG_STATE_HOME/kubevirt-density/undo` (root: `/var/lib/…`): a header naming its
owner, then one fsynced entry a line. The owner holds an flock on it for life; whoever can take the lock and does
not find the owner's pid (same start time, same boot) may undo it. Every operation is idempotent and says what it did.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from harness.embedded.machine.linux import procfs
from harness.run import undo_machine  # noqa: F401 - every run changes the machine
from harness.run.errors import UndoError
from harness.run.undo_operations import Done, Entry, known, undo_all

NAME = "kubevirt-density"
SCHEMA = 1
_LOG = logging.getLogger(__name__)
_NEWBORN = 60.0


def directory() -> Path:
    """Where undo files live: one place per user, so that `density clean` finds them whatever the working directory."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if state and Path(state).is_absolute():
        return Path(state) / NAME / "undo"
    if os.geteuid() == 0:
        return Path("/var/lib") / NAME / "undo"
    return Path.home() / ".local/state" / NAME / "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """One undo file `clean` looked at. `state`: undone; `owner-alive` and `busy` (another clean) were left alone."""

    path: Path
    run: str
    command: tuple[str, ...]
    state: Literal["undone", "failed", "owner-alive", "busy", "unreadable"]
    done: tuple[Done, ...] = ()


class UndoFile:
    """The undo file of this process and run. Call it with an entry before each change; `close` undoes in reverse."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._entries: list[Entry] = []

    @classmethod
    def create(cls, *, run: str, command: Sequence[str] = (), where: Path | None = None) -> Self:
        """Make a new file, locked and with its header on disk. Raises UndoError (disk full, not writable)."""
        folder = where or directory()
        me = procfs.identity(os.getpid())
        header = {
            "undo": SCHEMA,
            "pid": os.getpid(),
            "start": me.start if me else 0,
            "boot": procfs.boot_id(),
            "run": run,
            "command": list(command or sys.argv),
        }
        path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.ndjson"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UndoError(
                f"undo file {path}: {error.strerror}: set XDG_STATE_HOME to a writable place"
            ) from error
        made = cls(path, fd)
        try:
            made._append(header)
            _sync_directory(folder)
        except UndoError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return made

    def __call__(self, entry: Entry, /) -> None:
        """Make an entry durable; returns when it is on disk. Raises UndoError: then do not make the change."""
        if entry.get("op") not in known():
            raise UndoError(f"undo entry {dict(entry)!r}: unknown op; known: {', '.join(known())}")
        self._append(entry)
        self._entries.append(dict(entry))

    def _append(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":"), sort_keys=True).encode() + b"\n"
        if self._fd < 0:
            raise UndoError(f"undo file {self.path} is closed")
        try:
            written = os.write(self._fd, data)
            os.fsync(self._fd)
        except OSError as error:
            raise UndoError(f"undo file {self.path}: {error.strerror}: free some disk space") from error
        if written != len(data):
            raise UndoError(f"undo file {self.path}: the disk is full: free some disk space")

    def close(self) -> tuple[Done, ...]:
        """Undo everything in reverse and remove the file; it stays if something failed. Idempotent, never raises."""
        if self._fd < 0:
            return ()
        done = undo_all(self._entries, same_boot=True)
        if not any(item.failed for item in done):
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for done in self.close():
            if done.failed:
                _LOG.error("not undone: %s; `density clean` tries again", done)


def clean(*, where: Path | None = None) -> tuple[Cleaned, ...]:
    """Undo what dead owners left, oldest file first. Files of living owners are left alone. Idempotent."""
    folder = where or directory()
    with contextlib.suppress(FileNotFoundError):
        paths = sorted(folder.glob("*.ndjson"), key=lambda path: (path.stat().st_mtime, path.name))
        return tuple(result for path in paths if (result := _clean_file(path)) is not None)
    return ()


def _clean_file(path: Path) -> Cleaned | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # its owner has just finished
        return None
    try:
        header, entries = read(path)
        run = str(header.get("run", ""))
        command = tuple(str(word) for word in header.get("command", ()))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state: Literal["owner-alive", "busy"] = "owner-alive" if _owner_alive(header) else "busy"
            return Cleaned(path=path, run=run, command=command, state=state)
        if _owner_alive(header):
            return Cleaned(path=path, run=run, command=command, state="owner-alive")
        if not header and (entries or time.time() - os.fstat(fd).st_mtime < _NEWBORN):
            # without a header nobody knows which boot it is of; an empty young one is being made just now
            return Cleaned(path=path, run=run, command=command, state="unreadable" if entries else "busy")
        done = undo_all(entries, same_boot=header.get("boot", "") == procfs.boot_id())
        failed = any(item.failed for item in done)
        if not failed:
            path.unlink(missing_ok=True)
        return Cleaned(path=path, run=run, command=command, state="failed" if failed else "undone", done=done)
    finally:
        os.close(fd)


def _owner_alive(header: Mapping[str, Any]) -> bool:
    try:
        same_boot = header["boot"] == procfs.boot_id()
        return same_boot and procfs.alive(int(header["pid"]), int(header["start"]))
    except (KeyError, TypeError, ValueError):
        return False


def read(path: Path) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """Return header and entries. A cut last line is dropped: its change had not been made yet."""
    header: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if not isinstance(value, dict):
            continue
        if "undo" in value:
            header = value
        elif "op" in value:
            entries.append(value)
    return header, tuple(entries)


def _sync_directory(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        raise UndoError(f"undo directory {folder}: {error.strerror}") from error
    finally:
        os.close(fd)
