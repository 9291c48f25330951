"""How runs are carried out, as far as the user may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.cluster.base import Cluster, Undo
from harness.records.model import Record
from harness.records.rundir import RunDirectory
from harness.spec.model import Scenario

READY_BASE = 90.0
READY_PER_GUEST = 5.0
"""Seconds for all guests to say hello: 16 guests of 256 MiB took 25 s on two cores under TCG; four times that."""


class Progress(Protocol):
    """Someone who shows a run while it goes on. Called in the event loop: return at once."""

    def started(self, directory: RunDirectory, scenario: Scenario) -> None:
        """A run directory was made."""
        ...

    def record(self, line: int, record: Record) -> None:
        """A record was written."""
        ...

    def step(self, text: str) -> None:
        """What is being done now, in words."""
        ...


class Silent:
    """Shows nothing."""

    def started(self, directory: RunDirectory, scenario: Scenario) -> None:
        """Do nothing."""

    def record(self, line: int, record: Record) -> None:
        """Do nothing."""

    def step(self, text: str) -> None:
        """Do nothing."""


MakeCluster = Callable[[Scenario, str, Undo], Cluster]
"""Make a cluster for a scenario; the second argument is a short id unique to the run, the third writes undo entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Choices of one invocation."""

    runs: Path
    """Directory that run directories are made in."""
    command: tuple[str, ...] = ()
    keep: bool = False
    """Leave what the run created in the cluster (on `local` there is nothing left to keep)."""
    control: bool = True
    """Make the scenario's control run."""
    control_margin: float = 25.0
    """Seconds a control is watched beyond the main run's delay: an eviction comes at most two kubelet passes (20 s) and
    a kill later than it could, so a control that lives that long lived because the cause was missing."""
    seed: int | None = None
    """Instead of the scenario's."""
    progress: Progress = field(default_factory=Silent)
