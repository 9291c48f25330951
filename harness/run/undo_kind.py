"""Undo operations of kind clusters: delete one, put a node back, put KubeVirt's configuration back.

Importing this registers them; whoever makes or cleans up kind clusters does.
"""

from __future__ import annotations

from harness.cluster.errors import ClusterError
from harness.cluster.kind.undoing import delete_cluster, restore_kubevirt, restore_node
from harness.run.errors import UndoError
from harness.run.undo_operations import Entry, Operation, operation


def _telling(undo: Operation) -> Operation:
    def told(entry: Entry) -> str | None:
        try:
            return undo(entry)
        except ClusterError as error:
            raise UndoError(str(error)) from error

    return told


# Containers and what is in a cluster's database survive a reboot of the machine.
operation("kind-delete", survives_reboot=True)(_telling(delete_cluster))
operation("kind-node-restore", survives_reboot=True)(_telling(restore_node))
operation("kubevirt-restore", survives_reboot=True)(_telling(restore_kubevirt))
