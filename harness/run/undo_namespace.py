"""The undo operation of a run's namespace on a cluster that outlives the run. Importing this registers it.

Only a namespace that carries the run's own label is deleted: whoever has one of the same name keeps it.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.cluster.kubeconfig.undoing import reached
from harness.kube.errors import KubeError, NotFound
from harness.kube.objects import Objects
from harness.kube.resources import NAMESPACES
from harness.run.errors import UndoError
from harness.run.fleet import RUN_LABEL
from harness.run.undo import Entry, operation

PATIENCE = 10.0
"""Seconds: cleaning up waits for no cluster that is gone."""
OP = "namespace-delete"


def entry(*, kubeconfig: str, context: str, namespace: str, run: str) -> Entry:
    """Return the undo entry of a namespace about to be made."""
    return {"op": OP, "target": namespace, "kubeconfig": kubeconfig, "context": context, "run": run}


@operation(OP, survives_reboot=True)
def _delete(entry: Entry) -> str | None:
    """Delete the namespace, and everything in it, if it is there and of that run."""
    if not any(Path(name).exists() for name in str(entry["kubeconfig"]).split(os.pathsep) if name):
        return None
    # An undo file may be closed inside a running event loop, which can't run another.
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            return "deleted" if pool.submit(asyncio.run, _deleted(entry)).result() else None
        except KubeError as error:
            raise UndoError(f"namespace {entry['target']}: {error}") from error


async def _deleted(entry: Entry) -> bool:
    async with reached(entry) as connection:
        objects = Objects(connection, patience=PATIENCE)
        name = str(entry["target"])
        try:
            found = await objects.get(NAMESPACES, name)
        except NotFound:
            return False
        meta = found.get("metadata") or {}
        mine = (meta.get("labels") or {}).get(RUN_LABEL) == entry["run"]
        if not mine or meta.get("deletionTimestamp"):
            return False
        return await objects.delete(NAMESPACES, name)
