"""The cluster source: connect, look, choose nodes, hold a fleet against quotas, change nothing without permission.

Node sizes are what they are. What a scenario asks of nodes is compared with what they have; where it differs the
scenario is not observable, with the reason, unless the user allows touching kubelets (`node_work`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, Self

from harness.cluster.base import Evidence, NodeHandle, NodeRequest, Reading, Undo
from harness.cluster.errors import (
    KUBELET_SETTINGS,
    KUBEVIRT_SETTINGS,
    NODE_MEMORY,
    ClusterError,
    NotObservable,
)
from harness.cluster.kubeconfig import guard, guest, node_work, quota, survey, undoing
from harness.cluster.kubeconfig.access import Access, review
from harness.cluster.kubeconfig.options import Options
from harness.cluster.kubeconfig.rights import Part
from harness.cluster.nodes import settings
from harness.cluster.probe import note
from harness.kube import node as kubelet
from harness.kube.config import Chosen, choose
from harness.kube.connection import connect
from harness.kube.errors import Forbidden, KubeError, NotFound
from harness.kube.objects import Objects
from harness.kube.resources import KUBEVIRTS, LIMIT_RANGES, RESOURCE_QUOTAS
from harness.units import MIB

SIZE_TOLERANCE = 0.05
"""Share by which a node may differ from the size a scenario asks: firmware and kernel take a few percent of a machine."""
NO_NODE_ACCESS = (
    "no access to the nodes of an existing cluster: only stats/summary shows them (--node-reader reads more)"
)
UNTOUCHED = "kubelets of an existing cluster are touched only with --allow-kubelet-config"


class KubeconfigCluster:
    """One existing cluster. `async with` looks at it and, on exit, restores what was changed in it."""

    kind: Literal["local", "kind", "kubeconfig", "model"] = "kubeconfig"
    disposable = False

    def __init__(self, options: Options, *, undo: Undo, run: str) -> None:
        self._options = options
        self._undo = undo
        self._run = run
        self._stack = AsyncExitStack()
        self._restore: Mapping[str, Any] | None = None
        self.namespace = options.namespace
        self.evidence: Evidence = "real"

    # -- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open(self) -> None:
        options = self._options
        try:
            self._chosen: Chosen = choose(options.kubeconfig, context=options.context)
            self._identity = guard.Identity(
                context=self._chosen.context,
                cluster=self._chosen.cluster,
                server=self._chosen.server,
                namespace=options.namespace or self._chosen.namespace,
            )
            meant = options.meant and options.context is not None
            guard.refuse(guard.suspicions(self._identity), self._identity, meant=meant)
            connection = await self._stack.enter_async_context(connect(self._chosen.document))
        except KubeError as error:
            raise ClusterError(str(error)) from error
        options.check()
        options.check_guest()
        self._objects = Objects(connection)
        # A first call that fails for good must say so soon, not after the patience of a run.
        self.survey = await survey.look(Objects(connection, patience=5.0), context=self._chosen.context)
        if self.survey.embedded:
            self.evidence = "predicted"  # the least there is: which of our clusters it is can't be told
        guard.refuse(guard.suspicious_nodes(self.survey.nodes), self._identity, meant=meant)
        parts: list[Part] = ["run", "node-stats"]
        parts += ["kubevirt-settings"] if options.patch_kubevirt else []
        parts += [] if options.namespace else ["namespaces"]
        parts += node_work.wanted(options)
        try:
            self.access: Access = await review(
                self._objects,
                namespace=options.namespace,
                kubevirt_namespace=self._kubevirt_namespace,
                parts=parts,
            )
        except* ClusterError as errors:
            raise errors.exceptions[0] from None
        except* KubeError as errors:
            raise survey.in_words(_first(errors), context=self._chosen.context) from errors
        if not options.namespace and not self.access.may("namespaces"):
            raise ClusterError(
                "RBAC denies making a namespace per run: name an existing one with --namespace, "
                "or grant it: density rbac --part namespaces | kubectl apply -f -"
            )
        node_work.insist(options, self.access)
        self._work = node_work.NodeWork(
            options, connection, undo=self._undo, run=self._run, address=self.address
        )

    async def __aexit__(self, *exc: object) -> None:
        try:
            try:
                await self._work.close()
            finally:
                if self._restore is not None:
                    await self._patch(self._restore, what="restored")
                    self._restore = None
        finally:
            await self._stack.aclose()

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Mapping[str, Any]:
        """The document with the chosen context as its current one."""
        return self._chosen.document

    @property
    def address(self) -> Mapping[str, str]:
        """How to reach it again after this process is gone; a document can't be named."""
        return undoing.address(self._chosen)

    @property
    def qualifiers(self) -> Mapping[str, str]:
        """Versions, kernel and accelerator, as far as the API tells."""
        info = [(node.get("status") or {}).get("nodeInfo") or {} for node in self.survey.nodes]
        kernels = sorted({str(i["kernelVersion"]) for i in info if i.get("kernelVersion")})
        return {
            "kubernetes": self.survey.kubernetes,
            "kubevirt": self.survey.kubevirt_version,
            "kernel": ", ".join(kernels),
            "accelerator": "tcg" if self.survey.emulated else "kvm",
            **({"guest": guest.qualifier(self._options.guest_disk)} if self._options.guest_disk else {}),
            **{f"node {name}": text for name, text in self._work.sizes.items()},
            **({"node-reader": self._options.node_reader_image} if self._work.reads else {}),
        }

    @property
    def versions(self) -> Mapping[str, str]:
        """`kubernetes`, `kubevirt`, `kubevirtColumn`."""
        column = self.survey.column
        return {
            "kubernetes": self.survey.kubernetes,
            "kubevirt": self.survey.kubevirt_version,
            **({"kubevirtColumn": column} if column else {}),
        }

    def capabilities(self) -> Mapping[str, str]:
        """What can be seen and done here, or why not."""
        return {
            "cgroup-write": NO_NODE_ACCESS,
            "cgroup-v2": NO_NODE_ACCESS,
            "ksm": NO_NODE_ACCESS,
            "swap": NO_NODE_ACCESS,
            "kmsg": "yes" if self._options.node_reader else NO_NODE_ACCESS,
            "oom-adj-negative": NO_NODE_ACCESS,
            "kvm": "KubeVirt uses emulation here" if self.survey.emulated else "yes",
            "node-stats": "yes" if self.access.may("node-stats") else "RBAC denies get nodes/proxy",
            "node-size": next(iter(self._work.sizes.values()), "yes"),
            # Whether settings are lacking is known only when they are asked for and differ.
            **({KUBELET_SETTINGS: "yes"} if self._options.allow_kubelet_config else {}),
            **({KUBEVIRT_SETTINGS: "yes"} if self.access.may("kubevirt-settings") else {}),
        }

    # -- setting it --------------------------------------------------------------------------------------------------

    async def prepare_nodes(self, nodes: tuple[NodeRequest, ...]) -> tuple[NodeHandle, ...]:
        """Choose nodes that are as asked. Raises NotObservable where none is, ClusterError for a bad choice."""
        chosen = survey.choose(self.survey.nodes, [node.name for node in nodes], named=self._options.nodes)
        handles: list[NodeHandle] = []
        for request in nodes:
            node = chosen[request.name]
            name, size = str(node["metadata"]["name"]), survey.capacity(node)
            calibrate = self._options.allow_kubelet_config and self._is_another_size(request, size)
            if request.memory is not None and not calibrate:
                self._size(request, name, size)
            if self._options.allow_kubelet_config:
                if request.kubelet or calibrate:
                    await self._work.kubelet(request, name, capacity=size, calibrate=calibrate)
            elif request.kubelet:
                await self._settings(request, name)
            handles.append(NodeHandle(name=request.name, kube_name=name, memory=size))
        await self._work.read(frozenset(handle.kube_name for handle in handles))
        return tuple(handles)

    @staticmethod
    def _is_another_size(request: NodeRequest, size: int) -> bool:
        return (
            request.memory is not None
            and request.size_matters
            and abs(size - request.memory) > SIZE_TOLERANCE * request.memory
        )

    def _size(self, request: NodeRequest, name: str, size: int) -> None:
        assert request.memory is not None
        if self._is_another_size(request, size):
            raise NotObservable(
                f"node {request.name} is to have {request.memory // MIB} MiB, {name} has {size // MIB}: nodes of an "
                f"existing cluster are as they are (--set nodes.{request.name}.memory=… writes for this size)",
                lacks=NODE_MEMORY,
            )
        if size < request.memory * (1 - SIZE_TOLERANCE):
            raise NotObservable(
                f"node {request.name} needs {request.memory // MIB} MiB, the largest usable node has {size // MIB}",
                lacks=NODE_MEMORY,
            )

    async def _settings(self, request: NodeRequest, name: str) -> None:
        if not self.access.may("node-stats"):
            raise NotObservable(
                f"the kubelet of {name} is to have settings of its own, and RBAC denies get nodes/proxy: "
                "they can't even be compared",
                lacks=KUBELET_SETTINGS,
            )
        try:
            there = await kubelet.configz(self._objects, name)
        except KubeError as error:
            raise NotObservable(f"configz of {name}: {error}") from error
        if wrong := settings.kubelet_differing(request.kubelet, there):
            path, asked, has = wrong[0]
            raise NotObservable(
                f"the kubelet of {name} has {path}: {_shown(has)}, the scenario asks {_shown(asked)}: {UNTOUCHED}",
                lacks=KUBELET_SETTINGS,
            )

    async def configure_kubevirt(self, configuration: Mapping[str, Any]) -> None:
        """Patch the KubeVirt CR if that is allowed and needed; restored on exit. Raises NotObservable."""
        wrong = settings.differing(configuration, self.survey.configuration, settings.KUBEVIRT_DEFAULTS)
        if not wrong:
            return
        path, asked, has = wrong[0]
        if not self.access.may("kubevirt-settings"):
            raise NotObservable(
                f"KubeVirt has {path}: {_shown(has)}, the scenario asks {_shown(asked)}: the KubeVirt CR is patched only "
                "with --patch-kubevirt and the right to",
                lacks=KUBEVIRT_SETTINGS,
            )
        back = settings.restoring(self.survey.configuration, configuration)
        if self._chosen.files:
            self._undo(
                {
                    "op": "kubectl-patch",
                    **self.address,
                    "target": f"KubeVirt {self._kubevirt_namespace}/{self._kubevirt_name}",
                    "namespace": self._kubevirt_namespace,
                    "name": self._kubevirt_name,
                    "patch": {"spec": {"configuration": back}},
                }
            )
        self._restore = back
        await self._patch(configuration, what="patched")

    async def _patch(self, configuration: Mapping[str, Any], *, what: str) -> None:
        patch = {"spec": {"configuration": dict(configuration)}}
        try:
            await self._objects.patch(
                KUBEVIRTS, self._kubevirt_name, patch, namespace=self._kubevirt_namespace
            )
        except KubeError as error:
            raise ClusterError(f"the KubeVirt configuration was not {what}: {error}") from error

    def guest_settings(self, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
        """Return what makes a VMI's guest ours: the agent's image, or a stock disk with cloud-init."""
        if self._options.guest_disk:
            return guest.with_disk(self._options.guest_disk, nonce=nonce, deaf=deaf)
        return guest.with_agent(self._options.agent_image, nonce=nonce, deaf=deaf)

    @property
    def guest_lacks(self) -> Mapping[str, str]:
        """Verb → why guests can't do it."""
        return guest.lacks(self._options.guest_disk) if self._options.guest_disk else {}

    # -- sharing it with others ----------------------------------------------------------------------------------------

    async def admit(self, namespace: str, fleet: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Hold a fleet's manifests against the namespace's quotas; return what is worth a note.

        Raises ClusterError when it can't fit. What may not be read is not checked, and that is a note.
        """
        try:
            quotas, _ = await self._objects.list_all(RESOURCE_QUOTAS, namespace=namespace)
            limits, _ = await self._objects.list_all(LIMIT_RANGES, namespace=namespace)
        except (Forbidden, NotFound) as error:
            return (f"quotas are not checked: {error}",)
        except KubeError as error:
            raise ClusterError(f"quotas of namespace {namespace}: {error}") from error
        asked = quota.wanted(
            fleet,
            column=self.survey.column or "main",
            configuration=self.survey.configuration,
            namespace=quota.surroundings(quotas, limits),
        )
        answer = quota.check(quotas, limits, asked)
        if answer.refusals:
            raise ClusterError(f"namespace {namespace}: {answer.refusals[0]}")
        return tuple(answer.notes)

    # -- seeing by it --------------------------------------------------------------------------------------------------

    async def probe(self, nodes: tuple[NodeHandle, ...]) -> AsyncGenerator[Reading]:
        """Yield what the reader reads, or (without one) what can't be seen, and then nothing more."""
        for lack in self.access.lacks:
            yield note("not-allowed", lack)
        if not self._work.reads:
            yield note("node-truth", NO_NODE_ACCESS)
        async for reading in self._work.readings(tuple(node.kube_name for node in nodes)):
            yield reading
        await asyncio.Event().wait()

    # -- inside --------------------------------------------------------------------------------------------------------

    @property
    def _kubevirt_name(self) -> str:
        return str(self.survey.kubevirt["metadata"]["name"])

    @property
    def _kubevirt_namespace(self) -> str:
        return str(self.survey.kubevirt["metadata"].get("namespace") or "kubevirt")


def _shown(value: Any) -> str:
    return "no value" if value is None else str(value)


def _first(errors: BaseExceptionGroup[KubeError]) -> KubeError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, KubeError)
    return error
