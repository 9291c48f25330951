"""What the orchestrator needs of a cluster: an API to act through, nodes to set, and a probe to see by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

from harness.units import Bytes

Evidence = Literal["real", "kernel", "predicted"]
Undo = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """A node a scenario asks for: its name there, its size, a KubeletConfiguration fragment."""

    name: str
    memory: Bytes | None
    kubelet: Mapping[str, Any] = field(default_factory=dict)
    size_matters: bool = True
    """False: nothing in the scenario depends on the size but that the fleet fits (it has no workload)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHandle:
    """The cluster's node that plays a scenario's node."""

    name: str
    """Scenario's name."""
    kube_name: str
    """`metadata.name` in the API."""
    memory: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One thing the node probe saw; becomes a record of that stream unchanged.

    stream `sample`: fields source, node, subject, data. stream `kernel`: the fields of records.Kernel. stream `action`:
    fields what, target, args.
    """

    stream: Literal["sample", "kernel", "note", "action"]
    fields: Mapping[str, Any]


class Cluster(Protocol):
    """A cluster under test. `async with` brings it up and takes everything it changed back down."""

    kind: Literal["local", "kind", "kubeconfig", "model"]
    evidence: Evidence
    disposable: bool
    """Everything made in it ends with it, so that a run need not delete what it created."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    @property
    def kubeconfig(self) -> Mapping[str, Any]:
        """A kubeconfig document (as `kubectl` would read it) for the API."""
        ...

    @property
    def qualifiers(self) -> Mapping[str, str]:
        """Badge of evidence."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """`kubernetes`, `kubevirt`, `kubevirtColumn`."""
        ...

    def capabilities(self) -> Mapping[str, str]:
        """Capability → `yes` or why not."""
        ...

    async def prepare_nodes(self, nodes: tuple[NodeRequest, ...]) -> tuple[NodeHandle, ...]:
        """Make or set the nodes. Raises ClusterError (exit 3) or NotObservable with the reason."""
        ...

    async def configure_kubevirt(self, configuration: Mapping[str, Any]) -> None:
        """Patch the KubeVirt CR's spec.configuration; restored on exit."""
        ...

    def probe(self, nodes: tuple[NodeHandle, ...]) -> AsyncIterator[Reading]:
        """Yield readings (cgroup at ≤ 0.5 s, meminfo, KSM, swap, OOM reports) until closed. At least 1/s per VMI."""
        ...

    def guest_settings(self, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
        """A merge patch for a VMI manifest that hands nonce and deafness to the agent on this kind of cluster."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRequest:
    """Settings of the machine that nodes share, for as long as the cluster is up.

    `ksm`: file below /sys/kernel/mm/ksm → text, in the order to write them. `swap_size` bytes; None: as it is.
    `ksm_by`: who goes on setting KSM, from what `ksm` says.
    """

    ksm: Mapping[str, str] = field(default_factory=dict)
    ksm_by: Literal["kubevirt"] | None = None
    swap_kind: Literal["file", "zram"] | None = None
    swap_size: Bytes | None = None


@runtime_checkable
class HostSettable(Protocol):
    """A cluster on a machine whose KSM and swap can be set."""

    async def apply_host(self, request: HostRequest) -> None:
        """Set them before the nodes are made; given back on exit. Raises NotObservable (there is none), ClusterError."""
        ...


class Daemon(Protocol):
    """A process of a node's own, outside every pod, that speaks the guest agent's protocol."""

    pid: int

    async def send(self, line: str) -> None:
        """Send it a command; one that is gone is no error."""
        ...

    def lines(self) -> AsyncIterator[str]:
        """Yield what it says until it is gone. For one reader."""
        ...

    async def end(self) -> None:
        """Kill it and wait until it is gone. Idempotent."""
        ...


@runtime_checkable
class RunsDaemons(Protocol):
    """A cluster on whose nodes processes outside the pods can be started."""

    async def start_daemon(self, node: NodeHandle, name: str) -> Daemon:
        """Start one in the node's system.slice; it ends with the cluster at the latest. Raises NotObservable, ClusterError."""
        ...


@runtime_checkable
class Addressed(Protocol):
    """A cluster that can be reached again after this process is gone, for undoing."""

    @property
    def address(self) -> Mapping[str, str]:
        """`kubeconfig` (path of the file) and `context`."""
        ...


@runtime_checkable
class Shared(Protocol):
    """What a cluster that others use too has beside `Cluster`."""

    namespace: str
    """An existing namespace to run in, which is not ours to delete; '' makes one per run."""

    async def admit(self, namespace: str, fleet: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Hold manifests about to be created against quotas; return what is worth a note. Raises ClusterError."""
        ...


@runtime_checkable
class SavesLogs(Protocol):
    """A cluster that can save its nodes' logs, for a run that failed."""

    async def export_logs(self, into: Path) -> None:
        """Save what there is; does not raise for the cluster's own faults."""
        ...
