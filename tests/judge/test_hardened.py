"""Odd recordings: several nodes, several victims, objects that are not what they should be."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from harness.judge.judge import judge, to_bytes
from harness.records.model import Guest, Sample, Watch
from harness.spec.expectations import Evicted, Grace, Phase, Shutdown, Survives
from harness.units import Seconds
from tests.judge.recorded import CLAIMS, FILES, imported, scenario
from tests.judge.world import World, finding, uid

JUNK: list[Any] = [
    None,
    "",
    0,
    -1,
    1.5,
    "x",
    [],
    {},
    [None],
    {"a": None},
    True,
    "2026-13-45T99:99:99Z",
    "9" * 40,
]


def broken(rng: random.Random, value: Any) -> Any:
    """The value with something in it replaced by junk, or gone."""
    if isinstance(value, dict) and value and rng.random() > 0.15:
        name = rng.choice(list(value))
        return {**value, name: broken(rng, value[name])}
    if isinstance(value, list) and value:
        index = rng.randrange(len(value))
        return [*value[:index], broken(rng, value[index]), *value[index + 1 :]]
    return rng.choice(JUNK)


@pytest.mark.parametrize("seed", range(12))
def test_no_object_upsets_the_judge(seed: int) -> None:
    rng = random.Random(seed)
    name = sorted(FILES)[seed % len(FILES)]
    provenance, whole = imported(name)
    records = []
    for number, record in whole:
        changed = record
        if isinstance(record, Watch) and rng.random() < 0.3:
            obj = broken(rng, record.object)
            if isinstance(obj, dict):
                changed = msgspec.structs.replace(record, object={**obj, "kind": record.object.get("kind")})
        elif isinstance(record, Sample) and rng.random() < 0.1:
            data = broken(rng, record.data)
            if isinstance(data, dict):
                changed = msgspec.structs.replace(record, data=data)
        elif isinstance(record, Guest) and rng.random() < 0.1:
            changed = msgspec.structs.replace(
                record, line="".join(map(chr, rng.choices(range(0x3000), k=20)))
            )
        if rng.random() > 0.03:
            records.append((number, changed))
    made = judge(provenance, records, scenario(name), CLAIMS)
    assert to_bytes(made)
    assert not [f for f in made.findings if f.outcome == "error"]


def two_nodes() -> World:
    """A soft eviction on each of two nodes: one guest listens, one is deaf."""
    world = World().node("one").node("two").vmi("listening", node="one").vmi("deaf", node="two")
    world.vmi("calm-one", node="one").vmi("calm-two", node="two")
    for t, used in ((10, 600), (11, 700)):
        world.at(t).cgroup(used, node="one").cgroup(used + 100, node="two")
    world.at(12).cgroup(800, node="one").cgroup(800, node="two")
    world.at(20.3).evict("listening").at(20.31).said("listening", "@ power up=15000")
    world.at(20.4).said("listening", "@ bye up=15050 held=0 reason=power").at(20.5).phase(
        "listening", "Succeeded"
    )
    world.at(22.4).evict("deaf").said("deaf", "@ power up=17000").at(27.0).said("deaf", "@ stat up=21600")
    return (
        world.at(27.6).killed("deaf").at(29).killed("listening", code=0, phase="Succeeded").at(40).cgroup(100)
    )


FLEETS = ("listening", "deaf", "calm-one", "calm-two")


@pytest.mark.parametrize("fleet", ["listening", "deaf"])
def test_each_node_has_its_own_victim(fleet: str) -> None:
    wanted = Evicted(fleets=(fleet,), min_count=1, max_count=1, after=Seconds(5.0), within=Seconds(20.0))
    seen = finding(two_nodes(), *FLEETS, kind="evicted", expectation=wanted)
    assert (seen.outcome, seen.subjects) == ("holds", [f"d/{fleet}"])
    other = Evicted(fleets=("calm-one",), min_count=1, max_count=1)
    assert finding(two_nodes(), *FLEETS, kind="evicted", expectation=other).outcome == "refuted"


def test_each_node_has_its_own_crossing() -> None:
    def latency(fleet: str) -> tuple[float | None, float | None]:
        wanted = Evicted(fleets=(fleet,), min_count=1, max_count=1, within=Seconds(60.0))
        seen = finding(two_nodes(), *FLEETS, kind="evicted", expectation=wanted)
        return seen.low, seen.high

    # node one falls below 300Mi in [11, 12], node two in [10, 11]; told in [20, 20.3] and [22, 22.4]
    assert latency("listening") == (8.0, 9.3)
    assert latency("deaf") == (11.0, 12.4)


def test_all_victims_are_judged_one_by_one() -> None:
    both = finding(two_nodes(), *FLEETS, kind="shutdown", expectation=Shutdown(of="victim", clean=True))
    assert (both.outcome, both.subjects) == ("refuted", ["d/listening", "d/deaf"])
    assert both.seen.startswith("d/listening: clean")
    assert "d/deaf: cut" in both.seen
    one = finding(two_nodes(), *FLEETS, kind="shutdown", expectation=Shutdown(of="listening", clean=True))
    assert one.outcome == "holds"
    grace = finding(
        two_nodes(), *FLEETS, kind="grace", expectation=Grace(of="deaf", min=Seconds(4.0), max=Seconds(6.0))
    )
    assert (grace.outcome, grace.low, grace.high) == ("holds", 4.5, 5.6)


def test_a_capacity_that_changes_counts_from_then_on() -> None:
    world = (
        World().node(memory="4Gi").vmi("hog").at(1).cgroup(1000).at(2).node(memory="1Gi").at(3).cgroup(1000)
    )
    world.at(9.4).evict("hog")
    wanted = Evicted(fleets=("hog",), min_count=1, max_count=1, within=Seconds(60.0))
    seen = finding(world, "hog", kind="evicted", expectation=wanted)
    assert (seen.low, seen.high) == (6.0, 8.4)


def test_samples_that_name_no_node_are_the_only_nodes() -> None:
    world = (
        World().node().vmi("hog").at(1).cgroup(600, node="").at(2).cgroup(900, node="").at(9.4).evict("hog")
    )
    wanted = Evicted(fleets=("hog",), min_count=1, max_count=1, within=Seconds(60.0))
    assert finding(world, "hog", kind="evicted", expectation=wanted).high == 8.4


def test_a_launcher_without_owner_is_told_by_its_labels_or_its_name() -> None:
    for metadata in (
        {
            "labels": {
                "kubevirt.io": "virt-launcher",
                "vm.kubevirt.io/name": "hog",
                "kubevirt.io/created-by": uid("vhog"),
            }
        },
        {},
    ):
        world = World().vmi("hog")
        world.records.pop()
        pod = world.pods["hog"]
        del pod["metadata"]["ownerReferences"]
        pod["metadata"].update(metadata)
        world.watch(pod, "ADDED").at(9.2).evict("hog").at(11.5).killed("hog")
        one = Evicted(fleets=("hog",), min_count=1, max_count=1)
        seen = finding(world, "hog", kind="evicted", expectation=one)
        assert (seen.outcome, seen.subjects) == ("holds", ["d/hog"])


def test_a_gone_vmi_that_is_owned_may_come_back_while_the_records_are_cut() -> None:
    world = World().vmi("hog").at(5)
    world.vmis["hog"]["metadata"]["ownerReferences"] = [{"kind": "VirtualMachine", "name": "hog", "uid": "x"}]
    world.phase("hog", "Failed")
    failed = Phase(of="hog", vmi=("Failed",))
    assert finding(world, "hog", kind="phase", expectation=failed).outcome == "holds"
    assert finding(world, "hog", kind="phase", expectation=failed, ended=False).outcome == "undecided"


def test_a_pod_that_was_over_before_the_run_is_no_victim_of_it() -> None:
    world = World().vmi("hog").at(0.1)
    world.records.clear()
    world.at(-60.0).killed("hog")
    served = world.records.pop()
    assert isinstance(served, Watch)
    world.at(0.1).watch(served.object, "ADDED").at(9).vmi("calm")
    none = Evicted(fleets=("hog", "calm"), min_count=0, max_count=0)
    assert finding(world, "hog", "calm", kind="evicted", expectation=none).outcome == "holds"
    gone = finding(world, "hog", "calm", kind="survives", expectation=Survives(of="hog"))
    assert (gone.outcome, gone.reason) == ("not-observable", "hog was over before the run began")


def test_memory_given_back_is_no_death() -> None:
    """Free page reporting may empty a pod; only beside another sign does its memory date an end."""
    world = World().node().vmi("hog").at(5).pod_cgroup("hog", 300).at(6).pod_cgroup("hog", 10)
    world.at(30).said("hog", "@ stat up=1").pod_cgroup("hog", 200)
    assert finding(world, "hog", kind="survives", expectation=Survives(of="hog")).outcome == "holds"


def test_a_vanished_pod_cgroup_sharpens_the_end() -> None:
    world = World().node().vmi("hog").at(25.2).evict("hog")
    for t in (26.0, 26.5, 27.0):
        world.at(t).cgroup(500).at(t + 0.01).pod_cgroup("hog", 300)
    world.at(27.5).cgroup(200).at(29.0).killed("hog")
    seen = finding(world, "hog", kind="grace", expectation=Grace(of="victim", max=Seconds(3.0)))
    # alive at 27.01, gone by the sweep at 27.5 (+ 0.1 s for the sweep itself); told in [25, 25.2]
    assert (seen.outcome, seen.low, seen.high) == ("holds", 1.81, 2.6)
