"""What `why` reads beside the judge's index: the kubelet's own pod figures, pressure, deletions, VMs, kernel words.

A second index on purpose: findings are a function of what the judge's index holds, so what decides no finding must not
stand in it; and `why` may learn to read more without the judge changing. What both need is the judge's alone (who is who,
evictions, kills, endings: `timeline`), and one pass over the records feeds both. Units: bytes, seconds of the run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.judge.interval import Interval
from harness.judge.samples import stats_sample
from harness.judge.timeline import Timeline
from harness.judge.tracks import Mark
from harness.records import served
from harness.records.model import Kernel, Record, Sample, Watch
from harness.records.served import count

PRESSURE_TAINT = "node.kubernetes.io/memory-pressure"
_USAGE = re.compile(r"memory: usage (\d+)kB, limit (\d+)kB")
_KILLED = re.compile(r"Killed process (\d+) \(([^)]*)\)(.*)")
_ADJ = re.compile(r"oom_score_adj:(-?\d+)")
_RSS = re.compile(r"(?:anon|file|shmem)-rss:(\d+)kB")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRow(Mark):
    """A pod's row of stats/summary: what the kubelet held of it since `when`."""

    when: Interval
    working_set: int
    containers: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow(Mark):
    """The node's row of stats/summary, and that of its `pods` cgroup."""

    when: Interval
    available: int
    pods_available: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip(Mark):
    """A node's MemoryPressure, or the taint of it, seen changed. `when` by its own time, cut by its arrival."""

    when: Interval
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Word(Mark):
    """An event that the judge has no use for."""

    when: Interval
    reason: str
    name: str
    uid: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSeen(Mark):
    """A VirtualMachine as served."""

    strategy: str
    printable: str


@dataclass(slots=True, kw_only=True)
class KernelWords:
    """What the kernel said of one kill, as far as it was recorded."""

    t: float
    pid: int | None = None
    process: str = ""
    adj: int | None = None
    rss: int | None = None
    usage: int | None = None
    limit: int | None = None


_WORDS = frozenset({"Starting", "FailedScheduling", "SyncFailed", "SuccessfulDelete", "SystemOOM"})


@dataclass(slots=True)
class Index:
    """What `why` reads of a run, and the judge's index of it."""

    timeline: Timeline
    pod_rows: dict[str, list[PodRow]] = field(default_factory=dict)
    node_rows: dict[str, list[NodeRow]] = field(default_factory=dict)
    pressure: dict[str, list[Flip]] = field(default_factory=dict)
    taints: dict[str, list[Flip]] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    vms: dict[str, list[VmSeen]] = field(default_factory=dict)
    deleting: dict[str, tuple[Mark, Interval | None]] = field(default_factory=dict)
    """UID of a VMI → when its deletionTimestamp was first seen, and that time itself."""
    disrupted: dict[str, tuple[Mark, str, str]] = field(default_factory=dict)
    """Pod UID → a DisruptionTarget that is not the kubelet's: mark, reason, message."""
    configz_at: dict[str, float] = field(default_factory=dict)
    kernel: list[KernelWords] = field(default_factory=list)
    _memcg: tuple[int, int] | None = None

    def extend(self, records: Iterable[tuple[int, Record]]) -> Index:
        """Feed both indices, and return self."""
        for number, record in records:
            closed = self.timeline.window_end is not None
            self.timeline.add(number, record)
            if not closed:
                self._add(number, record)
        return self

    def _add(self, number: int, record: Record) -> None:
        if isinstance(record, Watch):
            self._watch(Mark(t=record.t, line=number), record)
        elif isinstance(record, Sample):
            if record.source == "stats/summary":
                self._stats(number, record)
            elif record.source == "configz":
                self.configz_at[record.node] = record.t
        elif isinstance(record, Kernel):
            self._kernel(record)

    def _own(self, value: object, arrival: float) -> Interval | None:
        return self.timeline.own(served.maybe_instant(value), arrival)

    def _watch(self, mark: Mark, record: Watch) -> None:
        obj = record.object
        match obj.get("kind"):
            case "Node":
                self._node(mark, obj)
            case "Event" if record.type != "DELETED" and obj.get("reason") in _WORDS:
                subject = served.event_subject(obj)
                when = self.timeline.own(served.event_time(obj), mark.t) or Interval(-math.inf, mark.t)
                self.words.append(
                    Word(
                        t=mark.t,
                        line=mark.line,
                        when=when,
                        reason=str(obj.get("reason")),
                        name=str(subject.get("name") or ""),
                        uid=str(subject.get("uid") or ""),
                        message=served.event_message(obj),
                    )
                )
            case "VirtualMachine":
                seen = VmSeen(
                    t=mark.t,
                    line=mark.line,
                    strategy=_strategy(obj),
                    printable=str(served.dig(obj, "status", "printableStatus") or ""),
                )
                self.vms.setdefault(served.key(obj), []).append(seen)
            case "VirtualMachineInstance":
                stamp = served.dig(obj, "metadata", "deletionTimestamp")
                if stamp and served.uid(obj) not in self.deleting:
                    self.deleting[served.uid(obj)] = (mark, self._own(stamp, mark.t))
            case "Pod":
                found = served.condition(obj, "DisruptionTarget")
                if found and found.get("status") == "True" and found.get("reason") != "TerminationByKubelet":
                    reason, message = str(found.get("reason") or ""), str(found.get("message") or "")
                    self.disrupted.setdefault(served.uid(obj), (mark, reason, message))

    def _node(self, mark: Mark, obj: Mapping[str, Any]) -> None:
        name = served.name(obj)
        found = served.condition(obj, "MemoryPressure")
        if found is not None:
            on = found.get("status") == "True"
            own = self._own(found.get("lastTransitionTime"), mark.t)
            _flip(self.pressure.setdefault(name, []), mark, on, own)
        taint = next(
            (t for t in served.mappings(obj, "spec", "taints") if t.get("key") == PRESSURE_TAINT), None
        )
        own = self._own(taint.get("timeAdded"), mark.t) if taint else None
        _flip(self.taints.setdefault(name, []), mark, taint is not None, own)

    def _stats(self, number: int, record: Sample) -> None:
        node = record.node or str(served.dig(record.data, "node", "nodeName") or "")
        when = self._own(served.dig(record.data, "node", "memory", "time"), record.t)
        seen = stats_sample(number, record, when) if when is not None else None
        if seen is not None and seen.available is not None:
            pods = next(
                (
                    c
                    for c in served.mappings(record.data, "node", "systemContainers")
                    if c.get("name") == "pods"
                ),
                None,
            )
            row = NodeRow(
                t=record.t,
                line=number,
                when=seen.when,
                available=seen.available,
                pods_available=count(served.dig(pods, "memory", "availableBytes")),
            )
            rows = self.node_rows.setdefault(node, [])
            if not rows or rows[-1].when.low != seen.when.low:
                rows.append(row)
        for pod in served.mappings(record.data, "pods"):
            self._pod_stats(number, record.t, pod)

    def _pod_stats(self, number: int, t: float, pod: Mapping[str, Any]) -> None:
        containers = {
            str(c.get("name")): size
            for c in served.mappings(pod, "containers")
            if (size := count(served.dig(c, "memory", "workingSetBytes"))) is not None
        }
        stamp = served.dig(pod, "memory", "time") or next(
            (served.dig(c, "memory", "time") for c in served.mappings(pod, "containers")), None
        )
        when = self._own(stamp, t)
        size = count(served.dig(pod, "memory", "workingSetBytes"))
        if size is None and containers:
            size = sum(
                containers.values()
            )  # cri_stats_provider.go: without a pod row the containers are summed up
        if when is None or size is None:
            return
        rows = self.pod_rows.setdefault(str(served.dig(pod, "podRef", "uid") or ""), [])
        rows.append(PodRow(t=t, line=number, when=when, working_set=size, containers=containers))

    def _kernel(self, record: Kernel) -> None:
        if record.pid is not None or record.scope or record.taskMemcg:
            self.kernel.append(
                KernelWords(
                    t=record.t,
                    pid=record.pid,
                    process=record.process,
                    adj=record.oomScoreAdj,
                    rss=record.rss,
                )
            )
            return
        for line in record.lines:
            if match := _USAGE.search(line):
                self._memcg = (int(match[1]) << 10, int(match[2]) << 10)
            elif match := _KILLED.search(line):
                adj = _ADJ.search(match[3])
                parts = _RSS.findall(match[3])
                usage, limit = self._memcg or (None, None)
                self._memcg = None
                self.kernel.append(
                    KernelWords(
                        t=record.t,
                        pid=int(match[1]),
                        process=match[2],
                        adj=int(adj[1]) if adj else None,
                        rss=sum(int(part) for part in parts) << 10 if parts else None,
                        usage=usage,
                        limit=limit,
                    )
                )

    # -- questions ---------------------------------------------------------------------------------------------

    def row_at(self, uid: str, moment: float) -> PodRow | None:
        """Return the newest figure the kubelet can have had of a pod at a moment."""
        rows = [row for row in self.pod_rows.get(uid, ()) if row.when.low <= moment]
        return max(rows, key=lambda row: (row.when.low, -row.t), default=None)

    def pressure_before(self, node: str, moment: float) -> Flip | None:
        """Return when the pressure that reigns at a moment began, None where there was none."""
        flips = [flip for flip in self.pressure.get(node, ()) if flip.when.low <= moment]
        return flips[-1] if flips and flips[-1].on else None

    def phase_since(self, vmi: Mapping[str, Any], phase: str, arrival: float) -> Interval | None:
        """Return when a VMI entered a phase, by its own word (`status.phaseTransitionTimestamps`)."""
        for item in served.mappings(vmi, "status", "phaseTransitionTimestamps"):
            if item.get("phase") == phase:
                return self._own(item.get("phaseTransitionTimestamp"), arrival)
        return None


def _flip(flips: list[Flip], mark: Mark, on: bool, own: Interval | None) -> None:
    if flips and flips[-1].on == on:
        return
    if not flips and not on:
        return
    when = own or Interval(mark.t, mark.t)
    flips.append(Flip(t=mark.t, line=mark.line, when=when, on=on))


def _strategy(vm: Mapping[str, Any]) -> str:
    strategy = served.dig(vm, "spec", "runStrategy")
    if strategy:
        return str(strategy)
    running = served.dig(vm, "spec", "running")
    return {True: "Always", False: "Halted"}.get(running, "") if isinstance(running, bool) else ""
