"""A content-addressed cache directory that several builders may use at once.

A result is made in a temporary neighbour and renamed into place; whoever comes second finds it made. The lock only
saves double work: without it results would still be whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from workloads.image.errors import ImageError


def default_directory() -> Path:
    """`$XDG_CACHE_HOME/kubevirt-density`, else `~/.cache/kubevirt-density`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "kubevirt-density"


def digest(parts: Iterable[bytes | str]) -> str:
    """A short name for content: each part counts with its length, so parts can't run into each other."""
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
    return hasher.hexdigest()[:20]


@contextlib.contextmanager
def locked(directory: Path, name: str) -> Iterator[None]:
    """Hold `directory/.<name>.lock`; the kernel releases it when the holder dies.

    Raises:
        ImageError: the directory can't be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ImageError(
            f"cache directory {directory} can't be written: {error.strerror}; set XDG_CACHE_HOME to one that can"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_file(target: Path, content: Callable[[], bytes], *, mode: int = 0o644) -> Path:
    """Return `target`, made from `content` if it is not there yet."""
    with locked(target.parent, target.name):
        if not target.exists():
            with _scratch(target.parent) as scratch:
                made = scratch / target.name
                made.write_bytes(content())
                made.chmod(mode)
                made.replace(target)
    return target


def make_directory(target: Path, fill: Callable[[Path], None]) -> Path:
    """Return `target`, made by `fill(empty directory)` if it is not there yet."""
    with locked(target.parent, target.name):
        if not target.is_dir():
            with _scratch(target.parent) as scratch:
                made = scratch / target.name
                made.mkdir()
                fill(made)
                made.replace(target)
    return target


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=parent))
    try:
        yield scratch
    except OSError as error:
        raise ImageError(
            f"{parent}: {error.strerror or error}; free some space or set XDG_CACHE_HOME"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
