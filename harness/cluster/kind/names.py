"""What a cluster is called: its shape as a hash, so that a run finds one of its shape again; and who is using it.

A lock file per name in the state directory says that a living harness uses a cluster; a note beside it says what shape
it has and whether it was kept on purpose. The engine's containers are the truth about what exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.cluster.errors import ClusterError
from harness.cluster.kind.settings import PREFIX

SIBLINGS = 8
"""Clusters of one shape at a time, one per concurrently running harness."""


def shape_hash(shape: Mapping[str, Any]) -> str:
    """Return 8 hex digits for what makes clusters interchangeable."""
    text = json.dumps(shape, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def names(shape: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names clusters of a shape may have, in order of preference."""
    first = f"{PREFIX}{shape_hash(shape)}"
    return (first, *(f"{first}-{number}" for number in range(2, SIBLINGS + 1)))


def state_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Return where locks and notes are: the place of the undo files."""
    env = os.environ if environment is None else environment
    state = env.get("XDG_STATE_HOME", "")
    if state and Path(state).is_absolute():
        return Path(state) / "kubevirt-density" / "kind"
    if os.geteuid() == 0:
        return Path("/var/lib/kubevirt-density/kind")
    return Path.home() / ".local/state/kubevirt-density/kind"


@dataclass(slots=True, kw_only=True)
class Claim:
    """A name that is ours while this process lives."""

    name: str
    directory: Path
    _fd: int

    @classmethod
    def take(cls, name: str, directory: Path) -> Self | None:
        """Take a name; None if a living harness has it. Raises ClusterError where nothing can be written."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClusterError(
                f"{directory}: {error.strerror}: set XDG_STATE_HOME to a writable place"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return cls(name=name, directory=directory, _fd=fd)

    @property
    def kubeconfig(self) -> Path:
        """Where this cluster's kubeconfig is."""
        return self.directory / f"{self.name}.kubeconfig"

    @property
    def _note(self) -> Path:
        return self.directory / f"{self.name}.json"

    def note(self, content: Mapping[str, Any]) -> None:
        """Write down what this cluster is."""
        scratch = self._note.with_suffix(".tmp")
        scratch.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
        scratch.replace(self._note)

    def noted(self) -> Mapping[str, Any]:
        """Return what was written down about it, {} if nothing was."""
        return read_note(self.directory, self.name)

    def forget(self) -> None:
        """The cluster is gone: remove its note and kubeconfig."""
        for path in (self._note, self.kubeconfig):
            path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let others have the name. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_note(directory: Path, name: str) -> Mapping[str, Any]:
    """Return the note about a cluster, {} if there is none."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
