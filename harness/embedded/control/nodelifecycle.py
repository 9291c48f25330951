"""Node conditions become taints: MemoryPressure → node.kubernetes.io/memory-pressure:NoSchedule; a cordon likewise.

Source: Kubernetes 1.36 pkg/controller/nodelifecycle/node_lifecycle_controller.go:92-94,523-576 (event driven).
"""

from __future__ import annotations

from typing import Any

from harness.embedded.api.errors import NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import NODES
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.events import Recorder
from harness.rules.messages import MEMORY_PRESSURE_TAINT

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


class NodeLifecycle:
    """Keeps every node's taints as its conditions say. `run` is its task."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._recorder = Recorder(store, clock, component="node-controller")

    async def run(self) -> None:
        """React to every change of a node."""
        async with self._store.subscribe(NODES) as changes:
            async for change in changes:
                if change.type == "ADDED":
                    name = change.object["metadata"]["name"]
                    message = f"Node {name} event: Registered Node {name} in Controller"
                    self._recorder.event(change.object, "Normal", "RegisteredNode", message)
                if change.type != "DELETED":
                    self._taint(change.object)

    def _taint(self, node: Object) -> None:
        pressure = any(
            c["type"] == "MemoryPressure" and c["status"] == "True"
            for c in node.get("status", {}).get("conditions") or ()
        )
        wanted = {
            MEMORY_PRESSURE_TAINT: pressure,
            UNSCHEDULABLE_TAINT: bool(node["spec"].get("unschedulable")),
        }
        present = {taint["key"] for taint in node["spec"].get("taints") or ()}
        if all((key in present) == want for key, want in wanted.items()):
            return
        now = self._clock.stamp()

        def edit(obj: dict[str, Any]) -> None:
            taints = [t for t in obj["spec"].get("taints") or () if wanted.get(t["key"], True)]
            keys = {taint["key"] for taint in taints}
            taints += [
                {"key": key, "effect": "NoSchedule", "timeAdded": now}
                for key, want in wanted.items()
                if want and key not in keys
            ]
            if taints:
                obj["spec"]["taints"] = taints
            else:
                obj["spec"].pop("taints", None)

        try:
            self._store.mutate(NODES, "", node["metadata"]["name"], edit)
        except NotFound:
            return
