"""virt-handler's care for KSM: label and annotation of every node, and, where it is let, the machine's KSM.

Source: KubeVirt pkg/virt-handler/ksm/ksm.go (main); its arithmetic is rules.ksm. One of it looks after all nodes here. MemTotal and
MemAvailable are the node's, not the machine's that nodes share; KSM is the machine's, as on kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from harness.embedded.api.errors import NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import KUBEVIRTS, NODES
from harness.embedded.api.store import Store
from harness.embedded.control.selectors import selects
from harness.embedded.machine.base import Node
from harness.rules.ksm import INTERVAL, LABEL, MANAGED_ANNOTATION, KsmValues, next_values, tuning
from harness.units import Seconds

Write = Callable[[str, Mapping[str, str], Mapping[str, Any]], Awaitable[None]]
"""(node, files below /sys/kernel/mm/ksm in order, why and what they were). Raises MachineError."""
_KB = 1024


class KsmHandler:
    """Looks at all nodes at each change of the KubeVirt CR and once an interval, at a node when it comes. `run` is its task.

    `configuration`: present `spec.configuration`. `node`: the machine's node of a name (KeyError: it has gone). `state`: KSM's knobs
    now, None where the machine has none. `write`: sets them; while None somebody else does, and only the label is kept.
    """

    def __init__(
        self,
        store: Store,
        *,
        configuration: Callable[[], Mapping[str, Any]],
        node: Callable[[str], Node],
        state: Callable[[], Mapping[str, Any] | None],
        interval: Seconds = INTERVAL,
    ) -> None:
        self.write: Write | None = None
        self._store, self._configuration, self._node, self._state = store, configuration, node, state
        self._interval = interval
        self._due = 0.0
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Keep looking until cancelled."""
        self._due = asyncio.get_running_loop().time() + self._interval
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._react())
            tasks.create_task(self._tick())

    async def _react(self) -> None:
        async with self._store.subscribe(KUBEVIRTS, NODES) as changes:
            async for change in changes:
                if change.resource is KUBEVIRTS:
                    await self._look_at_all()
                elif change.type == "ADDED":
                    await self.look(change.object["metadata"]["name"])

    async def _tick(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            left = self._due - clock()
            if left > 0:
                await asyncio.sleep(left)
            else:
                await self._look_at_all()

    async def _look_at_all(self) -> None:
        self._due = asyncio.get_running_loop().time() + self._interval
        for node in self._store.list(NODES)[0]:
            await self.look(node["metadata"]["name"])

    async def look(self, name: str) -> None:
        """Do for one node what its virt-handler does (`spin`)."""
        async with self._looking:
            try:
                node = self._store.get(NODES, "", name)
                machine = self._node(name)
            except (NotFound, KeyError):
                return
            state = self._state()
            eligible = state is not None and self._selected(node)
            managed = False
            if self.write is not None and state is not None:
                managed = await self._set(node, machine, state, eligible=eligible)
            self._tell(name, eligible=eligible, managed=managed)

    def _selected(self, node: Object) -> bool:
        ksm = self._configuration().get("ksmConfiguration")
        return ksm is not None and selects(ksm.get("nodeLabelSelector"), node["metadata"].get("labels") or {})

    async def _set(self, node: Object, machine: Node, state: Mapping[str, Any], *, eligible: bool) -> bool:
        """Write what is to be written; whether KSM runs by it. Raises MachineError."""
        annotations: Mapping[str, str] = node["metadata"].get("annotations") or {}
        running = state.get("run") == 1
        if not eligible:
            if running and annotations.get(MANAGED_ANNOTATION) == "true":
                await self._change(node, state, {"run": "0"}, why="the node is not selected any more")
            return False
        total = machine.capacity // _KB
        # a node that uses nothing at all is none: the handler divides by what is used
        available = min((machine.capacity - machine.memory().working_set) // _KB, total - 1)
        values = next_values(
            KsmValues(running, int(state.get("pages_to_scan", 0)), int(state.get("sleep_millisecs", 0))),
            total_kb=total,
            available_kb=max(0, available),
            tuning=tuning(annotations),
        )
        await self._change(
            node, state, values.files, why=f"MemAvailable {max(0, available)} kB of MemTotal {total} kB"
        )
        return values.running

    async def _change(
        self, node: Object, state: Mapping[str, Any], files: Mapping[str, str], *, why: str
    ) -> None:
        changed = {name: text for name, text in files.items() if str(state.get(name)) != text}
        if changed and self.write is not None:
            before = {name: str(state[name]) for name in changed if name in state}
            await self.write(node["metadata"]["name"], changed, {"why": why, "from": before})

    def _tell(self, name: str, *, eligible: bool, managed: bool) -> None:
        def edit(obj: dict[str, Any]) -> None:
            metadata = obj["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), LABEL: str(eligible).lower()}
            annotations = metadata.get("annotations") or {}
            metadata["annotations"] = {**annotations, MANAGED_ANNOTATION: str(managed).lower()}

        try:
            self._store.mutate(NODES, "", name, edit)
        except NotFound:
            return
