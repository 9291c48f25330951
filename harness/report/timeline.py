"""What a timeline picture shows, drawn out of records: node availability, what guests hold, what happened when.

Gaps stay gaps: a series is a list of segments, cut where two samples are further apart than `GAP`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.records import model
from harness.records.served import dig, maybe_quantity, memory_threshold, working_set
from harness.units import MIB

GAP = {"cgroup": 2.5, "stats/summary": 25.0, "guest": 6.5}
"""Seconds between samples beyond which a line is interrupted: five cgroup periods; two eviction passes; a heartbeat."""

_HELD = re.compile(r"^@ (?:stat|ok|held)\b.*?\b(?:held|bytes)=(\d{1,18})\b")
_HELD_RECORDED = re.compile(r"^(?:ALIVE [\d.]+ |OK )?held=(\d{1,12})\b")
_POD = re.compile(r"/pod([0-9a-f_-]{36})$|kubepods-[a-z-]*pod([0-9a-f_]{36})\.slice$")
_REASON = re.compile(r"\b\d+ (Insufficient [\w/-]+(?:\.[\w/-]+)*|Too many pods|node\(s\) [^,.]+)")
_POWER = re.compile(r"^(?:@ power\b|ACPI-POWER)")
_BYE = re.compile(r"^(?:@ bye\b|BYE)")


@dataclass(slots=True)
class Series:
    """Points `(t, MiB)` in segments; a new segment starts after a gap."""

    gap: float
    segments: list[list[tuple[float, float]]] = field(default_factory=list)

    def add(self, t: float, value: float) -> None:
        """Append a point, starting a new segment when the last one is too long ago."""
        if not self.segments or t - self.segments[-1][-1][0] > self.gap:
            self.segments.append([])
        self.segments[-1].append((t, value))

    def scaled(self, factor: float) -> Series:
        """Return the same in another unit."""
        return Series(self.gap, [[(t, v * factor) for t, v in segment] for segment in self.segments])

    def __bool__(self) -> bool:
        return bool(self.segments)

    @property
    def top(self) -> float:
        """Greatest value, 0 when empty."""
        return max((v for s in self.segments for _, v in s), default=0.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: `kind` chooses shape and colour, `label` is for readers, `line` proves it."""

    t: float
    kind: str
    label: str
    line: int
    bounds: tuple[float, float] | None = None
    """Between which times it was, where that is less certain than the picture is fine."""


@dataclass(slots=True)
class NodeLane:
    """A node: availability and the thresholds in force, MiB."""

    name: str
    available: Series
    thresholds: list[tuple[str, float]] = field(default_factory=list)
    capacity: float | None = None
    marks: list[Mark] = field(default_factory=list)


@dataclass(slots=True)
class GuestLane:
    """A VMI: held by the guest, working set of its pod, its memory request, MiB."""

    name: str
    held: Series
    working_set: Series
    request: float | None = None
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A VMI that found no node by the end: it never ran, and has no lane."""

    name: str
    why: str
    """The scheduler's reasons, short: `Insufficient memory`."""
    line: int


@dataclass(slots=True)
class Timeline:
    """Everything the picture needs."""

    nodes: list[NodeLane]
    guests: list[GuestLane]
    actions: list[Mark]
    end: float
    unplaced: list[Unplaced] = field(default_factory=list)

    def bound(self, subject: str, kind: str, when: tuple[float, float], *, label: str, line: int) -> None:
        """Give a mark its uncertainty, or add it where the records alone had none of the kind."""
        lane = next((g for g in self.guests if g.name == subject), None)
        if lane is None or not (math.isfinite(when[0]) and math.isfinite(when[1])):
            return
        for index, mark in enumerate(lane.marks):
            if mark.kind == kind and when[0] - 1 <= mark.t:
                lane.marks[index] = replace(mark, t=(when[0] + when[1]) / 2, bounds=when)
                return
        lane.marks.append(Mark((when[0] + when[1]) / 2, kind, label, line, when))


def threshold_mib(value: object, capacity: float | None) -> float | None:
    """A `memory.available` threshold as configured, in MiB; percentages are of the node's capacity."""
    found = memory_threshold(value, None if capacity is None else capacity * MIB)
    return None if found is None else found / MIB


class TimelineReader:
    """Builds the lanes, record by record."""

    def __init__(self, provenance: model.Provenance) -> None:
        self.provenance = provenance
        self.nodes: dict[str, NodeLane] = {}
        self.guests: dict[str, GuestLane] = {}
        self.actions: list[Mark] = []
        self.end = 0.0
        self.seen: set[tuple[str, ...]] = set()
        self.stats_only: dict[str, Series] = defaultdict(lambda: Series(GAP["stats/summary"]))
        self.stats_time: dict[str, str] = {}
        self.vmi_of_pod: dict[str, str] = {}
        self.unplaced: dict[str, Unplaced] = {}
        self.malformed: list[int] = []
        for handle in provenance.nodes.values():
            if isinstance(handle, Mapping) and isinstance(handle.get("name"), str):
                self._node(handle["name"]).capacity = float(handle.get("memory") or 0) / MIB or None

    def _node(self, name: str) -> NodeLane:
        return self.nodes.setdefault(name, NodeLane(name, Series(GAP["cgroup"])))

    def _guest(self, name: str) -> GuestLane:
        return self.guests.setdefault(name, GuestLane(name, Series(GAP["guest"]), Series(GAP["cgroup"])))

    def once(self, *key: str) -> bool:
        """Whether this is the first time `key` is seen: an object is served many times."""
        new = key not in self.seen
        self.seen.add(key)
        return new

    def read(self, line: int, record: model.Record) -> None:
        """Take the record of one line; one whose object is not of its kind's shape is counted in `malformed`."""
        try:
            self._read(line, record)
        except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError):
            self.malformed.append(line)

    def _read(self, line: int, record: model.Record) -> None:
        self.end = max(self.end, record.t)
        match record:
            case model.Watch():
                self._watch(line, record)
            case model.Sample():
                self._sample(record)
            case model.Guest():
                self._console(line, record)
            case model.Action(what="step-start" | "workload-done" | "window-end" as what):
                label = {"step-start": record.target, "workload-done": "load done", "window-end": "end"}[what]
                self.actions.append(Mark(record.t, what, label or what, line))
            case model.Kernel():
                if record.vmi:
                    self._guest(record.vmi).marks.append(Mark(record.t, "oom", "OOM kill", line))
                elif record.node:
                    self._node(record.node).marks.append(Mark(record.t, "oom", "OOM kill", line))
            case _:
                pass

    def _sample(self, record: model.Sample) -> None:
        data = record.data
        if record.source == "cgroup":
            used = working_set(data)
            if used is None:
                return
            if record.subject == "/":
                lane = self._node(record.node)
                if lane.capacity:
                    lane.available.add(record.t, lane.capacity - used / MIB)
            elif vmi := self.vmi_of(record):
                self._guest(vmi).working_set.add(record.t, used / MIB)
        elif record.source == "stats/summary":
            memory = dig(data, "node", "memory") or {}
            available, seen = memory.get("availableBytes"), str(memory.get("time", ""))
            if isinstance(available, int | float) and self.stats_time.get(record.node) != seen:
                self.stats_time[record.node] = seen
                self.stats_only[record.node].add(record.t, available / MIB)

    def vmi_of(self, record: model.Sample) -> str | None:
        """The VMI whose pod a cgroup sample is about; recorders elsewhere only gave the cgroup's path."""
        if isinstance(record.data.get("vmi"), str):
            return str(record.data["vmi"])
        found = _POD.search(record.subject)
        return self.vmi_of_pod.get((found[1] or found[2]).replace("_", "-")) if found else None

    def _console(self, line: int, record: model.Guest) -> None:
        lane = self._guest(record.vmi)
        if found := _HELD.match(record.line):
            lane.held.add(record.t, int(found[1]) / MIB)
        elif found := _HELD_RECORDED.match(record.line):
            lane.held.add(record.t, float(found[1]))
        elif _POWER.match(record.line):
            if self.once("power", record.vmi):
                lane.marks.append(Mark(record.t, "power", "power button", line))
        elif _BYE.match(record.line):
            lane.marks.append(Mark(record.t, "bye", "guest off", line))
        elif "Kernel panic" in record.line and self.once("panic", record.vmi):
            lane.marks.append(Mark(record.t, "oom", "guest panic", line))

    def _watch(self, line: int, record: model.Watch) -> None:
        obj = record.object
        kind, meta = obj.get("kind"), obj.get("metadata") or {}
        where = f"{meta.get('namespace', '')}/{meta.get('name', '')}"
        status = obj.get("status") or {}
        if kind == "Node":
            self._watch_node(line, record.t, str(meta.get("name", "")), obj)
        elif kind == "VirtualMachineInstance" and meta.get("name"):
            for uid in status.get("activePods") or {}:
                self.vmi_of_pod.setdefault(str(uid), where)
            phase = str(status.get("phase") or "")
            if phase in {"Running", "Succeeded", "Failed"} and self.once(
                "phase", str(meta.get("uid")), phase
            ):
                self._guest(where).marks.append(Mark(record.t, "phase", f"VMI {phase}", line))
        elif kind == "Pod":
            self._watch_pod(line, record.t, obj)
        elif kind == "Event":
            self._watch_event(line, record.t, obj)

    def _watch_event(self, line: int, t: float, obj: Mapping[str, Any]) -> None:
        involved = obj.get("involvedObject") or {}
        # The kubelet says Killing of a container when it sends SIGTERM; sidecars that stay are init containers.
        stops = obj.get("reason") == "Killing" and str(involved.get("fieldPath", "")).startswith(
            "spec.containers"
        )
        if obj.get("reason") != "Evicted" and not stops:
            return
        kind, label = ("sigterm", "SIGTERM") if stops else ("evicted", "Evicted")
        pod = f"{involved.get('namespace', '')}/{involved.get('name', '')}"
        owner = self.vmi_of_pod.get(str(involved.get("uid")), pod if pod in self.guests else "")
        if owner and self.once(kind, str(involved.get("uid"))):
            self._guest(owner).marks.append(Mark(t, kind, label, line))

    def _watch_node(self, line: int, t: float, name: str, obj: Mapping[str, Any]) -> None:
        lane = self._node(name)
        status = obj.get("status") or {}
        capacity = maybe_quantity(dig(status, "capacity", "memory"))
        if capacity:
            lane.capacity = capacity / MIB
        tainted = any(
            t.get("key") == "node.kubernetes.io/memory-pressure" for t in dig(obj, "spec", "taints") or []
        )
        if tainted and self.once("taint", name):
            lane.marks.append(Mark(t, "condition", "tainted", line))
        for condition in status.get("conditions") or []:
            if condition.get("type") == "MemoryPressure":
                state = str(condition.get("status"))
                changed = self.once("pressure", name, str(condition.get("lastTransitionTime")), state)
                if changed and (state == "True" or ("pressure-was", name) in self.seen):
                    self.seen.add(("pressure-was", name))
                    label = "MemoryPressure" if state == "True" else "pressure gone"
                    lane.marks.append(Mark(t, "condition", label, line))

    def _watch_pod(self, line: int, t: float, obj: Mapping[str, Any]) -> None:
        meta, spec, status = obj.get("metadata") or {}, obj.get("spec") or {}, obj.get("status") or {}
        domain = dig(meta, "annotations", "kubevirt.io/domain") or dig(meta, "labels", "vmi.kubevirt.io/id")
        if not domain:
            return
        vmi = f"{meta.get('namespace', '')}/{domain}"
        self.vmi_of_pod[str(meta.get("uid"))] = vmi
        lane = self._guest(vmi)
        requests = [
            maybe_quantity(dig(c, "resources", "requests", "memory"))
            for c in [*(spec.get("containers") or []), *_sidecars(spec)]
        ]
        lane.request = sum(q for q in requests if q is not None) / MIB or None
        self._placing(line, vmi, obj)
        phase = str(status.get("phase"))
        if phase in {"Succeeded", "Failed"} and self.once("pod", str(meta.get("uid")), phase):
            lane.marks.append(Mark(t, "pod", f"pod {phase}", line))

    def _placing(self, line: int, vmi: str, pod: Mapping[str, Any]) -> None:
        """Keep what the scheduler says of a pod that it found no node for."""
        conditions = dig(pod, "status", "conditions") or []
        refused = next(
            (c for c in conditions if c.get("type") == "PodScheduled" and c.get("reason") == "Unschedulable"),
            None,
        )
        if dig(pod, "spec", "nodeName"):
            self.unplaced.pop(vmi, None)
        elif refused is not None and vmi not in self.unplaced:
            said = str(refused.get("message") or "")
            why = ", ".join(dict.fromkeys(_REASON.findall(said.partition("preemption:")[0]))) or said
            self.unplaced[vmi] = Unplaced(name=vmi, why=why or "no reason given", line=line)

    @staticmethod
    def _never_ran(guest: GuestLane | None) -> bool:
        return guest is None or not (
            guest.held or guest.working_set or any(mark.label == "VMI Running" for mark in guest.marks)
        )

    def timeline(self, config: Callable[[str], Mapping[str, Any]] | None = None) -> Timeline:
        """Return what was read so far. `config`: a node's effective kubelet settings, where more than run.json is known."""
        for name, series in self.stats_only.items():
            if not self._node(name).available:
                self._node(name).available = series
        known = {name: config(name) for name in self.nodes} if config else self.provenance.kubelet
        for name, settings in known.items():
            lane = self._node(name)
            for kind, key in (("hard", "evictionHard"), ("soft", "evictionSoft")):
                value = dig(settings, key, "memory.available")
                mib = None if value is None else threshold_mib(value, lane.capacity)
                if mib:
                    lane.thresholds.append((f"{kind} {value}", mib))
        nodes = [lane for lane in self.nodes.values() if lane.available]
        never = {name for name in self.unplaced if self._never_ran(self.guests.get(name))}
        guests = [
            guest
            for name, guest in self.guests.items()
            if name not in never and (guest.held or guest.working_set or guest.marks)
        ]
        return Timeline(
            nodes=sorted(nodes, key=lambda lane: natural(lane.name)),
            guests=sorted(guests, key=lambda lane: natural(lane.name)),
            actions=self.actions,
            end=self.end,
            unplaced=sorted(
                (found for name, found in self.unplaced.items() if name in never),
                key=lambda found: natural(found.name),
            ),
        )


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts `guest-2` before `guest-10`."""
    # By length, then digit by digit: a number of five thousand digits is no number to Python.
    return [
        (len(digits), digits) if part.isdecimal() and (digits := part.lstrip("0")) is not None else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]


def _sidecars(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]


def read_timeline(provenance: model.Provenance, records: Iterable[tuple[int, model.Record]]) -> Timeline:
    """Draw the lanes of a run out of its records. Nodes without cgroup samples fall back to stats/summary rows."""
    reader = TimelineReader(provenance)
    for line, record in records:
        reader.read(line, record)
    return reader.timeline()
