"""What `explain` says of one manifest: types only. Memory in bytes, times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.rules.allocatable import NodeMemory
from harness.rules.overhead import Overhead
from harness.rules.qos import Qos
from harness.rules.quantities import Quantity
from harness.rules.thresholds import Threshold
from harness.spec.errors import SpecError
from harness.units import Bytes, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything besides the manifest that decides the answer."""

    column: str = "main"
    kubevirt: Mapping[str, Any] = field(default_factory=dict)
    """KubeVirt CR `spec.configuration`, as far as it is in force."""
    kubelet: Mapping[str, Any] | None = None
    """KubeletConfiguration; None: none was given, the kubelet's defaults hold."""
    node_memory: Bytes = Bytes(8 << 30)
    node_swap: Bytes | None = None
    node_cpu_milli: int | None = None
    """None: cpu is not what stops the next VMI."""
    quoted_overcommit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the API server says to `kubectl apply`."""

    allowed: bool
    message: str = ""
    """The webhook's or decoder's own words, without the API server's "admission webhook … denied the request"."""
    status: Mapping[str, Any] | None = None
    """The whole Status as served."""
    warnings: tuple[str, ...] = ()
    """Warning headers of an accepted manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of the virt-launcher pod."""

    name: str
    role: Literal["main", "sidecar", "init"]
    resources: Mapping[str, Mapping[str, str]]
    oom_score_adj: int
    swap_share: float
    """Part of the node's swap it may use, 0 … 1."""
    swap: Bytes | None
    """The same in bytes; None where the node's swap isn't known."""
    swap_why: str
    """Why it may use none, or ''."""

    def amount(self, kind: str, name: str = "memory") -> Quantity | None:
        """Request or limit, None if not set. `kind`: requests or limits."""
        value = self.resources.get(kind, {}).get(name)
        return None if value is None else Quantity.parse(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How many such VMIs an empty node takes."""

    count: int
    stops: tuple[str, ...]
    """What stops the next one, in the scheduler's words."""
    request: Bytes
    """What one pod requests in total."""
    left: Bytes
    """Allocatable memory that is left over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """One memory threshold in force, and what it does to this pod."""

    threshold: Threshold
    below: Bytes
    """It is met when less than this is available."""
    used: Bytes
    """The same seen from the other side: met when more than this is used (on the node, or by all pods)."""
    subject: Literal["node", "pods"]
    waits: Seconds
    """How long it must stay met before it evicts."""
    asked: int
    """Grace the kubelet asks for; 0 or less counts as 1."""
    window: Seconds
    """SIGTERM to SIGKILL."""
    first: bool = False
    """Of all of them it is met first as memory fills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """Something the page (or the reader) gets wrong here. `id`: the claim it belongs to."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """The virt-launcher pod KubeVirt would make."""

    spec: Mapping[str, Any]
    qos: Qos
    overhead: Overhead
    containers: tuple[Container, ...]
    grace: int
    """terminationGracePeriodSeconds."""

    def container(self, name: str) -> Container:
        """Return the container of that name. Raises KeyError."""
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All of one manifest. `pod` and what follows from it are None where the manifest is refused or no VMI."""

    file: str
    manifest: Mapping[str, Any] | None
    vmi: Mapping[str, Any] | None
    """As KubeVirt would store it, defaults included."""
    admission: Admission
    setting: Setting
    pod: Pod | None = None
    node: NodeMemory | None = None
    fit: Fit | None = None
    evictions: tuple[Eviction, ...] = ()
    cautions: tuple[Caution, ...] = ()
    mistakes: tuple[SpecError, ...] = ()
    """What is wrong with what was written, one line each; any of them makes the command exit 2."""

    @property
    def name(self) -> str:
        """Name of the VMI or VM, or the file's."""
        metadata = (self.manifest or {}).get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        return str(name or self.file)
