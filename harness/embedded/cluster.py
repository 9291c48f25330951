"""Store, API server, controllers and one kubelet per node, put together under one task group.

A controller that dies takes the cluster, and whoever is inside its `async with`, down with it: loudly, at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from harness.embedded.api.errors import NotFound
from harness.embedded.api.resources import KUBEVIRTS, NAMESPACES, NODES, PODS
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.control.admission import Admission
from harness.embedded.control.ksm_handler import KsmHandler
from harness.embedded.control.launcher import PRIORITIES
from harness.embedded.control.nodelifecycle import NodeLifecycle
from harness.embedded.control.scheduler import Scheduler
from harness.embedded.control.virt_controller import VirtController
from harness.embedded.control.vm_controller import VmController
from harness.embedded.kubelet.configz import effective
from harness.embedded.kubelet.kubelet import Kubelet
from harness.embedded.kubelet.status import MARKER, Identity
from harness.embedded.kubelet.timing import Timing
from harness.embedded.kubevirt import KUBEVIRT_NAME, KUBEVIRT_NAMESPACE, KUBEVIRT_VERSIONS, kubevirt_object
from harness.embedded.machine.base import Machine, Node, OomKill
from harness.embedded.notes import Notes, ignore
from harness.embedded.running import Running
from harness.rules.columns import column as find_column
from harness.rules.errors import RulesError
from harness.units import Bytes, Seconds

KUBERNETES_VERSION = "v1.36.2+density.embedded"
"""Whose behaviour is played; the suffix says that it is played."""
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", KUBEVIRT_NAMESPACE)


class EmbeddedCluster:
    """A cluster on one machine. `async with EmbeddedCluster(machine) as cluster`; the machine is open already.

    `column`: KubeVirt version whose behaviour is played. `configuration`: first `spec.configuration` of the KubeVirt
    CR. `cpus`: CPUs each node claims. `priorities`: PriorityClasses beside the built-in ones. `serve`: False leaves
    the HTTPS server out (the store alone). `epoch`: wall time to begin at (default: the machine's). Raises ColumnError.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        column: str = "main",
        seed: int = 1,
        timing: Timing | None = None,
        notes: Notes = ignore,
        configuration: Mapping[str, Any] | None = None,
        cpus: int | None = None,
        priorities: Mapping[str, int] | None = None,
        serve: bool = True,
        epoch: Seconds | None = None,
    ) -> None:
        self.machine = machine
        self.column = find_column(column).name
        self._seed, self._notes = seed, notes
        self._timing = timing or Timing()
        self._first = {
            "developerConfiguration": {"useEmulation": machine.accelerator != "kvm"},
            **(configuration or {}),
        }
        self._cpus = cpus or os.cpu_count() or 1
        self._priorities = {**PRIORITIES, **(priorities or {})}
        self._serve = serve
        self._epoch = epoch
        self._kubelets: dict[str, Kubelet] = {}
        self._tasks = asyncio.TaskGroup()
        self._running_tasks: dict[str, asyncio.Task[None]] = {}

    # -- life --------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.clock = Clock.synchronised() if self._epoch is None else Clock.starting_at(self._epoch)
        self.store = Store(clock=self.clock.moment, seed=self._seed)
        self.running = Running(self.store, self._kubelets)
        for name in _NAMESPACES:
            self.store.create(NAMESPACES, {"metadata": {"name": name}})
        self.store.create(
            KUBEVIRTS,
            kubevirt_object(self.column, self._first, now=self.clock.stamp()),
            namespace=KUBEVIRT_NAMESPACE,
        )
        admission = Admission(
            self.clock, column=self.column, configuration=self.kubevirt_configuration, seed=self._seed
        )
        self.admission = admission
        self.server = ApiServer(self.store, hooks=self.running, admission=admission)
        controller = VirtController(
            self.store,
            self.clock,
            column=self.column,
            version=self.kubevirt_version,
            configuration=self.kubevirt_configuration,
            priorities=self._priorities,
            seed=self._seed,
        )
        if self._serve:
            await self.server.start()
        await self._tasks.__aenter__()
        self._start("virt-controller", controller.run())
        vms = VmController(
            self.store, self.clock, admission=admission, recorder=controller.recorder, seed=self._seed
        )
        self._start("vm-controller", vms.run())
        self._start("scheduler", Scheduler(self.store, self.clock, seed=self._seed).run())
        self._start("node-lifecycle", NodeLifecycle(self.store, self.clock).run())
        self._start("oom watcher", self._watch_oom())
        self.ksm = KsmHandler(
            self.store,
            configuration=self.kubevirt_configuration,
            node=self.node,
            state=self._ksm_state,
            interval=self._timing.ksm,
        )
        self._start("ksm-handler", self.ksm.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for task in self._running_tasks.values():
                task.cancel()
            # An error of the body goes on as it is; only a dead controller makes a group of errors.
            cancelled = isinstance(error, asyncio.CancelledError)
            await self._tasks.__aexit__(*(kind, error, trace) if cancelled else (None, None, None))
        finally:
            for kubelet in self._kubelets.values():
                await kubelet.node.remove()
            await self.server.stop()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._running_tasks[name] = self._tasks.create_task(work, name=name)

    # -- nodes -------------------------------------------------------------------------------------------------

    async def add_node(
        self, name: str, memory: Bytes, kubelet_config: Mapping[str, Any] | None = None
    ) -> str:
        """Make a node of that size with a KubeletConfiguration fragment; return its name in the API.

        Raises RulesError where the kubelet would refuse to start, MachineError, ValueError for a name in use.
        """
        if name in self._kubelets:
            raise ValueError(f"node {name!r} is there already")
        fragment = kubelet_config or {}
        effective(fragment, capacity=memory, accounting=self.machine.accounting)
        node = await self.machine.create_node(name, memory)
        try:
            kubelet = Kubelet(
                store=self.store,
                clock=self.clock,
                node=node,
                accounting=self.machine.accounting,
                fragment=fragment,
                identity=self._identity(name),
                timing=self._timing,
                column=self.column,
                kubevirt=self.kubevirt_configuration,
                seed=self._seed,
                notes=self._notes,
            )
        except RulesError:  # it does not start with this node's swap
            await node.remove()
            raise
        self._kubelets[name] = kubelet
        kubelet.register()
        self._start(f"kubelet {name}", kubelet.run())
        return name

    async def remove_node(self, name: str) -> None:
        """Stop a node's kubelet, kill what runs there, forget it. Raises KeyError."""
        kubelet = self._kubelets.pop(name)
        task = self._running_tasks.pop(f"kubelet {name}")
        task.cancel()
        await asyncio.wait([task])
        await kubelet.node.remove()
        for pod in self.store.list(PODS)[0]:
            if pod["spec"].get("nodeName") == name:
                self.store.remove(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.store.remove(NODES, "", name)

    async def configure(self, name: str, kubelet_config: Mapping[str, Any]) -> None:
        """Restart a node's kubelet with another configuration. Raises KeyError, RulesError."""
        await self._kubelets[name].reconfigure(kubelet_config)

    def node(self, name: str) -> Node:
        """Return the machine's node. Raises KeyError."""
        return self._kubelets[name].node

    def kubelet(self, name: str) -> Kubelet:
        """Return a node's kubelet. Raises KeyError."""
        return self._kubelets[name]

    def _identity(self, name: str) -> Identity:
        return Identity(
            name=name,
            cpus=self._cpus,
            address=f"10.0.0.{len(self._kubelets) + 10}",
            kernel=self.machine.qualifiers.get("kernel", ""),
            kubelet_version=KUBERNETES_VERSION,
            runtime=f"embedded://{self.machine.qualifiers.get('qemu', '')}",
            identifier=hashlib.sha256(f"{self._seed} {name}".encode()).hexdigest()[:32],
            kvm=self.machine.accelerator == "kvm",
        )

    # -- KubeVirt ----------------------------------------------------------------------------------------------

    @property
    def kubevirt_version(self) -> str:
        """`observedKubeVirtVersion`."""
        return KUBEVIRT_VERSIONS[self.column]

    def kubevirt_configuration(self) -> Mapping[str, Any]:
        """Return the KubeVirt CR's present `spec.configuration`, {} if the CR was deleted."""
        try:
            cr = self.store.get(KUBEVIRTS, KUBEVIRT_NAMESPACE, KUBEVIRT_NAME)
        except NotFound:
            return {}
        found: Mapping[str, Any] = cr.get("spec", {}).get("configuration") or {}
        return found

    # -- for others --------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Mapping[str, Any]:
        """A kubeconfig document for the API server."""
        return self.server.kubeconfig

    @property
    def versions(self) -> Mapping[str, str]:
        """`kubernetes`, `kubevirt`, `kubevirtColumn`."""
        return {
            "kubernetes": KUBERNETES_VERSION,
            "kubevirt": self.kubevirt_version,
            "kubevirtColumn": self.column,
        }

    @property
    def marker(self) -> str:
        """The annotation that tells this cluster from a real one."""
        return MARKER

    def _ksm_state(self) -> Mapping[str, Any] | None:
        """Return KSM's knobs as the machine has them now; None where it has none of its own."""
        samples = getattr(self.machine, "host_samples", None)
        return None if samples is None else samples().get("ksm")

    async def _watch_oom(self) -> None:
        async for kill in self.machine.oom_kills():
            self._tell(kill)

    def _tell(self, kill: OomKill) -> None:
        for name, kubelet in self._kubelets.items():
            # Every kubelet on a machine reads the same kmsg: a global OOM is an event of each.
            if kill.node in {name, ""}:
                kubelet.oom(kill)
