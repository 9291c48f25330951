"""Cluster `kind`: one run's view of a cluster from the pool."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from harness.cluster.base import Daemon, Evidence, NodeHandle, NodeRequest, Reading, Undo
from harness.cluster.errors import NODE_MEMORY, ClusterError, NotObservable
from harness.cluster.kind import live as living
from harness.cluster.kind.allowance import requested
from harness.cluster.kind.daemon import KindDaemon
from harness.cluster.kind.live import Live
from harness.cluster.kind.node import KVM, Node, Sized
from harness.cluster.kind.observe import Observation
from harness.cluster.kind.pool import Pool
from harness.cluster.kind.processes import CallError
from harness.cluster.kind.settings import KindSettings
from harness.cluster.kubevirt import Configuration
from harness.kube.connection import connect
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.rules.quantities import parse_bytes
from harness.units import MIB, Bytes
from workloads.image.oci import INITRD_PATH, KERNEL_PATH

KERNEL_ARGS = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check 8250.nr_uarts=1 audit=0"
"""As suites/manifests/agent.yaml has them; nonce and deafness are added."""


CALM = {"evictionPressureTransitionPeriod": "30s"}
"""Unless a scenario says otherwise. A kubelet keeps MemoryPressure for 5 minutes by default, and a run ends only when
its nodes are well again."""


class KindCluster:
    """A run's kind cluster. `pool` None: one of its own, deleted at the end. `guests`: how many per node at most."""

    kind: Literal["local", "kind", "kubeconfig", "model"] = "kind"
    evidence: Evidence = "real"

    def __init__(
        self,
        settings: KindSettings | None = None,
        *,
        undo: Undo,
        run: str,
        workers: int = 1,
        guests: int = 0,
        pool: Pool | None = None,
    ) -> None:
        self._settings = settings or (pool.settings if pool else KindSettings.from_options(os.environ))
        self._undo = undo
        self._run = run
        self._workers = workers
        self._guests = guests
        self._column = self._settings.kubevirt_column
        self._pool = pool or Pool(self._settings, undo=undo)
        self._own = pool is None
        self.disposable = self._own and not self._settings.keep
        self._live: Live | None = None
        self._configuration: Configuration | None = None
        self._sizes: dict[str, str] = {}
        self._qualifiers: dict[str, str] = {}

    # -- life ----------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._live = live = await self._pool.acquire(workers=self._workers)
        self.evidence = live.evidence
        self._configuration = Configuration(undo=self._undo, kubeconfig=live.claim.kubeconfig)
        return self

    async def __aexit__(self, *exc: object) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        failed = bool(exc and isinstance(exc[1], Exception))
        try:
            if failed:
                await self._pool.export_logs()
            if self._configuration is not None and not (self._own and not self._settings.keep):
                async with connect(live.kubeconfig) as connection:
                    await self._configuration.restore(Objects(connection))
        except KubeError as error:
            raise ClusterError(f"the KubeVirt configuration was not restored: {error}") from error
        finally:
            if self._own:
                await self._pool.close()

    async def export_logs(self, into: Path) -> None:
        """Save the nodes' logs, after a run that failed."""
        await self._pool.export_logs(into)

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def address(self) -> Mapping[str, str]:
        """Where it is reached again when this process is gone: the file goes when the cluster does."""
        live = self.live
        context = str(live.kubeconfig.get("current-context") or "")
        return {"kubeconfig": str(live.claim.kubeconfig), "context": context}

    @property
    def live(self) -> Live:
        """The cluster. Raises ClusterError before it is up."""
        if self._live is None:
            raise ClusterError("the kind cluster is not up")
        return self._live

    @property
    def kubeconfig(self) -> Mapping[str, Any]:
        """A kubeconfig document."""
        return self.live.kubeconfig

    @property
    def qualifiers(self) -> Mapping[str, str]:
        """Badge: versions, kvm or tcg, cgroup version, engine, how nodes were sized."""
        live = self.live
        return {
            "kubernetes": live.versions.get("kubernetes", ""),
            "kubevirt": live.versions.get("kubevirt", ""),
            "accelerator": "tcg" if live.emulation else "kvm",
            "cgroup": live.facts.get("cgroup", ""),
            "kernel": live.facts.get("kernel", ""),
            "engine": f"{live.engine.flavour} {live.info.version}{', rootless' if live.info.rootless else ''}",
            **live.notes,
            **self._qualifiers,
        }

    @property
    def versions(self) -> Mapping[str, str]:
        """`kubernetes`, `kubevirt`, `kubevirtColumn`."""
        found = dict(self.live.versions)
        if self._column:
            found["kubevirtColumn"] = self._column
        return found

    def capabilities(self) -> Mapping[str, str]:
        """What kind can show, or why not."""
        return living.capabilities(self.live, self._sizes)

    # -- setting it ----------------------------------------------------------------------------------------------------

    async def prepare_nodes(self, nodes: tuple[NodeRequest, ...]) -> tuple[NodeHandle, ...]:
        """Size workers and set their kubelets. Raises NotObservable where the machine is too small, ClusterError."""
        live = self.live
        if len(nodes) > len(live.nodes):
            raise ClusterError(f"{len(nodes)} nodes are wanted and the cluster has {len(live.nodes)} workers")
        handles: list[NodeHandle] = []
        async with connect(live.kubeconfig) as connection:
            objects = Objects(connection, patience=0.0)
            for asked, node in zip(nodes, live.nodes, strict=False):
                request = replace(asked, kubelet={**CALM, **asked.kubelet})
                sized = await self._prepare(request, node, objects)
                handles.append(NodeHandle(name=request.name, kube_name=node.name, memory=sized.memory))
        return tuple(handles)

    async def _prepare(self, request: NodeRequest, node: Node, objects: Objects) -> Sized:
        memory = await self._with_allowance(request, node, objects)
        how: str = self._settings.node_size
        try:
            before = await node.offers(Objects(objects.connection, patience=10.0))
        except KubeError as error:
            raise ClusterError(f"node {node.name}: {error}") from error
        sized = await node.prepare(memory, request.kubelet, how=how)
        wrong = await node.verify(objects, sized, request.kubelet)
        if wrong and how == "auto":
            # the lesser method: the kubelet keeps the machine's size, its thresholds are moved instead
            sized = await node.prepare(memory, request.kubelet, how="threshold")
            sized = Sized(memory=sized.memory, method=sized.method, limited=sized.limited, why=wrong)
            wrong = await node.verify(objects, sized, request.kubelet)
        if wrong:
            raise ClusterError(f"node {node.name} has not the size asked for: {wrong}")
        await node.until_offered(objects, before, wanted=() if self.live.emulation else (KVM,))
        self._report(request, sized)
        return sized

    async def _with_allowance(self, request: NodeRequest, node: Node, objects: Objects) -> Bytes | None:
        """What a node's own daemons use or request comes on top of what the scenario asks for. Raises NotObservable."""
        if request.memory is None:
            return None
        settings = self._settings
        try:
            if settings.allowance == "auto":
                # used, so that the threshold is as far away; requested, so that the fleet finds as much room
                idle = max(await node.working_set(), await requested(objects, node.name))
            else:
                idle = parse_bytes(settings.allowance)
        except (CallError, KubeError) as error:
            raise ClusterError(f"node {node.name}: {error}") from error
        extra = idle + self._guests * parse_bytes(settings.guest_allowance)
        memory = Bytes(request.memory + -(-extra // MIB) * MIB)
        machine = self.live.info.memory
        if machine and memory > machine:
            raise NotObservable(
                f"node {request.name} of {memory // MIB} MiB ({extra // MIB} MiB for its daemons) is larger than the "
                f"engine's machine, which has {machine // MIB} MiB",
                lacks=NODE_MEMORY,
            )
        if memory != request.memory:
            self._qualifiers[f"node {request.name}"] = (
                f"{memory // MIB} MiB = {request.memory // MIB} MiB asked for + {(memory - request.memory) // MIB} MiB "
                "its daemons and launcher pods use beside the guests"
            )
        return memory

    def _report(self, request: NodeRequest, sized: Sized) -> None:
        if sized.method == "meminfo":
            text = "container limit and /proc/meminfo"
        elif sized.method == "threshold":
            text = "calibrated thresholds: capacity, percentages and oom_score_adj are the machine's"
        else:
            text = "as it is"
        if not sized.limited and sized.method == "threshold":
            text += "; no limit on its container, so the kernel's limit is the machine's"
        if sized.why:
            text += f" ({sized.why})"
        self._qualifiers["node-size"] = text
        if sized.method == "threshold":
            self._sizes["node-size"] = text

    async def start_daemon(self, node: NodeHandle, name: str) -> Daemon:
        """Start a process in the node's system.slice. Raises ClusterError."""
        if self.live.agent is None:
            raise ClusterError(f"daemon {name}: the guest image does not say where its agent is")
        return await KindDaemon.start(
            name, node=node.kube_name, engine=self.live.engine, agent=self.live.agent
        )

    async def configure_kubevirt(self, configuration: Mapping[str, Any]) -> None:
        """Merge into the CR's spec.configuration; put back on exit. Raises ClusterError."""
        assert self._configuration is not None
        async with connect(self.kubeconfig) as connection:
            await self._configuration.patch(Objects(connection), configuration)

    def guest_settings(self, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
        """A merge patch that boots the agent's kernel and initramfs in place of any disk, with nonce and deafness."""
        arguments = f"{KERNEL_ARGS} density.nonce={nonce}" + (" density.deaf=1" if deaf else "")
        container = {
            "image": self.live.image,
            "imagePullPolicy": "IfNotPresent",
            "kernelPath": KERNEL_PATH,
            "initrdPath": INITRD_PATH,
        }
        boot = {"container": container, "kernelArgs": arguments}
        return {"spec": {"domain": {"firmware": {"kernelBoot": boot}}}}

    # -- seeing by it --------------------------------------------------------------------------------------------------

    def probe(self, nodes: tuple[NodeHandle, ...]) -> AsyncGenerator[Reading]:
        """Yield readings of these nodes until closed."""
        live = self.live
        return Observation(
            engine=live.engine,
            nodes=tuple(handle.kube_name for handle in nodes),
            ids=live.ids,
            kubeconfig=live.kubeconfig,
            kmsg=live.facts.get("kmsg") == "yes",
        ).readings()
