"""The undo operation of a run's namespace on a cluster that outlives the run. Importing this registers it."""

from __future__ import annotations

from harness.kube.resources import NAMESPACES
from harness.run.undo_operations import Entry, operation
from harness.run.undo_ours import delete_ours

OP = "namespace-delete"


def entry(*, kubeconfig: str, context: str, namespace: str, run: str) -> Entry:
    """Return the undo entry of a namespace about to be made."""
    return {"op": OP, "target": namespace, "kubeconfig": kubeconfig, "context": context, "run": run}


@operation(OP, survives_reboot=True)
def _delete(entry: Entry) -> str | None:
    """Delete the namespace, and everything in it."""
    return delete_ours(entry, NAMESPACES, "namespace")
