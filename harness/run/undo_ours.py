"""Undoing that a run made an object on a cluster: delete it, if it still carries the run's own label.

Whoever has one of the same name keeps it.
"""

from __future__ import annotations

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig.undoing import files, reached
from harness.cluster.undoing import in_a_loop_of_its_own
from harness.kube.errors import NotFound
from harness.kube.objects import Objects
from harness.kube.resources import Resource
from harness.run.errors import UndoError
from harness.run.fleet import RUN_LABEL
from harness.run.undo_operations import Entry

PATIENCE = 10.0
"""Seconds: cleaning up waits for no cluster that is gone."""


def delete_ours(entry: Entry, resource: Resource, what: str) -> str | None:
    """Delete the entry's `target` (in its `namespace`). None: it is gone, or not of the entry's run. Raises UndoError."""
    if not files(entry):
        return None
    try:
        done = in_a_loop_of_its_own(_deleted(entry, resource), f"{what} {entry['target']}")
    except ClusterError as error:
        raise UndoError(str(error)) from error
    return "deleted" if done else None


async def _deleted(entry: Entry, resource: Resource) -> bool:
    async with reached(entry) as connection:
        objects = Objects(connection, patience=PATIENCE)
        name, namespace = str(entry["target"]), str(entry.get("namespace", ""))
        try:
            found = await objects.get(resource, name, namespace=namespace)
        except NotFound:
            return False
        meta = found.get("metadata") or {}
        if (meta.get("labels") or {}).get(RUN_LABEL) != entry["run"] or meta.get("deletionTimestamp"):
            return False
        return await objects.delete(resource, name, namespace=namespace)
