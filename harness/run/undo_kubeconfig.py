"""The undo operations of existing clusters: put KubeVirt's settings and kubelets back, remove a node reader.

Importing this registers them.
"""

from __future__ import annotations

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import kubelets, reading
from harness.cluster.kubeconfig.undoing import remove_reader, restore_kubelet, restore_kubevirt
from harness.run import undo_namespace  # noqa: F401 - pods on nodes may live in one of their own
from harness.run.errors import UndoError
from harness.run.undo_operations import Entry, operation


@operation("kubectl-patch", survives_reboot=True)
def _patch(entry: Entry) -> str | None:
    """Apply `patch` to what the entry names."""
    try:
        return restore_kubevirt(entry)
    except ClusterError as error:
        raise UndoError(str(error)) from error


@operation(kubelets.OP, survives_reboot=True)
def _kubelet(entry: Entry) -> str | None:
    """Put the kubelet of the node `target` back."""
    try:
        return restore_kubelet(entry)
    except ClusterError as error:
        raise UndoError(str(error)) from error


@operation(reading.OP, survives_reboot=True)
def _reader(entry: Entry) -> str | None:
    """Delete the node reader `target`."""
    try:
        return remove_reader(entry)
    except ClusterError as error:
        raise UndoError(str(error)) from error
