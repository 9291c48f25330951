"""The undo operation of the ConfigMap that a run made in KubeVirt's namespace. Importing this registers it."""

from __future__ import annotations

from harness.kube.resources import CONFIG_MAPS
from harness.run.undo_operations import Entry, operation
from harness.run.undo_ours import delete_ours

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
    """Delete the ConfigMap."""
    return delete_ours(entry, CONFIG_MAPS, "ConfigMap")
