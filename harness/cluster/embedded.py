"""Clusters whose control plane and kubelets are our own: what `local` and `model` have in common.

The machine under them differs; a subclass says which.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Literal, Self, cast

from harness.cluster.base import Daemon, Evidence, HostRequest, NodeHandle, NodeRequest, Reading
from harness.cluster.errors import NODE_MEMORY, ClusterError, NotObservable
from harness.cluster.probe import Probe, note
from harness.embedded.cluster import EmbeddedCluster
from harness.embedded.kubelet.guests import DEAF, NONCE
from harness.embedded.kubelet.timing import Timing
from harness.embedded.kubevirt import KUBEVIRT_NAME, KUBEVIRT_NAMESPACE
from harness.embedded.machine.base import DiskRead, Machine, Node, OomKill, ReadsDisks
from harness.embedded.machine.errors import HostLack, MachineError
from harness.embedded.running import RunningPod
from harness.kube.connection import connect
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.kube.resources import KUBEVIRTS
from harness.rules.errors import RulesError
from harness.units import GIB, MIB, Bytes

DEFAULT_COLUMN = "main"
DEFAULT_MEMORY = GIB
"""Size of a node whose scenario names none: there is no 'as it is' on a machine that is not a cluster."""


class EmbeddedSource:
    """One embedded cluster. Subclasses open the machine and say how much of it there is."""

    kind: Literal["local", "kind", "kubeconfig", "model"]
    evidence: Evidence
    disposable = True

    def __init__(self, *, column: str | None = None, seed: int = 1, timing: Timing | None = None) -> None:
        self._column = column or DEFAULT_COLUMN
        self._seed = seed
        self._timing = timing
        self._stack = AsyncExitStack()
        self._told: deque[Reading] = deque()
        self._nodes: dict[str, Node] = {}

    async def open_machine(self) -> Machine:
        """Return the machine, not entered yet. Raises ClusterError, MachineError."""
        raise NotImplementedError

    def size(self) -> Bytes | None:
        """Memory there is for nodes, None: any amount."""
        return None

    # -- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            self.machine = await self.open_machine()
            await self._stack.enter_async_context(self.machine)
            self.embedded = EmbeddedCluster(
                self.machine, column=self._column, seed=self._seed, timing=self._timing, notes=self._note
            )
            await self._stack.enter_async_context(self.embedded)
        except (MachineError, RulesError, OSError) as error:
            await self._stack.aclose()
            raise ClusterError(str(error)) from error
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        kind, error, trace = cast(
            "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]",
            exc or (None, None, None),
        )
        try:
            await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as errors:
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            if first is error or not isinstance(first, Exception):
                raise
            raise ClusterError(f"the embedded cluster failed: {type(first).__name__}: {first}") from errors

    def _note(self, what: str, text: str, data: Mapping[str, Any]) -> None:
        # `seconds` is what the judge looks for: by how much this may have spoilt a measurement.
        self._told.append(note(what, text, **{"seconds": data.get("late", 0.0), **data}))

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Mapping[str, Any]:
        """A kubeconfig document for the embedded API server."""
        return self.embedded.kubeconfig

    @property
    def qualifiers(self) -> Mapping[str, str]:
        """Kernel, QEMU, guest kernel, accelerator, cgroup version, and what is played."""
        versions = self.embedded.versions
        return {
            **self.machine.qualifiers,
            "kubernetes": versions["kubernetes"],
            "kubevirt": f"{versions['kubevirt']} ({versions['kubevirtColumn']} played)",
        }

    @property
    def versions(self) -> Mapping[str, str]:
        """`kubernetes`, `kubevirt`, `kubevirtColumn`."""
        return self.embedded.versions

    def capabilities(self) -> Mapping[str, str]:
        """What this machine can show, or why not."""
        return {**self.machine.capabilities(), NODE_MEMORY: "yes"}

    # -- setting it ----------------------------------------------------------------------------------------------------

    async def prepare_nodes(self, nodes: tuple[NodeRequest, ...]) -> tuple[NodeHandle, ...]:
        """Make the nodes. Raises NotObservable where the machine is too small, ClusterError otherwise."""
        total = sum(node.memory or DEFAULT_MEMORY for node in nodes)
        size = self.size()
        if size is not None and total > size:
            why = f"nodes of {total // MIB} MiB do not fit this machine, which has {size // MIB} MiB"
            raise NotObservable(why, lacks=NODE_MEMORY)
        handles: list[NodeHandle] = []
        for node in nodes:
            memory = node.memory or DEFAULT_MEMORY
            try:
                name = await self.embedded.add_node(node.name, memory, node.kubelet)
            except HostLack as error:
                raise NotObservable(str(error), lacks=NODE_MEMORY) from error
            except (MachineError, RulesError, OSError) as error:
                raise ClusterError(f"node {node.name}: {error}") from error
            self._nodes[name] = self.embedded.node(name)
            handles.append(NodeHandle(name=node.name, kube_name=name, memory=memory))
        return tuple(handles)

    async def apply_host(self, request: HostRequest) -> None:
        """Set KSM and swap of the machine until it closes. Raises NotObservable where it has none, ClusterError."""
        apply = getattr(self.machine, "apply_host", None)
        if apply is None:
            raise NotObservable("the machine under this cluster has no KSM or swap of its own")
        # Only a machine that is a real one has settings; simulated ones don't import its module.
        from harness.embedded.machine.linux.host import HostSettings  # noqa: PLC0415
        from harness.embedded.machine.linux.swap import SwapSettings  # noqa: PLC0415

        swap = None
        if request.swap_kind is not None and request.swap_size is not None:
            swap = SwapSettings(size=request.swap_size, kind=request.swap_kind)
        # one at a time: what is lacking then has a name
        for name, settings in (
            ("swap", HostSettings(swap=swap)),
            ("ksm", HostSettings(ksm=dict(request.ksm))),
        ):
            try:
                await apply(settings)
            except HostLack as error:
                raise NotObservable(str(error), lacks=name) from error
            except (MachineError, OSError) as error:
                raise ClusterError(str(error)) from error
        if request.ksm_by is not None:
            self.embedded.ksm.write = self._handle_ksm

    async def _handle_ksm(self, node: str, files: Mapping[str, str], told: Mapping[str, Any]) -> None:
        """Let virt-handler set KSM of the machine, and record that it does. Raises MachineError."""
        from harness.embedded.machine.linux.host import HostSettings  # noqa: PLC0415

        fields = {"what": "ksm-handler", "target": node, "args": {"ksm": dict(files), **told}}
        self._told.append(Reading(stream="action", fields=fields))
        await cast("Any", self.machine).apply_host(HostSettings(ksm=dict(files)))

    async def start_daemon(self, node: NodeHandle, name: str) -> Daemon:
        """Start a process of the node's own. Raises NotObservable where the machine has no processes, ClusterError."""
        start = getattr(self._nodes[node.kube_name], "start_daemon", None)
        if start is None:
            raise NotObservable("the machine under this cluster has no processes of its own")
        try:
            return cast("Daemon", await start(name))
        except (MachineError, OSError) as error:
            raise ClusterError(str(error)) from error

    def places(self) -> tuple[str, ...]:
        """Cgroup directories of the nodes, where the machine has any."""
        groups = (getattr(node, "group", None) for node in self._nodes.values())
        return tuple(str(group.path) for group in groups if group is not None)

    async def configure_kubevirt(self, configuration: Mapping[str, Any]) -> None:
        """Merge into the KubeVirt CR's spec.configuration; the CR ends with the cluster."""
        if not configuration:
            return
        try:
            async with connect(self.kubeconfig) as connection:
                await Objects(connection).patch(
                    KUBEVIRTS,
                    KUBEVIRT_NAME,
                    {"spec": {"configuration": dict(configuration)}},
                    namespace=KUBEVIRT_NAMESPACE,
                )
        except KubeError as error:
            raise ClusterError(f"the KubeVirt configuration was refused: {error}") from error

    def guest_settings(self, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
        """Return annotations; the embedded machine turns them into kernel arguments."""
        annotations = {NONCE: nonce, **({DEAF: "1"} if deaf else {})}
        return {"metadata": {"annotations": annotations}}

    # -- seeing by it --------------------------------------------------------------------------------------------------

    def probe(self, nodes: tuple[NodeHandle, ...]) -> AsyncGenerator[Reading]:
        """Yield readings of all nodes until closed."""
        return Probe(self, self._told).readings()

    def nodes(self) -> Mapping[str, Node]:
        """Nodes to look at."""
        return self._nodes

    def pods(self) -> tuple[RunningPod, ...]:
        """Pods to look at."""
        return self.embedded.running.pods()

    def host(self) -> Mapping[str, Mapping[str, Any]] | None:
        """What the machine says of itself; None: it does not."""
        samples = getattr(self.machine, "host_samples", None)
        return None if samples is None else samples()

    def oom_kills(self) -> AsyncIterator[OomKill]:
        """Kills to report."""
        return self.machine.oom_kills()

    def disk_reads(self) -> AsyncIterator[DiskRead] | None:
        """Disks to report; None: guests of this machine have none."""
        return self.machine.disk_reads() if isinstance(self.machine, ReadsDisks) else None
