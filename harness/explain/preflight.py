"""Before anything starts: does the fleet fit, does the workload cross the line, who wins, can the victim be the one named?

Pure. A Refusal means that the scenario cannot show what it says; a Caveat that it may not. Recorded scenarios (fleets
with `match`) create nothing and have no preflight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.explain.forecast import BAND, MIB, Crossing, Forecast, Member, forecast
from harness.explain.merging import merges, never
from harness.rules import admission, schema
from harness.rules.allocatable import NodeMemory, node_memory
from harness.rules.defaults import default_spec
from harness.rules.errors import RulesError, ThresholdError
from harness.rules.pods import amount, pod_request
from harness.rules.resources import PodResources, render_resources
from harness.rules.scheduling import Demand, Room, demand, fit, score
from harness.rules.swap import why_not_started
from harness.rules.thresholds import memory_thresholds
from harness.rules.vmi import get, guest, spec
from harness.spec.expectations import Evicted, Oom
from harness.spec.model import FleetSpec, NodeSpec, Scenario
from harness.spec.workload import MOST_SHARE
from harness.units import Bytes

DEFAULT_IDLE: Final = Bytes(155 * MIB)
"""Working set of an idle pod of the agent on `local` where none was measured (facts: ~160 MiB at 512Mi)."""
_UNLIMITED_CPU: Final = 10**9
_LIKELY: Final = 0.2
_PRIORITIES: Final = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
    "kubevirt-cluster-critical": 1_000_000_000,
}
"""Classes every cluster with KubeVirt has; of others the value isn't known here."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the scenario can't show what it says. `id`: stable word for it."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Caveat:
    """What may well go otherwise than the scenario says."""

    id: str
    text: str


Finding = Refusal | Caveat


@dataclass(slots=True)
class _Place:
    spec: NodeSpec
    node: NodeMemory
    room: Room
    members: list[Member]


def preflight(
    scenario: Scenario, *, column: str, idle_working_set: Mapping[str, Bytes] | None = None
) -> list[Finding]:
    """List what speaks against a scenario, refusals first.

    `column`: KubeVirt version. `idle_working_set`: fleet name (or `*`) to the working set of an idle pod, as measured.
    Raises ColumnError.
    """
    if any(fleet.match for fleet in scenario.fleet):
        return []
    found: list[Finding] = []
    places: dict[str, _Place] = {}
    for node in scenario.nodes:
        if node.memory is None:
            found.append(
                Caveat(
                    "node-size", f"node {node.name}: its size is the cluster's, so nothing is forecast for it"
                )
            )
            continue
        try:
            divided = node_memory(node.kubelet, capacity=node.memory)
            memory_thresholds(node.kubelet)
            _check_swap(scenario, node)
        except RulesError as error:
            found.append(Refusal("kubelet-config", f"node {node.name}: the kubelet would not start: {error}"))
            continue
        room = Room(name=node.name, memory=divided.allocatable, cpu_milli=_UNLIMITED_CPU)
        places[node.name] = _Place(node, divided, room, [])
    idle = idle_working_set or {}
    for fleet in scenario.fleet:
        found += _settle(
            fleet, scenario, places, column=column, idle=idle.get(fleet.name, idle.get("*", DEFAULT_IDLE))
        )
    for daemon in scenario.daemons:
        if (place := places.get(daemon.node)) is not None:
            place.members.append(_daemon(daemon.name))
    if not any(isinstance(finding, Refusal) for finding in found):
        found += (_unmerged(f) if merges(scenario) else f for f in _forecasts(scenario, places))
    found += (Caveat("ksm", why) for why in never(scenario))
    return sorted(found, key=lambda finding: isinstance(finding, Caveat))


def _check_swap(scenario: Scenario, node: NodeSpec) -> None:
    """Raise ThresholdError where the kubelet would not start on a machine with the scenario's swap."""
    swap = scenario.host.swap.size if scenario.host.swap is not None else Bytes(0)
    if why := why_not_started(node.kubelet, swap_total=swap):
        raise ThresholdError(why)


def _unmerged(finding: Finding) -> Finding:
    """Return what a forecast says of a machine that merges pages: no more than a caveat, since none is reckoned with it."""
    if finding.id not in {"no-crossing", "no-oom"}:
        return finding
    return Caveat(finding.id, f"{finding.text}; what KSM merges is not reckoned with")


def _settle(
    fleet: FleetSpec, scenario: Scenario, places: Mapping[str, _Place], *, column: str, idle: Bytes
) -> Iterator[Finding]:
    """Render a fleet and place its members, pinned or where the scheduler would."""
    asks_admission = any(
        check.kind == "admission" and getattr(check.expectation, "of", None) == fleet.name
        for check in scenario.checks
    )
    try:
        refused = _refused(fleet, scenario.kubevirt, column=column)
        rendered = render_resources(fleet.manifest, column=column, configuration=scenario.kubevirt)
    except RulesError as error:
        refused, rendered = str(error), None
    if refused or rendered is None:
        if not asks_admission:
            yield Refusal("admission", f"fleet {fleet.name}: the API server refuses it: {refused}")
        return
    pod_spec = rendered.pod_spec()
    for name in fleet.members:
        candidates = [place for place in places.values() if fleet.node in {None, place.spec.name}]
        if not candidates:
            return
        open_ = [place for place in candidates if fit(pod_spec, place.room).fits]
        if not open_ and fleet.fill and name != fleet.members[0]:
            return
        if not open_:
            yield _no_room(name, pod_spec, candidates, pinned=fleet.node is not None)
            return
        place = max(open_, key=lambda candidate: score(pod_spec, candidate.room))
        used: Demand = place.room.used + demand(pod_spec)
        place.room = replace(place.room, used=used)
        place.members.append(_member(name, fleet, rendered, idle))


def _refused(fleet: FleetSpec, configuration: Mapping[str, Any], *, column: str) -> str:
    manifest = fleet.manifest
    kind = str(manifest.get("kind") or "VirtualMachineInstance")
    if kind in schema.KINDS and (problems := schema.check(manifest, kind, column=column)):
        first = problems[0]
        return (
            schema.warning(first)
            if first.kind == "unknown"
            else f"{first.dotted}: {first.text or first.expected}"
        )
    defaulted = default_spec(spec(manifest), column=column, configuration=configuration)
    causes = admission.validate_vmi(
        {"metadata": manifest.get("metadata") or {}, "spec": defaulted},
        column=column,
        configuration=configuration,
    )
    return admission.combined(causes)


def _no_room(
    name: str, pod_spec: Mapping[str, Any], candidates: Sequence[_Place], *, pinned: bool
) -> Refusal:
    request = pod_request(pod_spec).value()
    best = max(candidates, key=lambda place: place.room.memory - place.room.used.memory)
    left = best.room.memory - best.room.used.memory
    reasons = ", ".join(
        sorted({reason for place in candidates for reason in fit(pod_spec, place.room).reasons})
    )
    where = (
        f"node {best.spec.name}"
        if pinned or len(candidates) == 1
        else f"any node ({best.spec.name} has most left)"
    )
    return Refusal(
        "fit",
        (
            f"{name} does not fit on {where}: {reasons}; its pod requests {_mib(request)} and {_mib(left)} of "
            f"{_mib(best.room.memory)} allocatable are left"
        ),
    )


def _member(name: str, fleet: FleetSpec, rendered: PodResources, idle: Bytes) -> Member:
    compute = rendered.containers[0]
    limit = amount(compute, "limits", "memory")
    size = guest(rendered.vmi_spec)
    return Member(
        name=name,
        fleet=fleet.name,
        guest=Bytes(0) if size is None else size.value(),
        request=pod_request(rendered.pod_spec()).value(),
        limit=None if limit.is_zero() else limit.value(),
        priority=_PRIORITIES.get(str(get(fleet.manifest, "spec", "priorityClassName") or ""), 0),
        idle=idle,
    )


def _daemon(name: str) -> Member:
    """A process of the node's own: nothing in it to begin with, nothing requested."""
    return Member(
        name=name,
        fleet="",
        guest=Bytes(0),
        request=Bytes(0),
        limit=None,
        priority=0,
        idle=Bytes(0),
        daemon=True,
    )


def _forecasts(scenario: Scenario, places: Mapping[str, _Place]) -> Iterator[Finding]:
    plain = {name: _run(scenario, place, factor=1.0) for name, place in places.items()}
    high = {name: _run(scenario, place, factor=1.0 + BAND) for name, place in places.items()}
    low = {name: _run(scenario, place, factor=1.0 - BAND) for name, place in places.items()}
    yield from _guests(scenario, places)
    evicted = [check.expectation for check in scenario.checks if isinstance(check.expectation, Evicted)]
    ooms = [check.expectation for check in scenario.requires if isinstance(check.expectation, Oom)]
    wants_eviction = any(expectation.min_count > 0 for expectation in evicted)
    wants_none = any(
        check.kind == "evicted"
        and isinstance(check.expectation, Evicted)
        and check.expectation.max_count == 0
        for check in scenario.requires
    )
    wants_node_oom = any(expectation.scope == "node" and expectation.min_count > 0 for expectation in ooms)
    crossings = [(name, crossing) for name, run in plain.items() for crossing in run.crossings]
    if wants_eviction and not any(run.crossings for run in high.values()):
        yield _no_crossing(places, high)
    if wants_none and not wants_node_oom:
        for name, run in low.items():
            for crossing in run.crossings:
                yield Caveat(
                    "crossing",
                    (
                        f"node {name}: step '{crossing.step}' crosses {crossing.threshold}, and no eviction may happen: "
                        f"{_mib(crossing.final)} would be left"
                    ),
                )
    if wants_node_oom and all(run.lowest > 0 for run in high.values()):
        least = min(run.lowest for run in high.values())
        yield Refusal(
            "no-oom",
            f"no node runs out of memory: at least {_mib(least)} stay available, so nothing is OOM-killed",
        )
    for name, crossing in crossings:
        if crossing.threshold.memory and crossing.threshold.hard:
            yield from _race(
                name,
                crossing,
                wants_eviction=wants_eviction and not wants_node_oom,
                wants_node_oom=wants_node_oom,
            )
            break
    yield from _containers(plain, ooms)
    yield from _victims(scenario, places, plain)


def _run(scenario: Scenario, place: _Place, *, factor: float) -> Forecast:
    members = [replace(member, idle=Bytes(int(member.idle * factor))) for member in place.members]
    return forecast(members, scenario.workload, memory_thresholds(place.spec.kubelet), place.node)


def _no_crossing(places: Mapping[str, _Place], runs: Mapping[str, Forecast]) -> Finding:
    name, place = next(iter(places.items())) if places else ("", None)
    if place is None:
        return Caveat("no-crossing", "no node of a known size: whether the line is crossed is not known")
    nearest = min(places, key=lambda candidate: runs[candidate].lowest)
    thresholds = memory_thresholds(places[nearest].spec.kubelet)
    if not thresholds:
        return Refusal(
            "no-threshold",
            f"node {nearest}: no memory threshold is in force, so nothing is ever evicted for memory",
        )
    highest = max(threshold.value.resolve(places[nearest].node.capacity).value() for threshold in thresholds)
    run = runs[nearest]
    if run.idle >= highest:
        said = (
            f"the workload leaves {_mib(run.lowest)} available, above the threshold of {_mib(highest)}: "
            "nothing is evicted"
        )
    else:
        idle = f"leave {_mib(run.idle)}" if run.idle >= 0 else f"need {_mib(-run.idle)} more than it has"
        said = (
            f"its guests {idle} before the workload begins, below the threshold of {_mib(highest)} already: "
            "no step crosses it"
        )
    return Refusal("no-crossing", f"node {nearest or name}: {said}")


def _race(name: str, crossing: Crossing, *, wants_eviction: bool, wants_node_oom: bool) -> Iterator[Finding]:
    chance = crossing.kernel_first
    rate = f"{crossing.growth / MIB:.0f} MiB/s"
    if wants_eviction and chance > _LIKELY:
        yield Caveat(
            "race",
            (
                f"node {name}: step '{crossing.step}' grows by {rate}; the kernel is first with a chance of ~{chance:.0%} "
                f"(hypothesis): from {_mib(crossing.below)} on, memory is gone in {crossing.below / crossing.growth:.0f} s"
            ),
        )
    if wants_node_oom and crossing.final <= 0 and chance < 1 - _LIKELY:
        yield Caveat(
            "race",
            (
                f"node {name}: step '{crossing.step}' grows by {rate}; the kubelet is first with a chance of "
                f"~{1 - chance:.0%} (hypothesis) unless the step begins just after one of its passes"
            ),
        )


def _containers(runs: Mapping[str, Forecast], ooms: Sequence[Oom]) -> Iterator[Finding]:
    wanted = {fleet for expectation in ooms if expectation.min_count > 0 for fleet in expectation.fleets}
    seen: set[str] = set()
    for run in runs.values():
        for oom in run.container_ooms:
            if oom.fleet not in wanted and "all" not in wanted and oom.fleet not in seen:
                seen.add(oom.fleet)
                yield Caveat(
                    "container-limit",
                    (
                        f"{oom.member}: step '{oom.step}' takes it to {_mib(oom.wanted)}, beyond its container's limit of "
                        f"{_mib(oom.limit)}: the kernel kills it there"
                    ),
                )


def _guests(scenario: Scenario, places: Mapping[str, _Place]) -> Iterator[Finding]:
    """Guests asked for more than they take: the agent is init, its OOM would be a panic of the guest."""
    members = [member for place in places.values() for member in place.members]
    for step in scenario.workload:
        if step.verb != "grow" or step.to is None or step.to.bytes is None:
            continue
        for member in members:
            if (
                "all" in step.fleets or member.fleet in step.fleets
            ) and step.to.bytes > MOST_SHARE * member.available:
                yield Caveat(
                    "guest-oom",
                    (
                        f"{member.name}: step '{step.name}' asks for {_mib(step.to.bytes)}, its guest of {_mib(member.guest)} "
                        f"has about {_mib(member.available)}, and refuses more than {MOST_SHARE:.0%} of it"
                    ),
                )
                break


def _victims(
    scenario: Scenario, places: Mapping[str, _Place], runs: Mapping[str, Forecast]
) -> Iterator[Finding]:
    """Whether those the scenario wants evicted first are those the kubelet would rank first."""
    for check in scenario.requires:
        expectation = check.expectation
        if not isinstance(expectation, Evicted) or expectation.min_count == 0 or "all" in expectation.fleets:
            continue
        for name, run in runs.items():
            fleets = {member.name: member.fleet for member in places[name].members}
            if not run.crossings or not set(fleets.values()) & set(expectation.fleets):
                continue
            first = run.crossings[0].ranking[0]
            mine = [pod for pod in run.crossings[0].ranking if fleets[pod.name] in expectation.fleets]
            if fleets[first.name] in expectation.fleets:
                continue
            best = mine[0]
            why = (
                "none of them ever uses more than its request"
                if not best.exceeds
                else f"{first.name} is {_mib(first.excess)} over its request"
            )
            yield Caveat(
                "victim",
                (
                    f"node {name}: the kubelet would evict {first.name} before {best.name}: {why} ({best.name} uses "
                    f"{_mib(best.working_set or 0)} of {_mib(best.request)} requested). To go first it needs a smaller request "
                    "and overcommitGuestOverhead: true"
                ),
            )


def _mib(size: float) -> str:
    return f"{size / MIB:.0f} MiB"
