"""Who is who in a run: fleets of the scenario, their members, and the incarnations of each member.

A member is a name; an incarnation is one VMI (or one Pod, in recordings of plain pods) of that name. A VM-owned
VMI that is evicted and comes back is two incarnations of one member.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.judge.timeline import Timeline
from harness.judge.tracks import PodTrack, VmiTrack, vmi_of_launcher
from harness.records import served
from harness.spec.model import Scenario


@dataclass(slots=True, kw_only=True, eq=False)
class Incarnation:
    """One VMI with its pods, or one plain pod."""

    key: str
    """`<namespace>/<name>` of the VMI or pod."""
    uid: str
    vmi: VmiTrack | None
    pods: list[PodTrack]
    begin: float
    until: float
    """When the next incarnation of the same name began (infinite for the last)."""
    fleet: str = ""
    is_vmi: bool = True

    @property
    def node(self) -> str:
        """The node it ran on, as far as known."""
        for pod in reversed(self.pods):
            if pod.node:
                return pod.node
        return self.vmi.node if self.vmi is not None else ""

    @property
    def pod(self) -> PodTrack | None:
        """Its last pod."""
        return self.pods[-1] if self.pods else None


@dataclass(slots=True, kw_only=True)
class Member:
    """One name of a fleet and all its incarnations, oldest first."""

    fleet: str
    name: str
    incarnations: list[Incarnation] = field(default_factory=list)


def _surplus(timeline: Timeline, scenario: Scenario, created: set[str]) -> set[str]:
    """Return the names of fleets that fill which never were to be: not made any more, or without a node and taken back."""
    filling = {name for fleet in scenario.fleet if fleet.fill for name in fleet.members}
    if not filling:
        return set()
    refused = {action.target for _, action in timeline.actions if action.what == "fill-over"}
    return filling - {key.partition("/")[2] for key in created - refused}


class Cast:
    """All incarnations of a run, and which of them the scenario's fleets are."""

    def __init__(self, timeline: Timeline, scenario: Scenario) -> None:
        self.incarnations: list[Incarnation] = []
        self.by_pod: dict[str, Incarnation] = {}
        self._by_vmi: dict[str, Incarnation] = {}
        self._collect(timeline)
        self.members = [
            Member(fleet=fleet.name, name=name)
            for fleet in scenario.fleet
            for name in (fleet.members or (fleet.name,))
        ]
        self.fleets = tuple(fleet.name for fleet in scenario.fleet)
        created = {action.target for _, action in timeline.actions if action.what == "create"}
        surplus = _surplus(timeline, scenario, created)
        self.members = [m for m in self.members if m.name not in surplus]
        for member in self.members:
            member.incarnations = list(self._of_name(member.name, created))
            for incarnation in member.incarnations:
                incarnation.fleet = incarnation.fleet or member.fleet

    def _collect(self, timeline: Timeline) -> None:
        for vmi in timeline.vmis.values():
            incarnation = Incarnation(
                key=vmi.key, uid=vmi.uid, vmi=vmi, pods=[], begin=vmi.first.t, until=float("inf")
            )
            self._by_vmi[vmi.uid] = incarnation
            self.incarnations.append(incarnation)
        active = {uid: vmi.uid for vmi in timeline.vmis.values() for uid in sorted(vmi.pod_uids)}
        for pod in timeline.pods.values():
            self._place_pod(pod, active.get(pod.uid, ""))
        for uid in sorted(active):
            self.by_pod.setdefault(uid, self._by_vmi[active[uid]])
        self._unseen(timeline)
        self.incarnations.sort(key=lambda i: (i.begin, i.key, i.uid))
        latest: dict[tuple[str, bool], Incarnation] = {}
        for incarnation in self.incarnations:
            before = latest.get((incarnation.key, incarnation.is_vmi))
            if before is not None:
                before.until = incarnation.begin
            latest[incarnation.key, incarnation.is_vmi] = incarnation

    def _place_pod(self, pod: PodTrack, active: str) -> None:
        vmi_uid = pod.vmi_uid or active
        launcher = any(c.get("name") == "compute" for c in served.mappings(pod.object, "spec", "containers"))
        name = pod.vmi_name or (vmi_of_launcher(pod.name) if launcher else "")
        home = self._by_vmi.get(vmi_uid)
        if home is None and (vmi_uid or name):
            key = f"{pod.namespace}/{name or vmi_of_launcher(pod.name)}"
            home = Incarnation(
                key=key, uid=vmi_uid or pod.uid, vmi=None, pods=[], begin=pod.first.t, until=float("inf")
            )
            self._by_vmi[home.uid] = home
            self.incarnations.append(home)
        elif home is None:
            home = Incarnation(
                key=pod.key,
                uid=pod.uid,
                vmi=None,
                pods=[],
                begin=pod.first.t,
                until=float("inf"),
                is_vmi=False,
            )
            self.incarnations.append(home)
        home.pods.append(pod)
        home.begin = min(home.begin, pod.first.t)
        self.by_pod[pod.uid] = home

    def _unseen(self, timeline: Timeline) -> None:
        """Make incarnations of pods that only events speak of (a recording without the pods stream)."""
        if "Pod" in timeline.kinds:
            return
        for event in timeline.events:
            if event.kind != "Pod" or not event.uid or event.uid in self.by_pod:
                continue
            name = vmi_of_launcher(event.name)
            key = f"{event.namespace}/{name or event.name}"
            home = next((i for i in self.incarnations if i.key == key and i.vmi is not None), None)
            if home is None:
                home = Incarnation(
                    key=key,
                    uid=event.uid,
                    vmi=None,
                    pods=[],
                    begin=event.t,
                    until=float("inf"),
                    is_vmi=bool(name),
                )
                self.incarnations.append(home)
            self.by_pod[event.uid] = home

    def _of_name(self, name: str, created: set[str]) -> Iterator[Incarnation]:
        keys = {key for key in created if key.partition("/")[2] == name}
        found = [
            i
            for i in self.incarnations
            if (i.key in keys if keys else name in {i.key, i.key.partition("/")[2]})
            or any(name in {p.key, p.name} for p in i.pods)
        ]
        vmis = [i for i in found if i.is_vmi]
        yield from (vmis or found)

    def of(self, fleet: str) -> list[Member]:
        """Return the members of a fleet, or of `all`."""
        return [m for m in self.members if fleet in {"all", m.fleet}]

    def named(self, fleets: Iterable[str]) -> list[Member]:
        """Return the members of several fleets, in scenario order."""
        wanted = set(fleets)
        return [m for m in self.members if m.fleet in wanted or "all" in wanted]
