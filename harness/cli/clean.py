"""`density clean`: undo what dead runs left."""

from __future__ import annotations

import os
from contextlib import suppress

import harness.run.undo_config_map
import harness.run.undo_kind
import harness.run.undo_kubeconfig
import harness.run.undo_namespace  # noqa: F401 - these register how clusters are undone
from harness.cli import errors
from harness.cluster.errors import ClusterError
from harness.cluster.kind.settings import KindSettings
from harness.cluster.kind.tools import Tools
from harness.cluster.kind.undoing import collect, forget_gone
from harness.run.undo import clean


def clean_command() -> int:
    """Print what was undone; exit 3 if something could not be."""
    _forget_gone()
    cleaned = clean()
    for file in cleaned:
        print(f"{file.path.name} (run {file.run or 'unknown'}): {file.state}")  # noqa: T201 - the command's output
        for done in file.done:
            if done.did or done.failed:
                print(f"  {done}")  # noqa: T201
    if not cleaned:
        print("nothing to clean")  # noqa: T201
    return errors.BROKEN if any(file.state in {"failed", "unreadable"} for file in cleaned) else errors.OK


def _forget_gone() -> None:
    """Forget kind clusters that were deleted by hand; without kind there is no telling, and none of ours either."""
    with suppress(ClusterError):
        tools = Tools.find(KindSettings.from_options(os.environ), os.environ)
        forget_gone(kind=tools.kind, engine=tools.engine)


def collect_command(*, hours: float, kept: bool) -> int:
    """Delete leaked kind clusters and print what was done; exit 3 if one could not be. Raises ClusterError."""
    tools = Tools.find(KindSettings.from_options(os.environ), os.environ)
    found = collect(
        kind=tools.kind,
        engine=tools.engine.program,
        environment=tools.engine.environment,
        older_than=hours * 3600,
        kept=kept,
    )
    for item in found:
        age = f"{item.age / 3600:.1f} h old"
        print(f"kind cluster {item.name} ({age}): {item.state}{' ' + item.why if item.why else ''}")  # noqa: T201
    if not found:
        print("no kind clusters of ours")  # noqa: T201
    return errors.BROKEN if any(item.state == "failed" for item in found) else errors.OK
