"""What `why` says of a dead VM: types only. Memory in bytes, times in seconds of the run, proofs are record lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.rules.ranking import PodUsage
from harness.units import Bytes, Seconds

Cause = Literal[
    "hard-eviction",
    "soft-eviction",
    "eviction",
    "other-eviction",
    "container-oom",
    "pod-oom",
    "node-oom",
    "oom",
    "guest-oom",
    "guest-panic",
    "reboot-loop",
    "guest-shutdown",
    "api-delete",
    "disrupted",
    "no-node",
    "refused",
    "failed-to-start",
    "crashed",
    "unknown",
    "alive",
]
"""`eviction`: for memory, hard or soft can't be told; `other-eviction`: by the kubelet, not for memory; `oom`: by the host's
kernel, whose limit it was can't be told; `disrupted`: preempted, or evicted through the API; `no-node`: the scheduler
found none, it never ran; `refused`: never admitted to its node; `crashed`: QEMU or its launcher ended and nothing recorded says why; `unknown`: its objects vanished."""
EVICTIONS: tuple[Cause, ...] = ("hard-eviction", "soft-eviction", "eviction")
OOMS: tuple[Cause, ...] = ("container-oom", "pod-oom", "node-oom", "oom")
Kind = Literal["hard", "soft", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened."""

    when: Interval
    text: str
    proof: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The cause, and what it rests on."""

    cause: Cause
    certain: bool
    """False: inferred, `because` says from what."""
    because: str
    proof: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """The threshold the kubelet acted on."""

    quantity: str
    """As the Evicted message has it."""
    value: Bytes | None
    available: str
    """What the kubelet observed, as the message has it."""
    available_value: int | None
    offenders: tuple[str, ...]
    """Containers over their request, as the message has them: figures of another moment than the pods' it ranks by."""
    kind: Kind
    certain: bool
    how: str
    """How it is known whether it was hard or soft."""
    signal: str
    """`memory.available`, `allocatableMemory.available`, or '' where it can't be told."""
    grace: Seconds | None
    """SIGTERM to SIGKILL by the rules; None: not known."""
    grace_why: str
    cap: int | None
    """evictionMaxPodGracePeriod in force for a soft one."""
    crossing: Interval | None
    """When the node fell below it; low is -inf where it already was below at the first sample."""
    crossing_source: str
    latency: Interval | None
    proof: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """One pod on the node when the kubelet chose."""

    pod: str
    """`<namespace>/<name>` of the pod."""
    subject: str
    """Name of the VMI, or of the pod."""
    qos: str
    usage: PodUsage
    """As the kubelet had it: the figure may be seconds old. Without any recorded statistics: what the cgroup said."""
    measured: Interval | None
    """When the kubelet's figure was measured."""
    age: Interval | None
    """How old it was at the decision."""
    truth: Bytes | None
    """Working set by our own cgroup sample just before the decision."""
    victim: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Whom the kubelet would take, first first."""

    node: str
    source: Literal["stats/summary", "cgroup"]
    rows: tuple[RankRow, ...]
    decisive: str
    """Why the victim stood before the next one."""
    first: bool | None
    """Whether the victim ranks first by these figures; None: it isn't among them."""
    truth_order: tuple[str, ...]
    """Subjects as they would rank by the cgroups' figures of that moment; empty where some are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What the guest made of being told to go."""

    kind: Literal["clean", "deaf", "unheard", "cut", "silent", "untold"]
    """`deaf`: saw the button and stayed; `unheard`: was alive and never saw it; `cut`: began to end, was killed before it
    was done; `silent`: no console to tell by; `untold`: nobody told it to go."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquest:
    """What was found out about one death, for those who put it into words."""

    ending: Ending
    found: Diagnosis
    acted: Acted | None
    ranked: Ranking | None
    reaction: Reaction
    window: Interval | None
    """Told to go until gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """The next VMI of the same name."""

    by: str
    """Who made it."""
    created: Interval
    running: Interval | None
    delay: Interval
    """From the death to its creation."""
    down: Interval | None
    """From the death until it ran."""
    node: str
    same_node: bool
    waited_for: str
    """What kept it waiting, in the scheduler's words, or ''."""
    created_by_record: tuple[int, ...] = ()
    """The line that first shows it."""
    running_by_record: tuple[int, ...] = ()
    """The line that shows it Running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostMortem:
    """Everything that can be said of one VMI (or pod)."""

    subject: str
    """`<namespace>/<name>`."""
    uid: str
    node: str
    is_vmi: bool
    life: int
    """Which incarnation of this name, from 1."""
    lives: int
    cause: Cause
    certain: bool
    verdict: str
    because: str
    gone: Interval | None
    """When its QEMU (or processes) was gone."""
    window: Interval | None
    """Told to go until gone."""
    timeline: tuple[Fact, ...]
    acted: Acted | None = None
    ranking: Ranking | None = None
    reaction: Reaction | None = None
    exit_code: int | None = None
    exit_reason: str = ""
    pod_phase: str = ""
    pod_reason: str = ""
    vmi_phase: str = ""
    deleted: bool = False
    """Its VMI or pod is deleted."""
    phase_lag: Interval | None = None
    """How long the VMI still said Running after the death; an infinite end: it still did when the records end."""
    successor: Successor | None = None
    restarted: str = ""
    """Why nothing came back, where nothing did."""
    unknown: tuple[str, ...] = ()
    saved_by: tuple[str, ...] = ()
    proof: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closest:
    """How close a node came to a threshold, or a VMI to its limit."""

    what: str
    distance: int
    """Bytes left; negative: beyond."""
    text: str
    proof: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer of `why`."""

    run: str
    evidence: str
    started: str
    """RFC 3339 UTC of t = 0."""
    end: float
    """Seconds of the run until which anything is known."""
    verdict: str
    dead: tuple[PostMortem, ...]
    alive: tuple[PostMortem, ...] = ()
    loops: tuple[str, ...] = ()
    """Names whose VMIs came back only to die again, three times or more."""
    closest: tuple[Closest, ...] = ()
    notes: tuple[str, ...] = field(default=())
