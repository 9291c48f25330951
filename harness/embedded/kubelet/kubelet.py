"""One node's kubelet, with virt-handler beside it: takes pods and VMIs from the API to the machine and back.

The two loops (node status, eviction) die and start anew when the configuration changes, as with a restarted kubelet:
what the eviction manager had observed is forgotten, pods run on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from harness.embedded.api.errors import NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import PODS, VMIS
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.events import Recorder
from harness.embedded.kubelet.admit import refuse
from harness.embedded.kubelet.configz import effective
from harness.embedded.kubelet.eviction_manager import EvictionManager
from harness.embedded.kubelet.oom import has_event, kills_groups
from harness.embedded.kubelet.pod_status import Verdict
from harness.embedded.kubelet.pod_worker import TERMINAL, PodWorker, Surroundings
from harness.embedded.kubelet.shapes import pod_shape
from harness.embedded.kubelet.stats import Statistics
from harness.embedded.kubelet.status import Identity, NodeStatus
from harness.embedded.kubelet.timing import Timing
from harness.embedded.kubelet.virt_handler import VirtHandler
from harness.embedded.machine.base import Accounting, Node, OomKill
from harness.embedded.notes import Notes, sleep_until
from harness.rules.allocatable import NodeMemory, node_memory
from harness.rules.messages import system_oom
from harness.rules.swap import swap_behavior


class Kubelet:
    """Runs one node. `run` is its task and never returns by itself."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        node: Node,
        accounting: Accounting,
        fragment: Mapping[str, Any],
        identity: Identity,
        timing: Timing,
        column: str,
        kubevirt: Callable[[], Mapping[str, Any]],
        seed: int,
        notes: Notes,
    ) -> None:
        self.name = identity.name
        self.node = node
        self._store, self._clock, self._timing, self._notes = store, clock, timing, notes
        self._accounting: Accounting = accounting
        self._identity, self._seed = identity, seed
        self._recorder = Recorder(store, clock, component="kubelet", host=self.name)
        self._handler = VirtHandler(store, clock, timing, node=self.name, column=column)
        self._workers: dict[str, PodWorker] = {}
        self._handled: set[str] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._loops: asyncio.Task[None] | None = None
        self._restarts = 0
        self._addresses = 0
        self._kubevirt = kubevirt
        self.configuration: dict[str, Any] = effective(
            fragment, capacity=node.capacity, accounting=accounting, swap=node.swap
        )
        self.memory: NodeMemory = node_memory(self.configuration, capacity=node.capacity)
        node.set_kubepods_limit(self.memory.kubepods_limit)
        self.statistics = Statistics(
            node,
            clock,
            timing,
            rng=self._random("statistics"),
            kubepods_limit=self.memory.kubepods_limit,
        )
        self._status = self._make_status()
        self._manager = self._make_manager()

    # -- what others ask ---------------------------------------------------------------------------------------

    @property
    def workers(self) -> Sequence[PodWorker]:
        """Every pod this node knows, ended ones included until their object is deleted."""
        return tuple(self._workers.values())

    def worker(self, uid: str) -> PodWorker | None:
        """Return the worker of a pod."""
        return self._workers.get(uid)

    def configz(self) -> dict[str, Any]:
        """Return `/configz`."""
        return {"kubeletconfig": self.configuration}

    async def reconfigure(self, fragment: Mapping[str, Any]) -> None:
        """Restart with another KubeletConfiguration. Raises RulesError where it would refuse to start."""
        configuration = effective(
            fragment, capacity=self.node.capacity, accounting=self._accounting, swap=self.node.swap
        )
        if self._loops is not None:
            self._loops.cancel()
            with suppress(asyncio.CancelledError):
                await self._loops
        self._restarts += 1
        self.configuration = configuration
        self.memory = node_memory(configuration, capacity=self.node.capacity)
        self.node.set_kubepods_limit(self.memory.kubepods_limit)
        self.statistics.kubepods_limit = self.memory.kubepods_limit
        self._status = self._make_status()
        self._manager = self._make_manager()
        if self._tasks is not None:
            self._loops = self._tasks.create_task(self._run_loops(), name=f"kubelet loops {self.name}")

    def oom(self, kill: OomKill) -> None:
        """Take note of an OOM kill: only a global one has an event."""
        if has_event(kill):
            self._recorder.event(self._status.reference(), *system_oom(kill.process, kill.pid))

    # -- running -----------------------------------------------------------------------------------------------

    def register(self) -> None:
        """Make the node known, before anything runs."""
        self._status.start(cgroup_v1=self._accounting == "v1")

    async def run(self) -> None:
        """Serve the node until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._loops = tasks.create_task(self._run_loops(), name=f"kubelet loops {self.name}")
            tasks.create_task(self._heartbeat(), name=f"virt-handler heartbeat {self.name}")
            tasks.create_task(self._follow(tasks), name=f"kubelet watch {self.name}")

    async def _run_loops(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._manager.run(), name=f"eviction manager {self.name}")
            if self._restarts:
                # The first status after a restart tells what the first pass found (seen: pressure at once).
                await asyncio.sleep(self._timing.sandbox)
                self.register()
            tasks.create_task(self._report(), name=f"node status {self.name}")

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            pause = self._status.next_tick(self._timing.status_period, self._timing.status_jitter)
            await sleep_until(
                loop.time() + pause, what="node status", late=self._timing.late, notes=self._notes
            )
            self._status.tick()

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._timing.heartbeat)
            self._status.heartbeat()

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        async with self._store.subscribe(PODS, VMIS) as changes:
            async for change in changes:
                if change.resource == PODS:
                    if change.object["spec"].get("nodeName") == self.name:
                        self._pod_changed(change.type, change.object, tasks)
                elif (
                    change.type != "DELETED" and change.object.get("status", {}).get("nodeName") == self.name
                ):
                    self._vmi_changed(change.object, tasks)

    def _pod_changed(self, what: str, pod: Object, tasks: asyncio.TaskGroup) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if what == "DELETED":
            if worker is not None:
                worker.gone()
                if worker.finished:
                    del self._workers[uid]
            return
        if worker is None:
            self._take(pod, tasks)
        elif pod["metadata"].get("deletionTimestamp"):
            if worker.finished:
                self._remove(pod)
            else:
                worker.terminate(int(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
        else:
            worker.write_status()

    def _take(self, pod: Object, tasks: asyncio.TaskGroup) -> None:
        """Start a pod that is new here, or refuse it."""
        if pod.get("status", {}).get("phase") in TERMINAL or pod["metadata"].get("deletionTimestamp"):
            if pod["metadata"].get("deletionTimestamp"):
                self._remove(pod)
            return
        self._addresses += 1
        around = Surroundings(
            store=self._store,
            clock=self._clock,
            recorder=self._recorder,
            timing=self._timing,
            node=self.node,
            host_address=self._identity.address,
            group_kill=kills_groups(self._accounting, self.configuration),
        )
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        worker = PodWorker(
            around,
            pod,
            pod_shape(
                pod,
                capacity=self.node.capacity,
                swap=self.node.swap,
                behavior=swap_behavior(self.configuration),
            ),
            address=f"10.244.{self._identity.address.rsplit('.', 1)[-1]}.{self._addresses % 250 + 2}",
        )
        others = [other.spec for other in self._workers.values() if not other.killed]
        self._workers[uid] = worker
        verdict = refuse(
            pod,
            others=others,
            cpu_milli=1000 * self._identity.cpus,
            allocatable=self.memory.allocatable,
            conditions=self._manager.conditions,
        )
        if verdict is None:
            tasks.create_task(self._work(worker), name=f"pod {name}")
            tasks.create_task(self.statistics.follow(worker), name=f"statistics {name}")
        else:
            self._refuse(worker, pod, verdict)

    async def _work(self, worker: PodWorker) -> None:
        await worker.run()
        if worker.removed and self._workers.get(worker.uid) is worker:
            del self._workers[worker.uid]

    def _refuse(self, worker: PodWorker, pod: Object, verdict: Verdict) -> None:
        self._recorder.event(pod, "Warning", verdict.reason, verdict.message)
        worker.fail(verdict)

    def _remove(self, pod: Object) -> None:
        metadata = pod["metadata"]
        with suppress(NotFound):
            self._store.remove(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    def _vmi_changed(self, vmi: Object, tasks: asyncio.TaskGroup) -> None:
        uid = vmi["metadata"]["uid"]
        worker = next(
            (w for pod in vmi["status"].get("activePods") or {} if (w := self._workers.get(pod))), None
        )
        if worker is None:
            return
        if vmi["metadata"].get("deletionTimestamp"):
            worker.changed.notify()
        if vmi["status"].get("phase") == "Scheduled" and uid not in self._handled:
            self._handled.add(uid)
            tasks.create_task(
                self._handler.run_vmi(vmi, worker, configuration=self._kubevirt()),
                name=f"vmi {vmi['metadata']['name']}",
            )

    # -- making ------------------------------------------------------------------------------------------------

    def _random(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {self.name} {what} {self._restarts}")

    def _make_manager(self) -> EvictionManager:
        return EvictionManager(
            configuration=self.configuration,
            statistics=self.statistics,
            capacity=self.node.capacity,
            kubepods_limit=self.memory.kubepods_limit,
            workers=lambda: self.workers,
            node=self._status.reference,
            recorder=self._recorder,
            clock=self._clock,
            timing=self._timing,
            rng=self._random("eviction"),
            notes=self._notes,
        )

    def _make_status(self) -> NodeStatus:
        return NodeStatus(
            store=self._store,
            clock=self._clock,
            recorder=self._recorder,
            identity=self._identity,
            memory=self.memory,
            swap=self.node.swap,
            conditions=lambda: self._manager.conditions,
            rng=self._random("status"),
        )
