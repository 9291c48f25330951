"""The undo operation of existing clusters: put KubeVirt's settings back. Importing this registers it."""

from __future__ import annotations

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig.undoing import restore_kubevirt
from harness.run.errors import UndoError
from harness.run.undo import Entry, operation


@operation("kubectl-patch", survives_reboot=True)
def _patch(entry: Entry) -> str | None:
    """Apply `patch` to what the entry names."""
    try:
        return restore_kubevirt(entry)
    except ClusterError as error:
        raise UndoError(str(error)) from error
