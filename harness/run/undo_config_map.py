"""The undo operation of the ConfigMap that a run made in KubeVirt's namespace. Importing this registers it.

Only one that carries the run's own label is deleted.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.kube.connection import connect
from harness.kube.errors import KubeError, NotFound
from harness.kube.objects import Objects
from harness.kube.resources import CONFIG_MAPS
from harness.run.errors import UndoError
from harness.run.fleet import RUN_LABEL
from harness.run.undo import Entry, operation

PATIENCE = 10.0
"""Seconds: cleaning up waits for no cluster that is gone."""
OP = "config-map-delete"


def entry(*, kubeconfig: str, context: str, namespace: str, name: str, run: str) -> Entry:
    """Return the undo entry of a ConfigMap about to be made."""
    return {
        "op": OP,
        "target": name,
        "namespace": namespace,
        "kubeconfig": kubeconfig,
        "context": context,
        "run": run,
    }


@operation(OP, survives_reboot=True)
def _delete(entry: Entry) -> str | None:
    """Delete the ConfigMap, if it is there and of that run."""
    path = Path(str(entry["kubeconfig"]))
    if not path.exists():
        return None
    # An undo file may be closed inside a running event loop, which can't run another.
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            return "deleted" if pool.submit(asyncio.run, _deleted(path, entry)).result() else None
        except KubeError as error:
            raise UndoError(f"ConfigMap {entry['target']}: {error}") from error


async def _deleted(path: Path, entry: Entry) -> bool:
    async with connect(path, context=str(entry.get("context") or "") or None) as connection:
        objects = Objects(connection, patience=PATIENCE)
        name, namespace = str(entry["target"]), str(entry["namespace"])
        try:
            found = await objects.get(CONFIG_MAPS, name, namespace=namespace)
        except NotFound:
            return False
        if ((found.get("metadata") or {}).get("labels") or {}).get(RUN_LABEL) != entry["run"]:
            return False
        return await objects.delete(CONFIG_MAPS, name, namespace=namespace)
