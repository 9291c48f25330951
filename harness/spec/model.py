"""A scenario after loading: every quantity parsed, every reference resolved, nothing optional left ambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.spec.expectations import Check
from harness.units import Bytes, Seconds

Pages = Literal["unique", "shared", "zero"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """A node of a chosen size with a verbatim KubeletConfiguration fragment. `memory` None: as the cluster has it."""

    name: str
    memory: Bytes | None
    kubelet: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSpec:
    """A process of a node's own, outside every pod, in the cgroup system.slice/<name>.service."""

    name: str
    node: str
    """Scenario node name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """A named group of VMIs made from one manifest. Member names are `<fleet>` for count 1, else `<fleet>-<i>`."""

    name: str
    manifest: Mapping[str, Any]
    """With `set:` already applied; metadata.name is replaced by the member's name."""
    count: int = 1
    node: str | None = None
    """Scenario node name the members are pinned to; None: the scheduler decides among scenario nodes."""
    deaf: bool = False
    """The guest ignores the ACPI power button."""
    shutdown: Seconds = Seconds(0.0)
    """How long the guest takes to shut down once it has heard the power button."""
    stagger: Seconds = Seconds(0.0)
    """Time from the creation of one member to that of the next; 0: all at once."""
    validation: Literal["Strict", "Warn", "Ignore"] | None = None
    """`fieldValidation` its manifests are sent with; None: as the run usually does."""
    fill: bool = False
    """Members are made one after another until the scheduler finds no node for one; `count` is the most there may be."""
    match: tuple[str, ...] = ()
    """Imported recordings: names of the VMIs (or pods) that are this fleet; nothing is created."""

    @property
    def kind(self) -> str:
        """VirtualMachineInstance, VirtualMachine, or '' for what is only matched."""
        return str(self.manifest.get("kind", ""))

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the VMIs of this fleet."""
        if self.match:
            return self.match
        return (
            (self.name,) if self.count == 1 else tuple(f"{self.name}-{i}" for i in range(1, self.count + 1))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Bytes, or a share (0 … 0.9) of the guest's MemAvailable at `hello`. Exactly one is set."""

    bytes: Bytes | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UntilAvailable:
    """Stop when the node's memory.available is at or below `bytes`, or threshold + `offset` (offset may be negative)."""

    threshold: Literal["hard", "soft"] | None = None
    offset: int = 0
    bytes: Bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """What triggers a step; all that are set must hold. `step`: name of an earlier step, or '' for the previous one.

    `after` counts from the moment everything else holds. `event`: this has happened to a member of `event_of` (a fleet;
    None: to anyone): the kubelet evicted it, the kernel killed it, its guest ended in any way, or another
    VMI followed it under its name.
    """

    fleet: str | None = None
    fleet_is: Literal["Running", "Ready"] | None = None
    step: str | None = None
    after: Seconds | None = None
    stats_refreshed: bool = False
    pressure: bool = False
    event: Literal["evicted", "oom", "ended", "restarted"] | None = None
    event_of: str | None = None


Verb = Literal["grow", "shrink", "rewrite", "touch", "hold", "cache", "record", "vram", "stop", "tune"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing guests do with memory. Profiles (ramp, pulse, …) have been expanded into steps of these verbs."""

    name: str
    when: When
    verb: Verb
    fleets: tuple[str, ...]
    daemons: tuple[str, ...] = ()
    """`grow`, `shrink`: whose memory it is about in place of fleets."""
    to: Amount | None = None
    until: UntilAvailable | None = None
    rate: Bytes | None = None
    """Bytes per second and guest; None: as fast as the guest can. Of `record`: records per second."""
    pages: Pages = "unique"
    write: bool = False
    """`cache`: overwrite the file's pages instead of reading them."""
    fsync: bool = False
    """`record`: fsync after every record."""
    block: Bytes | None = None
    """`record`: bytes of one record, 512 or 4096; None: the agent's default."""
    ksm: KsmSettings | None = None
    """`tune`: settings of the machine from now on, in place of the scenario's `host`. It is about no fleet."""
    profile: str = ""
    """The name of the profile this step is part of, '' for one that was written as a step. The last one bears the name itself."""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KsmTuned:
    """Settings of ksmtuned, by which KSM is tuned while the scenario runs."""

    values: Mapping[str, int]
    """By their names in ksmtuned.conf; what is left out is ksmtuned's own."""
    file: str = ""
    """The file they were read from; '': they stood in the scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KsmSettings:
    """`/sys/kernel/mm/ksm` while the scenario runs; None: left as it is. Given back afterwards.

    `tuned` and `by` (at most one of them): somebody goes on setting `run`, `pages_to_scan` and `sleep_millisecs` by what
    the node has free; `run` is what it begins with, 0.
    """

    run: Literal[0, 1, 2]
    pages_to_scan: int | None = None
    sleep_millisecs: int | None = None
    smart_scan: bool | None = None
    advisor: Literal["none", "scan-time"] | None = None
    tuned: KsmTuned | None = None
    """`host`: as ksmtuned does by its file."""
    by: Literal["kubevirt"] | None = None
    """`host`: as KubeVirt's own handler does on the nodes its configuration selects."""

    @property
    def merges(self) -> bool:
        """Whether ksmd runs, or may be started by whoever tunes it."""
        return self.run == 1 or self.tuned is not None or self.by is not None

    @property
    def files(self) -> Mapping[str, str]:
        """File below `/sys/kernel/mm/ksm` → text to write, in the order to write them: `run` is the last.

        `advisor_mode` comes before `pages_to_scan`, which an advisor would set itself.
        """
        known = {
            "advisor_mode": self.advisor,
            "smart_scan": None if self.smart_scan is None else int(self.smart_scan),
            "pages_to_scan": self.pages_to_scan,
            "sleep_millisecs": self.sleep_millisecs,
            "run": self.run,
        }
        return {name: str(value) for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapSettings:
    """Swap the machine is given while the scenario runs, in bytes. Taken away afterwards."""

    kind: Literal["file", "zram"]
    size: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Settings of the machine the nodes run on; None: left as they are."""

    ksm: KsmSettings | None = None
    swap: SwapSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What was done but is not in a recording: reported as stated, never as observed."""

    kubelet: Mapping[str, Any] = field(default_factory=dict)
    actions: tuple[Mapping[str, Any], ...] = ()
    kubevirt_column: str | None = None
    window: tuple[Seconds, Seconds | None] = (Seconds(0.0), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text a scenario was loaded from, enough to load it again elsewhere."""

    path: str
    text: str
    files: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    matrix: Mapping[str, str] = field(default_factory=dict)
    """Axis → label of the value this scenario of the file's `matrix` has; {}: the file has none."""
    repeat: int = 0
    """Which of the file's `repeats` this is, from 1; 0: it has none."""
    cluster: str = ""
    """Kind of cluster whose `per-cluster` values were taken; '': those of `local`."""
    techniques: str | None = None
    """Text of the techniques file the presets came from; None: the scenario names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One YAML file of `suites/`, loaded, with `--set` applied."""

    name: str
    title: str
    source: Source
    nodes: tuple[NodeSpec, ...]
    kubevirt: Mapping[str, Any]
    """KubeVirt CR `spec.configuration` fragment, verbatim."""
    kubevirt_version: str | None
    """Version column an embedded cluster plays; None: its default."""
    fleet: tuple[FleetSpec, ...]
    workload: tuple[Step, ...]
    promises: tuple[Check, ...]
    requires: tuple[Check, ...]
    control: Mapping[str, Any] | None
    """`path: value` overrides of the control run; None: the scenario has none."""
    needs: tuple[str, ...] = ()
    budget: Seconds | None = None
    observe: Seconds = Seconds(30.0)
    """How long after the last workload step the window stays open at most."""
    seed: int = 1
    stated: Stated | None = None
    tier: Literal["quick", "full"] = "quick"
    """`quick` is what `make e2e` runs; `full` is asked for."""
    technique: str = ""
    """Canonical name of the technique preset that is applied (`ksm+swap`); '': none is named."""
    host: HostSettings = field(default_factory=HostSettings)
    config_map: Mapping[str, str] = field(default_factory=dict)
    """Data of the ConfigMap `kubevirt-config` in KubeVirt's own namespace, which the page speaks of; {}: none is made."""
    daemons: tuple[DaemonSpec, ...] = ()

    @classmethod
    def bare(cls, name: str) -> Scenario:
        """Return one of a run nobody wrote a scenario for: no fleets, no promises, nothing stated."""
        return cls(
            name=name,
            title=name,
            source=Source(path="", text=""),
            nodes=(),
            kubevirt={},
            kubevirt_version=None,
            fleet=(),
            workload=(),
            promises=(),
            requires=(),
            control=None,
        )

    @property
    def matrix(self) -> Mapping[str, str]:
        """Axis → label of its value here; {} for a file without a matrix."""
        return self.source.matrix

    @property
    def repeat(self) -> int:
        """Which of the file's repeats this is, from 1; 0: it has none."""
        return self.source.repeat

    @property
    def checks(self) -> tuple[Check, ...]:
        """Promises, then requirements."""
        return self.promises + self.requires

    def node(self, name: str) -> NodeSpec:
        """Return the node of that name. Raises KeyError."""
        return next(n for n in self.nodes if n.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """What a claim is known to be today, for some KubeVirt columns, and what that makes of the page."""

    kind: str
    args: Mapping[str, Any]
    """Parsed fields of the expectation class without its subject (`of`, `fleets`), which a scenario's check names."""
    verdict: Literal["differs", "refuted"]
    columns: tuple[str, ...] = ("*",)
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One testable sentence (or half of one) of the documentation."""

    id: str
    quote: str
    promise: str
    """In words, for people; the literal expectation stands in `promise_kind` and `promise_args` (as in `Today`)."""
    promise_kind: str | None
    promise_args: Mapping[str, Any]
    today: tuple[Today, ...]
    decided_by: Literal["kubelet", "kubevirt", "kernel", "qemu", "kubernetes", "nobody"]
    given: str = ""
    """The case it is about, where its sentence is true of one and false of another; '' where it is about any."""
    untestable: str | None = None
    also: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Further expectations (kind, arguments) the same sentence makes."""
    note: str = ""
    """Known divergence, and what a check of it must know."""
    corrected: str = ""
    """The sentence as it would be true today; '' where the page is right or nothing can be said."""
