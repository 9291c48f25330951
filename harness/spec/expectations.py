"""The closed list of expectations: what a scenario may say must, or was promised to, be seen.

Every expected value is a literal. `of` names whom it is about: a fleet name, `all`, or `victim` (whoever was
evicted or OOM-killed in this run). Bytes are bytes, durations seconds; the loader has parsed both.
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


Expectation = Request | Qos | GuestMemory | Evicted | Survives | Grace | Shutdown | Oom | Phase

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
}
"""Name in files → class. Grows with the techniques; a name not here is a usage error."""


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
