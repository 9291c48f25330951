"""What the recordings of real clusters must show (tests/recordings/README.md), and still show when streams are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from harness.judge.judge import judge, timeline_of
from harness.judge.model import Findings
from harness.judge.seen import Run
from harness.records.model import Guest, Record, Sample, Watch
from harness.spec.expectations import Evicted, Grace, Oom, Phase, Shutdown, Survives
from harness.spec.model import FleetSpec
from harness.units import Seconds
from tests.judge.recorded import CLAIMS, FILES, SCENARIOS, imported, judged, scenario
from tests.judge.world import require

Records = tuple[tuple[int, Record], ...]

VICTIMS = {
    "hard-eviction-pods": ["default/hog-a"],
    "hard-eviction": ["default/hog-1"],
    "soft-eviction": ["default/hog-2"],
    "load-without-crossing": [],
    "hard-eviction-deaf": ["default/hog-1"],
    "deaf-vmi-stays-running": ["default/hog-1"],
    "daemon-evicts-guaranteed": ["default/sure"],
    "soft-eviction-default-cap": ["default/hog-1"],
    "vm-always-evicted": ["default/vm-a"],
    "container-oom": [],
    "reserved": ["default/half"],
    "ksm-by-kubevirt": [],
}

CLAIMED = {
    "hard-eviction": {
        "HARD-2a": "differs",
        "HARD-2b": "refuted",
        "HARD-2c": "holds",
        "QOS-3b": "holds",
        "QOS-6c": "holds",
    },
    "hard-eviction-deaf": {"HARD-2a": "differs", "HARD-2d": "holds", "HARD-2c": "holds"},
    "deaf-vmi-stays-running": {"HARD-2a": "differs", "HARD-2d": "holds"},
    "vm-always-evicted": {
        "HARD-2a": "differs",
        "HARD-2b": "refuted",
        "HARD-3": "refuted",
        "SOFT-5": "holds",
    },
    "daemon-evicts-guaranteed": {"QOS-3": "refuted", "QOS-5": "refuted", "HARD-2c": "holds"},
    "soft-eviction": {
        "SOFT-1a": "holds",
        "SOFT-1b": "holds",
        "SOFT-3a": "holds",
        "SOFT-3b": "holds",
        "SOFT-4": "holds",
    },
    "soft-eviction-default-cap": {"SOFT-1c": "differs", "SOFT-3b": "holds", "SOFT-4b": "refuted"},
    "hard-eviction-pods": {"HARD-2c": "holds", "HARD-5": "holds"},
    "container-oom": {"PRESS-1": "holds"},
    "reserved": {"HARD-2c": "holds", "RES-1": "holds", "RES-4": "holds"},
}


def run(name: str, records: Records | None = None) -> Run:
    provenance, whole = imported(name)
    made = scenario(name)
    timeline = timeline_of(provenance, made).extend(whole if records is None else records)
    return Run(timeline=timeline, provenance=provenance, scenario=made)


def test_every_recording_has_its_scenario() -> None:
    # Collections of answers have tests of their own (test_collections).
    collections = {"api-answers", "resources"}
    assert {p.stem for p in SCENARIOS.glob("*.yaml")} - collections == set(FILES)
    assert sorted(FILES) == sorted(VICTIMS)


@pytest.mark.parametrize("name", sorted(FILES))
def test_victims(name: str) -> None:
    assert [e.key for e in run(name).evictions] == VICTIMS[name]


@pytest.mark.parametrize("name", sorted(FILES))
def test_requirements_are_met_and_the_run_is_whole_and_real(name: str) -> None:
    made = judged(name)
    assert {f.check: f.outcome for f in made.findings if not f.claim and f.outcome != "holds"} == {}
    assert (made.complete, made.valid) == (True, True)
    assert imported(name)[0].evidence == "real"


@pytest.mark.parametrize("name", sorted(CLAIMED))
def test_claims(name: str) -> None:
    seen = {f.claim: f.outcome for f in judged(name).findings if f.claim}
    assert {claim: seen.get(claim) for claim in CLAIMED[name]} == CLAIMED[name]


def test_the_no_grace_half_differs_as_is_known_and_not_by_surprise() -> None:
    for name in ("hard-eviction", "hard-eviction-deaf", "deaf-vmi-stays-running", "vm-always-evicted"):
        assert not any(f.surprise for f in judged(name).findings)


def seen(name: str, kind: str, expectation: Any, records: Records | None = None) -> Any:
    provenance, whole = imported(name)
    made = scenario(name)
    asked = type(made)(
        **{f: getattr(made, f) for f in made.__slots__ if f not in {"promises", "requires"}},
        promises=(),
        requires=(require(kind, expectation),),
    )
    return judge(provenance, whole if records is None else records, asked, CLAIMS).findings[0]


def test_the_grace_of_a_deaf_guest_is_two_seconds_within_its_uncertainty() -> None:
    for name in ("hard-eviction-deaf", "deaf-vmi-stays-running", "soft-eviction-default-cap"):
        grace = seen(name, "grace", Grace(of="victim", min=Seconds(0.0)))
        assert 1.5 < grace.low < 2.0
        assert 2.0 < grace.high < 2.25


def test_a_vmi_that_stays_running_is_told_from_its_dead_pod() -> None:
    ending = next(e for e in run("deaf-vmi-stays-running").endings if e.is_victim)
    assert ending.gone is not None
    assert 36.0 < ending.gone.low < ending.gone.high < 37.0
    vmi = ending.incarnation.vmi
    assert vmi is not None
    assert vmi.final is not None
    assert ending.eviction is not None
    assert 39.4 < vmi.final.t - ending.eviction.told.low < 39.6


def test_the_evicted_vm_and_its_successor_are_two_incarnations() -> None:
    made = run("vm-always-evicted")
    (member,) = made.cast.of("vm")
    assert [i.uid[:8] for i in member.incarnations] == ["3de09c48", "557686e5"]
    assert [e.eviction is not None for e in made.inside(member)] == [True, False]


def test_the_vmi_that_died_before_the_recording_is_not_part_of_it() -> None:
    made = run("soft-eviction")
    (member,) = made.cast.of("victim-before")
    assert made.inside(member) == []
    gone = seen("soft-eviction", "survives", Survives(of="victim-before"))
    assert (gone.outcome, gone.reason) == ("not-observable", "hog-1 was over before the run began")


def test_a_shutdown_whose_console_had_gone_silent_is_not_observable() -> None:
    for name in ("daemon-evicts-guaranteed", "reserved"):
        assert seen(name, "shutdown", Shutdown(of="victim", clean=True)).outcome == "not-observable"


def test_the_oom_is_the_containers_and_nobody_elses() -> None:
    for scope, outcome in (
        ("container", "holds"),
        ("pod", "refuted"),
        ("node", "refuted"),
        ("guest", "refuted"),
    ):
        wanted = Oom(fleets=("hog",), scope=scope, min_count=1, max_count=1)  # type: ignore[arg-type]
        assert seen("container-oom", "oom", wanted).outcome == outcome


def test_a_crossing_before_the_recording_leaves_its_latency_open() -> None:
    wanted = Evicted(fleets=("large-request",), min_count=1, max_count=1, within=Seconds(60.0))
    assert seen("soft-eviction", "evicted", wanted).outcome == "undecided"


def test_a_plain_pod_that_ended_by_itself_shows_no_upper_bound_of_its_grace() -> None:
    grace = seen("hard-eviction-pods", "grace", Grace(of="over", max=Seconds(1.0)))
    assert (grace.outcome, grace.low) == ("undecided", 0.0)


def without(name: str, drop: Callable[[Record], bool]) -> Records:
    return tuple((n, r) for n, r in imported(name)[1] if not drop(r))


def kind(*names: str) -> Callable[[Record], bool]:
    return lambda r: isinstance(r, Watch) and r.object.get("kind") in names


EVICTION_RUNS = sorted(name for name, victims in VICTIMS.items() if victims)


@pytest.mark.parametrize("name", EVICTION_RUNS)
def test_victims_are_known_by_events_alone(name: str) -> None:
    assert [e.key for e in run(name, without(name, kind("Pod"))).evictions] == VICTIMS[name]
    assert [
        e.key for e in run(name, without(name, kind("Pod", "VirtualMachineInstance"))).evictions
    ] == VICTIMS[name]


@pytest.mark.parametrize("name", EVICTION_RUNS)
def test_victims_are_known_by_pods_alone(name: str) -> None:
    made = run(name, without(name, kind("Event")))
    assert [e.key for e in made.evictions] == VICTIMS[name]
    assert not made.evictions[0].by_event


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize(
    "kinds", [("Node",), ("VirtualMachineInstance",), ("Pod", "Event"), ("Event",), ("Pod",)]
)
def test_missing_streams_are_never_an_error_and_never_the_opposite(name: str, kinds: tuple[str, ...]) -> None:
    whole = {f.check: f.outcome for f in judged(name).findings}
    decided = {"holds": {"refuted"}, "differs": {"holds"}, "refuted": {"holds"}}
    for found in judged(name, without(name, kind(*kinds))).findings:
        assert found.outcome != "error", found
        if not (
            found.kind in {"survives", "evicted", "oom", "qos", "request"} and {"Pod", "Event"} <= set(kinds)
        ):
            assert found.outcome not in decided.get(whole[found.check], set()), found


@pytest.mark.parametrize("name", EVICTION_RUNS)
def test_without_any_availability_latencies_are_not_observable(name: str) -> None:
    drop = without(name, lambda r: isinstance(r, Sample))
    timed = [
        f for f in judged(name, drop).findings if ", within 1" in f.expected or ", after 1" in f.expected
    ]
    assert {f.outcome for f in timed} <= {"not-observable"}


@pytest.mark.parametrize("name", ["hard-eviction", "soft-eviction"])
def test_without_a_console_a_clean_shutdown_is_not_observable(name: str) -> None:
    drop = without(name, lambda r: isinstance(r, Guest))
    assert seen(name, "shutdown", Shutdown(of="victim", clean=True), drop).outcome == "not-observable"


def test_by_stats_summary_alone_a_crossing_is_known_to_a_kubelet_pass() -> None:
    drop = without("hard-eviction-deaf", lambda r: isinstance(r, Sample) and r.source == "cgroup")
    wanted = Evicted(fleets=("small-request",), min_count=1, max_count=1, within=Seconds(15.0))
    found = seen("hard-eviction-deaf", "evicted", wanted, drop)
    assert found.outcome == "holds"
    assert 9.0 < found.high - found.low < 12.5
    exact = seen("hard-eviction-deaf", "evicted", wanted)
    assert found.low <= exact.low <= exact.high <= found.high
    assert exact.high - exact.low < 0.6


def test_flipping_one_record_changes_the_finding() -> None:
    def flipped(change: Callable[[Record], Record]) -> Records:
        return tuple((n, change(r)) for n, r in imported("hard-eviction")[1])

    def silence(record: Record) -> Record:
        bye = isinstance(record, Guest) and record.line == "BYE"
        return msgspec.structs.replace(record, line="…") if bye else record

    def fail(record: Record) -> Record:
        if isinstance(record, Watch) and record.object.get("kind") == "VirtualMachineInstance":
            status = record.object["status"]
            if status.get("phase") == "Succeeded":
                return msgspec.structs.replace(
                    record, object={**record.object, "status": {**status, "phase": "Failed"}}
                )
        return record

    def other(record: Record) -> Record:
        if isinstance(record, Watch) and record.object.get("reason") == "Evicted":
            stale = {
                **record.object,
                "lastTimestamp": "2026-11-23T23:00:00Z",
                "metadata": {"name": "x", "uid": "x"},
            }
            return msgspec.structs.replace(record, object=stale)
        return record

    before = judged("hard-eviction")
    assert next(f for f in before.findings if f.claim == "HARD-2b").outcome == "refuted"
    assert (
        next(f for f in judged("hard-eviction", flipped(fail)).findings if f.claim == "HARD-2b").outcome
        == "holds"
    )
    assert judged("hard-eviction", flipped(silence)) == before, "the kernel's power-down line says it too"

    def latency(made: Findings) -> tuple[str, float | None]:
        found = next(f for f in made.findings if f.claim == "HARD-2c")
        return found.outcome, found.high

    assert latency(before) == ("holds", 10.4515)
    # By the pod's condition alone the decision was no later than the end: still within 15 s, less exactly known.
    assert latency(judged("hard-eviction", flipped(other))) == ("holds", 12.7483)


def test_a_fleet_may_name_launcher_pods_or_namespaced_names() -> None:
    provenance, records = imported("hard-eviction-deaf")
    made = scenario("hard-eviction-deaf")
    for names in (("default/hog-1",), ("virt-launcher-hog-1-9t9z9",), ("default/virt-launcher-hog-1-9t9z9",)):
        fleet = (FleetSpec(name="small-request", manifest={}, match=names), made.fleet[1])
        asked = type(made)(
            **{f: getattr(made, f) for f in made.__slots__ if f not in {"fleet", "promises", "requires"}},
            fleet=fleet,
            promises=(),
            requires=(
                require("evicted", Evicted(fleets=("small-request",), min_count=1, max_count=1), 0),
                require("phase", Phase(of="small-request", vmi=("Running",), pod=("Failed",)), 1),
            ),
        )
        outcomes = [f.outcome for f in judge(provenance, records, asked, CLAIMS).findings]
        assert outcomes == ["holds", "holds"], names
