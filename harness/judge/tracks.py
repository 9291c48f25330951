"""What the records say of each pod, VMI and event, kept as they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.judge.interval import Interval
from harness.records import served

FINAL = frozenset({"Succeeded", "Failed"})
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something seen: when it arrived and on which line."""

    t: float
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMark(Mark):
    """A phase as an object served it."""

    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination(Mark):
    """A container seen terminated. `finished` by its own word, where it has one."""

    container: str
    exit_code: int | None
    reason: str
    finished: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption(Mark):
    """The `DisruptionTarget` condition of a pod: `when` is its own transition time, cut by its arrival."""

    when: Interval
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionMark(Mark):
    """A condition of an object as it became. `when` is its own transition time, cut by its arrival."""

    status: str
    """`True`, `False`, `Unknown`; `absent` where it was taken away."""
    reason: str
    when: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Mark):
    """What the API answered to a request of ours: HTTP status, the Status' message, warnings."""

    request: str
    """`create`, `vnc`, `configure-kubevirt`."""
    target: str
    code: int
    message: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Mark):
    """A sample kept as it was recorded."""

    node: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSize(Mark):
    """Memory of a node as its status says, in bytes."""

    capacity: int | None
    allocatable: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening(Mark):
    """A Kubernetes Event, first seen. `when` by its own time, cut by its arrival."""

    reason: str
    kind: str
    namespace: str
    name: str
    uid: str
    message: str
    node: str
    when: Interval
    starved: str = ""
    """The resource an Evicted event says the node lacked (annotation `starved_resource`), where it does."""


@dataclass(slots=True, kw_only=True)
class Track:
    """One object by UID."""

    uid: str
    key: str
    first: Mark
    object: Mapping[str, Any]
    """As last served."""
    phases: list[PhaseMark] = field(default_factory=list)
    deleted: Mark | None = None
    last: Mark
    conditions: dict[str, list[ConditionMark]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The object's name."""
        return self.key.partition("/")[2]

    @property
    def namespace(self) -> str:
        """The object's namespace."""
        return self.key.partition("/")[0]

    @property
    def phase(self) -> str:
        """Phase as last served."""
        return self.phases[-1].phase if self.phases else ""

    @property
    def final(self) -> PhaseMark | None:
        """When a final phase was first seen."""
        return next((p for p in self.phases if p.phase in FINAL), None)

    @property
    def born_final(self) -> bool:
        """Whether the object was over already when it was first served."""
        return bool(self.phases) and self.phases[0].phase in FINAL


@dataclass(slots=True, kw_only=True)
class PodTrack(Track):
    """One pod."""

    node: str = ""
    vmi_uid: str = ""
    vmi_name: str = ""
    disruption: Disruption | None = None
    terminations: dict[str, Termination] = field(default_factory=dict)
    rejected: bool = False
    qos: tuple[str, int] | None = None
    terminating: Mark | None = None

    @property
    def termination(self) -> Termination | None:
        """How the workload container ended: `compute`, else the only or first one that did."""
        if "compute" in self.terminations or not self.terminations:
            return self.terminations.get("compute")
        return None if self.vmi_uid or self.vmi_name else next(iter(self.terminations.values()))


@dataclass(slots=True, kw_only=True)
class NodeTrack(Track):
    """One node."""

    sizes: list[NodeSize] = field(default_factory=list)
    annotations: list[tuple[Mark, Mapping[str, str]]] = field(default_factory=list)
    """Its annotations, each time they were seen to differ."""


@dataclass(slots=True, kw_only=True)
class VmiTrack(Track):
    """One VirtualMachineInstance."""

    node: str = ""
    pod_uids: set[str] = field(default_factory=set)
    qos: tuple[str, int] | None = None


def named_nanosecond(event: Mapping[str, Any]) -> float | None:
    """Return the epoch seconds in an Event's name, which client-go forms as `<object>.<hex nanoseconds>`.

    client-go tools/record/event.go `makeEvent` (v0.36). Trusted only where it lies inside the second the Event
    states, and the Event happened once.
    """
    if (event.get("count") or 1) != 1 or event.get("series"):
        return None
    stated = served.event_time(event)
    suffix = served.name(event).rpartition(".")[2]
    if stated is None or stated.resolution < 1 or not 15 <= len(suffix) <= 16:
        return None
    try:
        value = int(suffix, 16) / NANOSECONDS
    except ValueError:
        return None
    return value if stated.seconds <= value < stated.end else None


def vmi_of_launcher(pod: str) -> str:
    """Return the VMI name in `virt-launcher-<vmi>-<5 characters>`, or ''.

    KubeVirt pkg/virt-controller/services/template.go: `GenerateName: "virt-launcher-" + domain + "-"`.
    """
    if not pod.startswith("virt-launcher-"):
        return ""
    return pod.removeprefix("virt-launcher-").rpartition("-")[0]
