"""Host-wide settings belong to one harness at a time: a lock file in /run that names its owner.

The owner holds an flock on it while it changes settings, and its record stays until they are given back. A record of
an owner that is gone means that they were not: then `density clean` comes first, lest changed values be kept as
the original ones. The record is also what an undo entry is checked against: once given back, an entry does nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.embedded.machine.base import Undo
from harness.embedded.machine.errors import HostBusy, MachineError
from harness.embedded.machine.linux import procfs

PATH = Path("run/kubevirt-density/host.lock")


@dataclass(slots=True, kw_only=True)
class HostLock:
    """Held from `take` to `release`."""

    path: Path
    owner: Mapping[str, Any]
    fd: int

    @classmethod
    def take(cls, *, run: str, undo: Undo, root: Path = Path("/")) -> Self:
        """Take the lock, after its undo entry stands. Raises HostBusy with whose it is, MachineError when not root."""
        path = root / PATH
        while True:
            try:
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:  # the one before us removed the directory just now
                continue
            except OSError as error:
                raise MachineError(f"host settings: {path}: {error.strerror}: run it as root") from error
            try:
                lock = cls._locked(path, fd, run=run, undo=undo)
            except BaseException:
                os.close(fd)
                raise
            if lock is not None:
                return lock
            os.close(fd)

    @classmethod
    def _locked(cls, path: Path, fd: int, *, run: str, undo: Undo) -> Self | None:
        """Lock and write the record; None when the file was removed under us by the one before."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostBusy(_busy(_read(path))) from error
        _check(_read(path))
        if not _is_at(path, fd):
            return None
        me = procfs.identity(os.getpid())
        owner = {
            "pid": os.getpid(),
            "start": me.start if me else 0,
            "boot": procfs.boot_id(),
            "run": run,
            "token": secrets.token_hex(8),
        }
        lock = cls(path=path, owner=owner, fd=fd)
        undo({"op": "host-lock", "path": str(path), **lock.mark})
        data = json.dumps(owner).encode()
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)
        return lock

    @property
    def mark(self) -> dict[str, Any]:
        """What every undo entry of a host-wide setting carries: whose it is."""
        return {"lock": str(self.path), "owner": self.owner["token"]}

    def release(self, *, everything_given_back: bool = True) -> None:
        """Let the next one in; with something not given back the record stays and keeps him out. Idempotent."""
        if self.fd < 0:
            return
        if everything_given_back:
            _remove(self.path)
        os.close(self.fd)
        self.fd = -1


def still_ours(entry: Mapping[str, Any]) -> bool:
    """Whether the settings of an undo entry are still its owner's to give back. True for an entry without a mark."""
    if "lock" not in entry:
        return True
    found = _read(Path(entry["lock"]))
    return bool(found) and found["token"] == entry["owner"]


def undo(entry: Mapping[str, Any], function: Callable[[Mapping[str, Any]], str | None]) -> str | None:
    """Undo an entry unless it has been given back. That it failed is noted in the record, which then stays."""
    if not still_ours(entry):
        return None
    try:
        did = function(entry)
    except BaseException:
        _note(entry, failed=True)
        raise
    _note(entry, failed=False)
    return did


def clear(entry: Mapping[str, Any]) -> str | None:
    """Undo `host-lock`: take the owner's record away. Raises MachineError while a setting is not given back."""
    if not still_ours(entry):
        return None
    failed = _read(Path(entry["path"]))["failed"]
    if failed:
        raise MachineError(f"not given back yet: {', '.join(failed)}")
    _remove(Path(entry["path"]))
    return "released"


def _note(entry: Mapping[str, Any], *, failed: bool) -> None:
    if "lock" not in entry:
        return
    path, key = Path(entry["lock"]), f"{entry['op']} {entry['path']}"
    found = json.loads(path.read_bytes())
    others = [other for other in found.get("failed", []) if other != key]
    now = [*others, key] if failed else others
    if now != found.get("failed", []):
        path.write_text(json.dumps({**found, "failed": now}), encoding="utf-8")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty, or gone
        path.parent.rmdir()


def _is_at(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _check(found: Mapping[str, Any]) -> None:
    """Raise HostBusy if there is a record, whoever's it is."""
    if not found:
        return
    if procfs.alive(int(found["pid"]), int(found["start"])):
        raise HostBusy(_busy(found))
    raise HostBusy(
        f"run {found['run']} (pid {found['pid']}) ended without giving host settings back: run `density clean`"
    )


def _busy(owner: Mapping[str, Any]) -> str:
    who = f"run {owner['run']} (pid {owner['pid']})" if owner else "another harness"
    return f"host settings (KSM, swap) are in use by {who}: wait for it, or stop it"


def _read(path: Path) -> dict[str, Any]:
    """Return the owner's record; {} for none, for one of an earlier boot, and for one that is no record."""
    try:
        found = json.loads(path.read_bytes())
        ours = isinstance(found, dict) and found["boot"] == procfs.boot_id()
        if not ours:
            return {}
        return {
            **{key: found[key] for key in ("pid", "start", "run", "token")},
            "failed": found.get("failed", []),
        }
    except (OSError, ValueError, KeyError):
        return {}
