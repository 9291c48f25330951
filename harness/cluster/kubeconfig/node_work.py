"""What a run does on nodes of an existing cluster beyond the API, if it is allowed any: the reader, and kubelets.

Privileged pods live in the namespace the user named, else in one of their own, which lets them in.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from harness.cluster.base import NodeRequest, Reading, Undo
from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import helpers
from harness.cluster.kubeconfig.access import Access
from harness.cluster.kubeconfig.helpers import Place
from harness.cluster.kubeconfig.kubelets import Kubelets, stood_in, used
from harness.cluster.kubeconfig.options import Options
from harness.cluster.kubeconfig.reading import NodeReader
from harness.cluster.kubeconfig.rights import Part
from harness.cluster.nodes.settings import kubelet_differing
from harness.cluster.probe import note
from harness.kube import node as kubelet
from harness.kube.connection import Connection
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.kube.resources import NAMESPACES
from harness.units import MIB, Bytes

FLAGS: Mapping[Part, str] = {"node-reader": "--node-reader", "kubelet-settings": "--allow-kubelet-config"}


def wanted(options: Options) -> tuple[Part, ...]:
    """Return the parts of the rights that the chosen flags need."""
    parts: list[Part] = []
    parts += ["node-reader"] if options.node_reader else []
    parts += ["kubelet-settings"] if options.allow_kubelet_config else []
    return tuple(parts)


def insist(options: Options, access: Access) -> None:
    """Raise ClusterError where the rights for what was asked for by a flag are not had."""
    for part in wanted(options):
        if not access.may(part):
            raise ClusterError(
                f"{FLAGS[part]}: RBAC denies {access.missing[part]}: "
                f"density rbac {FLAGS[part]} | kubectl apply -f - grants it"
            )
    if options.allow_kubelet_config and not access.may("node-stats"):
        raise ClusterError(
            "--allow-kubelet-config: RBAC denies get nodes/proxy, so what is in force could not be checked: "
            "density rbac --allow-kubelet-config | kubectl apply -f - grants it"
        )


def _unwritten(_entry: Mapping[str, Any]) -> None:
    """Keep no entry."""


class NodeWork:
    """One run's work on nodes. `address`: `kubeconfig` and `context`, for undoing after a crash."""

    def __init__(
        self, options: Options, connection: Connection, *, undo: Undo, run: str, address: Mapping[str, str]
    ) -> None:
        self._options = options
        if not address["kubeconfig"]:  # a document can't be read again by who cleans up
            undo = _unwritten
        self._undo = undo
        self._address = address
        namespace = options.namespace or f"density-nodes-{run}"
        self._place = Place(
            connection=connection,
            namespace=namespace,
            run=run,
            image=options.node_reader_image,
            own=not options.namespace,
        )
        self._made_namespace = False
        self._reader: NodeReader | None = None
        self._kubelets = Kubelets(self._place, undo=undo, address=address)
        self.sizes: dict[str, str] = {}
        """Scenario's node → how thresholds stand in for its size."""

    @property
    def reads(self) -> bool:
        """Whether a reader runs."""
        return self._reader is not None

    # -- kubelets ------------------------------------------------------------------------------------------------------

    async def kubelet(self, request: NodeRequest, node: str, *, capacity: Bytes, calibrate: bool) -> None:
        """Have a node's kubelet as asked; `calibrate`: its thresholds stand in for a size it has not.

        Raises NotObservable, ClusterError.
        """
        objects = Objects(self._place.connection)
        fragment: dict[str, Any] = dict(request.kubelet)
        if calibrate:
            assert request.memory is not None
            taken = await used(objects, node, capacity=capacity)
            fragment = stood_in(request, capacity=capacity, used=taken)
            self.sizes[request.name] = (
                f"calibrated thresholds for {request.memory // MIB} MiB beside {taken // MIB} MiB in use of "
                f"{capacity // MIB} MiB: capacity, percentages and oom_score_adj are the node's"
            )
        try:
            there = await kubelet.configz(objects, node)
        except KubeError as error:
            raise ClusterError(f"configz of {node}: {error}") from error
        if kubelet_differing(fragment, there):
            await self._namespace()
            await self._kubelets.set(node, fragment)

    # -- the reader ----------------------------------------------------------------------------------------------------

    async def read(self, nodes: frozenset[str]) -> None:
        """Start the reader, if it was asked for. Raises ClusterError."""
        if self._options.node_reader:
            await self._namespace()
            reader = NodeReader(self._place, pods_in=self._options.namespace)
            self._reader = reader
            await reader.start(nodes, undo=self._undo, address=self._address)

    async def readings(self, nodes: tuple[str, ...]) -> AsyncGenerator[Reading]:
        """Yield what was done, and what the reader reads."""
        for text in self._kubelets.told:
            yield note("kubelet-config", text)
        if self._reader is not None:
            place = self._place
            yield note("node-reader", f"DaemonSet {place.namespace}/{self._reader.name} of {place.image}")
            async for reading in self._reader.readings(nodes):
                yield reading

    # -- beginning and end ---------------------------------------------------------------------------------------------

    async def _namespace(self) -> None:
        if not self._place.own or self._made_namespace:
            return
        place = self._place
        self._undo(
            {
                "op": "namespace-delete",
                "target": place.namespace,
                **self._address,
                "run": place.run,
            }
        )
        self._made_namespace = True
        await helpers.make_namespace(place.objects, place.namespace, place.run)

    async def close(self) -> None:
        """Put kubelets back, remove the reader and the namespace. Idempotent. Raises ClusterError of the first that failed."""
        failed: ClusterError | None = None
        for end in (self._stop_reader, self._kubelets.restore):
            try:
                await end()
            except ClusterError as error:
                failed = error
        if failed is not None:  # undoing needs a place for its pods
            raise failed
        await self._drop_namespace()

    async def _stop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()

    async def _drop_namespace(self) -> None:
        if self._made_namespace:
            self._made_namespace = False
            try:
                await self._place.objects.delete(NAMESPACES, self._place.namespace)
            except KubeError as error:
                raise ClusterError(f"namespace {self._place.namespace} was not deleted: {error}") from error
