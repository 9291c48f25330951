"""One kind cluster for as many runs as have its shape: made, or found again, and deleted in every way out.

What deletes a cluster is an undo entry, written before the cluster is made: closing the undo file does it, also
after an error or Ctrl-C, and `density clean` after a kill. A kept cluster has no such entry; its nodes are put back.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import structlog

from harness.cluster import kubevirt_manifests
from harness.cluster.base import Undo
from harness.cluster.errors import ClusterError
from harness.cluster.kind import config as kind_config
from harness.cluster.kind import live as living
from harness.cluster.kind.engine import Info
from harness.cluster.kind.installing import provide
from harness.cluster.kind.live import Live
from harness.cluster.kind.making import (
    MakeAgent,
    archives_in,
    build_agent,
    nodes_ready,
    scratch_directory,
    write_kubeconfig,
)
from harness.cluster.kind.names import Claim, names, shape_hash, state_directory
from harness.cluster.kind.node import Node
from harness.cluster.kind.processes import CallError
from harness.cluster.kind.settings import KindSettings
from harness.cluster.kind.tools import Tools, check, few_watches
from harness.cluster.kind.working_kvm import why_no_kvm
from harness.kube import config as kube_config
from harness.kube.connection import connect
from harness.kube.errors import KubeError
from harness.kube.node import version
from harness.kube.objects import Objects
from harness.resources import data_dir
from harness.units import Bytes
from workloads.image.oci import Archive

NODES_READY = 180.0
"""Seconds for new nodes to be Ready: the network plugin's image is in the node image, starting it takes ~20."""
HEALTHY_AGAIN = 60.0
"""Seconds for nodes to be Ready again between runs: the kubelet's restart and one node-monitor period (40 s)."""
ANSWERS = 20.0
"""Seconds for a found cluster's API to answer, else it is taken for broken and made anew."""
INSTALLED = "installed"
"""Value of `kubevirt_manifests` for a cluster that brings its own."""

_log = structlog.get_logger(__name__)


def _silent(text: str) -> None:
    _log.info(text)


class Pool:
    """Holds at most one cluster. `undo` must outlive all runs that use it. Not tied to an event loop."""

    def __init__(
        self,
        settings: KindSettings,
        *,
        undo: Undo,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = _silent,
        agent: MakeAgent = build_agent,
    ) -> None:
        self.settings = settings
        self.progress = progress
        self._undo = undo
        self._agent = agent
        self._environment = dict(os.environ if environment is None else environment)
        self._live: Live | None = None
        self._keep = settings.keep
        """A cluster that was kept on purpose stays, whoever finds it."""
        self._spoilt = False
        """The cluster being closed is not worth keeping."""
        self._caution = ""
        """What may be behind a failure to come up."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # -- taking and leaving --------------------------------------------------------------------------------------------

    async def acquire(self, *, workers: int) -> Live:
        """Return a cluster with at least so many workers. Raises ClusterError; nothing is left of a failed attempt."""
        wanted = max(workers, self.settings.workers)
        if self._live is not None:
            ill = (
                await self._ill(self._live) if len(self._live.nodes) >= workers else "it has too few workers"
            )
            if not ill:
                return self._live
            self.progress(f"cluster {self._live.name} can't be used again: {ill}; making another")
            keep, self._spoilt = self._spoilt, True
            await self.close()
            self._spoilt = keep
        self._live = await self._bring_up(wanted)
        return self._live

    async def close(self) -> None:
        """Delete the cluster, or put its nodes back if it is kept. Idempotent. Raises ClusterError."""
        live, self._live = self._live, None
        if live is None:
            return
        try:
            if self._keep and not self._spoilt:
                for node in live.nodes:
                    await node.restore()
            else:
                self.progress(f"deleting cluster {live.name}")
                await self._delete(live.tools, live.claim)
        except CallError as error:
            raise ClusterError(f"cluster {live.name}: {error}") from error
        finally:
            live.claim.release()

    async def _ill(self, live: Live) -> str:
        """Say why a cluster that was used is not fit for another run; '' if it is. An OOM kill may take a node along."""
        try:
            containers = await live.engine.containers(live.name)
            dead = sorted(c.name for c in containers if not c.running)
            if dead:
                return f"{', '.join(dead)} does not run any more"
            async with connect(live.kubeconfig) as connection:
                await nodes_ready(connection, len(live.ids), seconds=HEALTHY_AGAIN)
        except ClusterError as error:
            return str(error)
        return ""

    async def export_logs(self, into: Path | None = None) -> Path | None:
        """Save the nodes' logs; where, or None if that failed. Never raises for the cluster's faults."""
        live = self._live
        if live is None:
            return None
        return await self._save_logs(live.tools, live.name, into)

    # -- bringing up ---------------------------------------------------------------------------------------------------

    async def _bring_up(self, workers: int) -> Live:
        settings = self.settings
        self._keep = settings.keep
        tools = Tools.find(settings, self._environment)
        info = await check(tools)
        self._caution = few_watches(tools)
        if self._caution:
            self.progress(self._caution)
        self.progress("reading KubeVirt's manifests")
        manifests = (
            None
            if settings.kubevirt_manifests == INSTALLED
            else await kubevirt_manifests.load_manifests(settings.kubevirt_manifests)
        )
        template = kind_config.load(
            Path(settings.config) if settings.config else data_dir("kind-config") / "cluster.yaml"
        )
        self.progress("building the guest image")
        guest, agent = await self._agent()
        shape = {
            "schema": 1,
            "engine": tools.engine.flavour,
            "address": tools.engine.identity,
            "image": settings.image,
            "workers": workers,
            "config": template,
            "kubevirt": manifests.digest if manifests else INSTALLED,
            "emulation": settings.emulation,
        }
        claim, known = await self._claim(tools, shape)
        try:
            async with self._or_nothing(tools, claim):
                if not known:
                    await self._create(tools, info, claim, template, shape, workers)
                live = await self._settle(tools, info, claim, agent)
                why = await why_no_kvm(live.facts, local=not tools.engine.host, image=guest)
                emulation = {"auto": bool(why), "yes": True, "no": False}[settings.emulation]
                live.emulation, live.why_no_kvm, live.agent = emulation, why, guest.agent
                await provide(live, manifests, settings=self.settings, progress=self.progress)
                claim.note({**shape, "complete": True, "kept": settings.keep})
        except BaseException:
            claim.release()
            raise
        return live

    async def _claim(self, tools: Tools, shape: Mapping[str, Any]) -> tuple[Claim, bool]:
        """Take the first free name of this shape; True if a whole cluster of that name is there."""
        directory = state_directory(self._environment)
        try:
            existing = await tools.clusters()
        except CallError as error:
            raise ClusterError(str(error)) from error
        for name in names(shape):
            claim = Claim.take(name, directory)
            if claim is None:
                continue
            try:
                if name not in existing:
                    claim.forget()
                    self._promise(tools, claim)
                    return claim, False
                if await self._usable(tools, claim, shape):
                    self.progress(f"using cluster {name} again")
                    self._keep = self.settings.keep or bool(claim.noted().get("kept"))
                    self._promise(tools, claim)
                    return claim, True
                _refuse_foreign(claim)
                self.progress(f"cluster {name} is not whole; making it anew")
                self._promise(tools, claim)
                await self._delete(tools, claim)
            except CallError as error:
                claim.release()
                raise ClusterError(f"cluster {name}: {error}") from error
            except BaseException:
                claim.release()
                raise
            return claim, False
        raise ClusterError(
            f"all {len(names(shape))} clusters of shape {shape_hash(shape)} are in use by other harnesses"
        )

    async def _usable(self, tools: Tools, claim: Claim, shape: Mapping[str, Any]) -> bool:
        noted = claim.noted()
        if not noted.get("complete") or any(noted.get(key) != value for key, value in shape.items()):
            return False
        containers = await tools.engine.containers(claim.name)
        if not containers or not all(container.running for container in containers):
            return False
        try:
            write_kubeconfig(claim, await tools.kubeconfig(claim.name), host=self._host(tools))
            async with asyncio.timeout(ANSWERS), connect(claim.kubeconfig) as connection:
                await version(Objects(connection, patience=ANSWERS))
        except (KubeError, TimeoutError, CallError):
            return False
        return True

    def _host(self, tools: Tools) -> str:
        return self.settings.api_address or tools.engine.host

    def _promise(self, tools: Tools, claim: Claim) -> None:
        """Write down that the cluster is to be deleted, before it is made."""
        if self._keep:
            return
        self._undo(
            {
                "op": "kind-delete",
                "target": claim.name,
                "kind": tools.kind,
                "engine": tools.engine.program,
                "environment": tools.engine.address,
            }
        )

    @asynccontextmanager
    async def _or_nothing(self, tools: Tools, claim: Claim) -> AsyncIterator[None]:
        """Leave no cluster behind if what is inside fails; save its logs first. Kept ones stay, once they were whole."""
        try:
            yield
        except BaseException as error:
            saved = await self._save_logs(tools, claim.name) if isinstance(error, ClusterError) else None
            if not (self._keep and claim.noted().get("complete")):
                # cancellation must not keep us from it; the undo entry is there if even this is cut short
                cleaning = asyncio.ensure_future(self._delete(tools, claim))
                try:
                    await asyncio.shield(cleaning)
                except CallError as failed:
                    _log.warning("cluster not deleted", cluster=claim.name, why=str(failed))
            if saved is not None:
                caution = f"; {self._caution}" if self._caution else ""
                raise ClusterError(f"{error}{caution} (logs of the nodes: {saved})") from error
            raise

    async def _create(
        self,
        tools: Tools,
        info: Info,
        claim: Claim,
        template: Mapping[str, Any],
        shape: Mapping[str, Any],
        workers: int,
    ) -> None:
        document = kind_config.build(
            template,
            name=claim.name,
            shape=shape_hash(shape),
            workers=workers,
            cgroup=info.cgroup,
            api_address=living.published_on(self._host(tools)),
        )
        claim.note({**shape, "complete": False, "kept": False, "created": time.time()})
        self.progress(f"creating cluster {claim.name} (1 control plane, {workers} workers)")
        claim.kubeconfig.unlink(missing_ok=True)  # pytest-kind would read an old one
        with scratch_directory() as scratch:
            path = scratch / "cluster.yaml"
            path.write_text(kind_config.dump(document), encoding="utf-8")
            await tools.blocking(
                "create",
                name=claim.name,
                kubeconfig=claim.kubeconfig,
                scratch=scratch,
                seconds=self.settings.create_timeout,
                config=str(path),
                image=self.settings.image,
            )
        write_kubeconfig(claim, claim.kubeconfig.read_text(encoding="utf-8"), host=self._host(tools))

    async def _settle(self, tools: Tools, info: Info, claim: Claim, agent: Archive) -> Live:
        """Wait for the nodes, load images, and find out what there is."""
        nodes = {"control-plane", "worker"}  # a load balancer of several control planes is a container too
        containers = [c for c in await tools.engine.containers(claim.name) if c.role in nodes]
        workers = sorted((c.name for c in containers if c.role == "worker"), key=living.worker_order)
        if not workers:
            raise ClusterError(f"cluster {claim.name} has no worker")
        kubeconfig = kube_config.load(claim.kubeconfig)
        self.progress("waiting for the nodes to be Ready")
        async with connect(kubeconfig) as connection:
            marked = await nodes_ready(connection, len(containers), seconds=NODES_READY)
            served = await version(Objects(connection))
        self.progress("loading images into the nodes")
        await tools.load(claim.name, agent.path, tuple(workers))
        if self.settings.kubevirt_images:
            for archive in archives_in(self.settings.kubevirt_images):
                await tools.load(claim.name, archive)
        machine = Bytes(info.memory)
        return Live(
            tools=tools,
            info=info,
            claim=claim,
            kubeconfig=kubeconfig,
            nodes=tuple(
                Node(name, engine=tools.engine, undo=self._undo_nodes, machine=machine) for name in workers
            ),
            ids={container.id: container.name for container in containers},
            image=agent.image,
            facts=await living.facts(tools.engine, workers[0]),
            notes={"node-image": containers[0].image or self.settings.image},
            versions={"kubernetes": str(served.get("gitVersion", ""))},
            evidence="predicted" if marked or "embedded" in str(served.get("gitVersion")) else "real",
        )

    def _undo_nodes(self, entry: Mapping[str, Any]) -> None:
        # the nodes of a cluster that is deleted need not be put back
        if self._keep:
            self._undo(entry)

    # -- taking down ---------------------------------------------------------------------------------------------------

    async def _delete(self, tools: Tools, claim: Claim) -> None:
        with scratch_directory() as scratch:
            # kind writes the kubeconfig it is given; ours may be half-made
            await tools.delete(claim.name, scratch / "kubeconfig", scratch)
        claim.forget()

    async def _save_logs(self, tools: Tools, name: str, into: Path | None = None) -> Path | None:
        root = Path(self.settings.logs) if self.settings.logs else Path("runs")
        target = into or root / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{name}-logs"
        with suppress(CallError, OSError):
            if name in await tools.clusters():
                await tools.export_logs(name, target)
                return target
        return None


def _refuse_foreign(claim: Claim) -> None:
    if not claim.noted():
        raise ClusterError(
            f"a kind cluster {claim.name} exists that this harness has not made: "
            f"kind delete cluster --name {claim.name}"
        )
