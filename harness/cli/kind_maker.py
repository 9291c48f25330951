"""Kind clusters of one process: a pool shared by all its scenarios, deleted when the process ends however it does."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import harness.run.undo_kind  # noqa: F401 - registers how kind clusters are undone
from harness.cluster.base import Cluster, Undo
from harness.cluster.kind.making import build_agent
from harness.cluster.kind.pool import Pool
from harness.cluster.kind.settings import KindSettings
from harness.cluster.kind.source import KindCluster
from harness.run.undo import UndoFile
from harness.spec.model import Scenario


class KindMaker:
    """Makes a run's view of the pool's cluster. The undo file is the pool's: it outlives every run."""

    def __init__(
        self, settings: KindSettings, *, command: tuple[str, ...], guest_kernel: Path | None = None
    ) -> None:
        self._undo = UndoFile.create(run="kind", command=command)
        self.pool = Pool(settings, undo=self._undo, agent=partial(build_agent, guest_kernel))

    def __call__(self, scenario: Scenario, run: str, undo: Undo) -> Cluster:
        """Return the cluster of one run."""
        return KindCluster(
            undo=undo,
            run=run,
            workers=len(scenario.nodes),
            guests=guests_per_node(scenario),
            pool=self.pool,
        )

    def close(self) -> None:
        """Delete the cluster, or put it back if it is kept. Raises ClusterError; the undo file is closed in any case."""
        try:
            asyncio.run(self.pool.close())
        finally:
            self._undo.__exit__()


_MAKERS: dict[KindSettings, KindMaker] = {}


def kind_maker(
    given: Mapping[str, Any],
    *,
    keep: bool,
    logs: str,
    command: tuple[str, ...],
    guest_kernel: Path | None = None,
) -> KindMaker:
    """Return this process's maker for these settings. Raises ClusterError for a setting that can't be meant."""
    settings = KindSettings.from_options(
        os.environ, **{"logs": logs, **({"keep": True} if keep else {}), **given}
    )
    if settings not in _MAKERS:
        _MAKERS[settings] = KindMaker(settings, command=command or tuple(sys.argv), guest_kernel=guest_kernel)
    return _MAKERS[settings]


def tell(progress: Callable[[str], None]) -> None:
    """Let somebody be told what pools do."""
    for maker in _MAKERS.values():
        maker.pool.progress = progress


def close_all() -> None:
    """Close every maker. Idempotent. Raises ClusterError of the first that failed, after all were tried."""
    errors: list[Exception] = []
    while _MAKERS:
        _, maker = _MAKERS.popitem()
        try:
            maker.close()
        except Exception as error:  # noqa: BLE001 - the others are closed first
            errors.append(error)
    if errors:
        raise errors[0]


atexit.register(close_all)


def guests_per_node(scenario: Scenario) -> int:
    """Return how many guests a node holds at most; one that is not pinned may be on any."""
    loose = sum(len(fleet.members) for fleet in scenario.fleet if not fleet.node)
    pinned = [
        sum(len(fleet.members) for fleet in scenario.fleet if fleet.node == node.name)
        for node in scenario.nodes
    ]
    return loose + max(pinned, default=0)
