"""How runs are carried out, as far as the user may choose."""

from __future__ import annotations

import asyncio
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


HOLD_ON = ("evicted", "oom", "ended")
"""What a run may be held on (`World.happened`)."""


class Holder(Protocol):
    """Someone who looks at a held run: is told how, and says when to go on."""

    async def hold(self, how: tuple[str, ...], released: asyncio.Event) -> None:
        """Return when the run may go on; `released` is set by Ctrl-C."""
        ...


class UntilReleased:
    """Waits for Ctrl-C alone."""

    async def hold(self, how: tuple[str, ...], released: asyncio.Event) -> None:
        """Wait."""
        del how
        await released.wait()


MakeCluster = Callable[[Scenario, str, Undo], Cluster]
"""Make a cluster for a scenario; the second argument is a short id unique to the run, the third writes undo entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Choices of one invocation."""

    runs: Path
    """Directory that run directories are made in."""
    command: tuple[str, ...] = ()
    keep: bool = False
    """Leave what the run created in the cluster; one that ends with the run is held until Ctrl-C instead."""
    hold_on: str = ""
    """One of HOLD_ON: when it happens the workload stops, and everything is kept until someone says to go on."""
    holder: Holder = field(default_factory=UntilReleased)
    cautions: tuple[str, ...] = ()
    """What preflight said of the scenario; kept as notes."""
    control: bool = True
    """Make the scenario's control run."""
    control_margin: float = 25.0
    """Seconds a control is watched beyond the main run's delay: an eviction comes at most two kubelet passes (20 s) and
    a kill later than it could, so a control that lives that long lived because the cause was missing."""
    seed: int | None = None
    """Instead of the scenario's."""
    progress: Progress = field(default_factory=Silent)
