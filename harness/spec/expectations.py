"""The closed list of expectations: what a scenario may say must, or was promised to, be seen.

Every expected value is a literal. `of` names whom it is about: a fleet name, `all`, or `victim` (whoever was
evicted or OOM-killed in this run). Bounds are inclusive; what is None is not asked. Bytes are bytes, durations seconds;
the loader has parsed both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.units import Bytes, Seconds

Scope = Literal["guest", "container", "pod", "node"]
PerColumn = Mapping[str, Bytes | None]
"""KubeVirt version column (`v1.6` … `main`, or `*` for any) → bytes; None means 'not set'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Memory requests and limits of a virt-launcher pod's containers, byte by byte."""

    of: str
    requests: Mapping[str, PerColumn]
    limits: Mapping[str, PerColumn]


@dataclass(frozen=True, slots=True, kw_only=True)
class Qos:
    """QoS class as the pod's status says; `vmi` additionally as the VMI's status says (None: not asked)."""

    of: str
    pod: str
    vmi: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestMemory:
    """The guest's own MemTotal, in bytes, both bounds inclusive."""

    of: str
    min: Bytes
    max: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """Evictions by the kubelet: admissible victims, how many (inclusive), and how long after `since`.

    `within` holds of the first eviction. `since`: `threshold-crossed`, `workload-done`, or `step:<name>`.
    `signal`: which threshold acted, told from the Evicted message (`hard`, `soft`; None: not asked).
    """

    fleets: tuple[str, ...]
    min_count: int
    max_count: int
    after: Seconds | None = None
    within: Seconds | None = None
    since: str = "threshold-crossed"
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survives:
    """Neither evicted nor killed nor shut down by the end of the window."""

    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """How long the guest lived after it was told to go (Evicted event or SIGTERM) until its QEMU was gone."""

    of: str
    min: Seconds | None = None
    max: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """clean: the guest's `bye` or its kernel's power-down line, and VMI Succeeded. Else it was cut."""

    of: str
    clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Oom:
    """OOM kills: at which scope, of whom, how many (inclusive; 0 says none)."""

    fleets: tuple[str, ...]
    scope: Scope | None
    min_count: int
    max_count: int
    before_eviction: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The VMI's (and optionally the pod's) phase at the end of the window, or reached within a time of death."""

    of: str
    vmi: tuple[str, ...]
    pod: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the API answered when a fleet's manifests (`of: kubevirt`: the scenario's KubeVirt configuration) were sent.

    Every answer to a member must be so. `code`: HTTP status. `message`: part of the Status' message.
    `min_warnings`, `max_warnings`: how many `Warning: 299` headers came with it (inclusive; None: not asked);
    `warning`: part of one of them. `allowed: false` is what the run expects: a refusal does not end it.
    """

    of: str
    allowed: bool
    code: int | None = None
    message: str | None = None
    warning: str | None = None
    min_warnings: int | None = None
    max_warnings: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OomScoreAdj:
    """`/proc/<pid>/oom_score_adj` of QEMU, read back from the kernel; -1000 to 1000, both bounds inclusive.

    Where the machine does not let it be written (another value is read back than the kubelet wanted, and the harness
    knows that it could not write it) it is not observable.
    """

    of: str
    min: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocatable:
    """`status.allocatable.memory` (and `status.capacity.memory`) of a node as served, in bytes, give or take `tolerance`.

    `of`: a node of the scenario or `all`. Judged on the last state seen after the node was configured.
    """

    of: str
    memory: Bytes | None = None
    capacity: Bytes | None = None
    tolerance: Bytes = Bytes(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configz:
    """The kubelet's effective configuration, as `/configz` serves it.

    `of`: a node of the scenario or `all`. `values`: path of keys inside `kubeletconfig` (`("evictionHard",
    "memory.available")`) → the value as text, equal as text, quantity or duration; None: missing, null or empty.
    `knows`: fields that this kubelet's configuration has, whatever they are set to.
    """

    of: str
    values: Mapping[tuple[str, ...], str | None]
    knows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vnc:
    """The answer to GET of a running VMI's `vnc` subresource: its HTTP status, and part of the Status' message.

    101 is a connection that was upgraded.
    """

    of: str
    status: int
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of a VMI, its pod, its VM, or (`object: node`) the node it runs on.

    `status` `absent`: no condition of that type. `ever`: at some time in the window; else at its end.
    `reason`: exact; None: not asked.
    """

    of: str
    object: Literal["vmi", "pod", "vm", "node"]
    type: str
    status: Literal["True", "False", "Unknown", "absent"]
    reason: str | None = None
    ever: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """The VMI of the same name that follows one that ended in the window (a VM's next incarnation).

    `node`: on the same node as its predecessor, on another, or `any`. Count (inclusive): successors of each subject in
    the window; 0 says none. `after`, `within`: from the end's own time (the Evicted event, else the pod's end) until the
    first successor's `until`: its pod bound to a node (`scheduled`, the transition of PodScheduled) or its phase Running.
    `max_usage`: its pod's usage in bytes when it came to run, as a share of its predecessor's last; 0 to 1.
    """

    of: str
    node: Literal["same", "other", "any"] = "any"
    min_count: int = 1
    max_count: int = 1_000_000
    after: Seconds | None = None
    within: Seconds | None = None
    until: Literal["scheduled", "running"] = "scheduled"
    max_usage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A measure of one fleet against the same of another.

    `measure`: see spec.measures; of a fleet's members the mean is taken, at the end of the window unless the measure says
    otherwise. `to`: a fleet, `control` (the same fleet in the control run) or `guest` (the fleet's own `memory.guest`).
    `how` `quotient`: of / to; `saving`: to - of, in bytes or seconds. Bounds inclusive.
    """

    of: str
    measure: str
    to: str = "control"
    how: Literal["quotient", "saving"] = "quotient"
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """How long touching held memory takes, as the agent reports it (`p50`, `p99`, `max` of a second), in seconds.

    The worst second counts. `during`: a step's name; None: from `hello` to the end. `min_factor`, `max_factor`:
    against the same quantile of `to` (a fleet, or `control`: the same fleet in the control run).
    """

    of: str
    quantile: Literal["p50", "p99", "max"] = "p99"
    min: Seconds | None = None
    max: Seconds | None = None
    min_factor: float | None = None
    max_factor: float | None = None
    to: str = "control"
    during: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsBytes:
    """How much memory a guest holds or is charged, in bytes, each member for itself; bounds inclusive.

    `measure`: `held` and `memtotal` as the guest says, `usage`, `working-set` and `swap` of its pod's cgroup, `pss` and
    `rss` of its QEMU. `how`: the `value` itself, its `growth` or its `drop` from `since` to `at`. Moments are `start` (the
    guest's `hello`), `step:<name>` (when that step was done) and `end` (of the window, or of the guest).
    `min_share`, `max_share`: the same as shares of the guest's memory (`memory.guest`), 0 to 1.
    """

    of: str
    measure: Literal["held", "memtotal", "usage", "working-set", "swap", "pss", "rss"]
    how: Literal["value", "growth", "drop"] = "value"
    since: str = "start"
    at: str = "end"
    min: Bytes | None = None
    max: Bytes | None = None
    min_share: float | None = None
    max_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ksm:
    """What the kernel merged, from `/sys/kernel/mm/ksm`: of the whole machine, whoever is named by `of`.

    Growth is of `pages_sharing` times the page size, in bytes, from `since` to `at` (as in HoldsBytes; `start`: when the
    last guest said `hello`, so that what idle guests share is not counted). `min_share`, `max_share`: growth as a share of
    what merging all shared pages of the fleets in `of` can save: (N - 1) x what one of N guests was asked to hold of them.
    `run`: the value of `run` at `at`. `min_cpu`, `max_cpu`: CPU seconds of ksmd per second between the two moments;
    `min_cpu_factor`: against the control run. `knobs`: who sets sleep_millisecs and pages_to_scan: a configuration `file`,
    or virt-handler and the node's `annotations` (seen by the knobs changing after one of them did).
    """

    of: str
    run: int | None = None
    since: str = "start"
    at: str = "end"
    min: Bytes | None = None
    max: Bytes | None = None
    min_share: float | None = None
    max_share: float | None = None
    min_cpu: float | None = None
    max_cpu: float | None = None
    min_cpu_factor: float | None = None
    knobs: Literal["file", "annotations"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Swap in use, in bytes: by the nodes the fleets in `of` run on (the machine's, where nodes can't be told apart).

    `min`, `max`: at the end of the window. `min_peak`, `max_peak`: the most seen in it. `min_fall`: by how large a share
    of the peak it fell after it, 0 to 1. `pressure`: whether a node reported MemoryPressure while swap was in use.
    `min_limit`, `max_limit`: `memory.swap.max` of the compute containers (LimitedSwap), in bytes.
    """

    of: str
    min: Bytes | None = None
    max: Bytes | None = None
    min_peak: Bytes | None = None
    max_peak: Bytes | None = None
    min_fall: float | None = None
    pressure: bool | None = None
    min_limit: Bytes | None = None
    max_limit: Bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """Numbered records on a guest's disk after its death, against the last numbers it told (`@ rec n= synced=`).

    Counts of records, inclusive. `lost_synced`: told to be fsynced, and not whole on the disk. `lost_unsynced`: told to be
    written without fsync, and not there. A torn record is a lost one. None: not asked.
    """

    of: str
    min_lost_synced: int | None = None
    max_lost_synced: int | None = None
    min_lost_unsynced: int | None = None
    max_lost_unsynced: int | None = None


Expectation = (
    Request
    | Qos
    | GuestMemory
    | Evicted
    | Survives
    | Grace
    | Shutdown
    | Oom
    | Phase
    | Admission
    | OomScoreAdj
    | Allocatable
    | Configz
    | Vnc
    | Condition
    | Successor
    | Ratio
    | Stall
    | HoldsBytes
    | Ksm
    | Swap
    | Integrity
)

KINDS: Mapping[str, type[Expectation]] = {
    "request": Request,
    "qos": Qos,
    "guest-memory": GuestMemory,
    "evicted": Evicted,
    "survives": Survives,
    "grace": Grace,
    "shutdown": Shutdown,
    "oom": Oom,
    "phase": Phase,
    "admission": Admission,
    "oom-score-adj": OomScoreAdj,
    "allocatable": Allocatable,
    "configz": Configz,
    "vnc": Vnc,
    "condition": Condition,
    "successor": Successor,
    "ratio": Ratio,
    "stall": Stall,
    "holds-bytes": HoldsBytes,
    "ksm": Ksm,
    "swap": Swap,
    "integrity": Integrity,
}
"""Name in files → class. The list is closed; a name not here is a usage error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line under `promises:` (with a claim) or `requires:` (without), ready to be judged."""

    id: str
    """`promises/0`, `requires/2`, …: stable within the file."""
    kind: str
    expectation: Expectation
    claim: str | None = None
    text: str = ""
    """The line as written, for reports."""
    line: int = 0
