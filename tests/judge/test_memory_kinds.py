"""What memory does: each kind can hold, fail, be undecided and be not observable."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.judge.model import Findings
from harness.spec.expectations import HoldsBytes, Integrity, Ksm, OomScoreAdj, Ratio, Stall, Successor, Swap
from harness.units import Bytes, Seconds
from tests.judge.world import MI, PROVENANCE, World, finding, findings, require

HELLO = "@ hello proto=1 nonce=aa kernel=6.1 memtotal=500000000 memavailable=400000000 deaf=0"


def stat(held: int, *, p99: int = 2000, up: int = 1) -> str:
    return f"@ stat up={up} held={held * MI} resident=1 memtotal=500000000 memavailable=1 p50=1000 p99={p99} max={p99} stalls=0"


def holding(name: str = "hog", *, to: int = 100, pages: str = "unique") -> World:
    """A guest says hello at 10 s, grows from 11 to 20 s, holds until 40 s; its pod uses 150 MiB more than it holds."""
    world = World().node().at(1).action("create", f"d/{name}", fleet=name, nonce="aa").vmi(name)
    world.vmis[name]["spec"] = {"domain": {"memory": {"guest": "400Mi"}}}
    world.watch(world.vmis[name])
    world.at(10).said(name, HELLO).at(10.5).pod_cgroup(name, 150).process(
        name, pid=7, pss=150 * MI, rss=160 * MI
    )
    world.at(11).said(name, stat(0)).action("step-start", "fill", verb="grow")
    world.action("command", f"d/{name}", line=f"1 grow to={to * MI} rate=0 pages={pages} seed=1")
    world.at(19.5).pod_cgroup(name, 145 + to)
    world.at(20).said(name, f"@ ok id=1 held={to * MI} ms=9000").action("step-done", "fill")
    world.at(20.5).pod_cgroup(name, 150 + to).process(name, pid=7, pss=(150 + to) * MI, rss=(160 + to) * MI)
    world.at(21).said(name, stat(to, p99=5_000_000))
    return world.at(39.5).pod_cgroup(name, 150 + to).at(40).said(name, stat(to))


def holds(measure: Any, *, of: str = "hog", **more: Any) -> HoldsBytes:
    return HoldsBytes(of=of, measure=measure, **more)


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (holds("held", min=Bytes(100 * MI), max=Bytes(100 * MI)), "holds"),
        (holds("held", min=Bytes(101 * MI)), "refuted"),
        (holds("held", min_share=0.25, max_share=0.25), "holds"),
        (holds("held", max_share=0.2), "refuted"),
        (holds("usage", how="growth", min=Bytes(100 * MI), max=Bytes(100 * MI)), "holds"),
        (holds("usage", how="growth", at="step:fill", min=Bytes(100 * MI), max=Bytes(100 * MI)), "holds"),
        (holds("usage", how="drop", min=Bytes(1)), "refuted"),
        (holds("pss", how="growth", since="start", at="step:fill", min=Bytes(99 * MI)), "holds"),
        (holds("memtotal", max=Bytes(500_000_000)), "holds"),
        (holds("swap", max=Bytes(0)), "not-observable"),
        (holds("usage", at="step:other", min=Bytes(1)), "undecided"),
        (holds("usage", of="ghost", min=Bytes(1)), "not-observable"),
    ],
)
def test_holds_bytes(wanted: HoldsBytes, outcome: str) -> None:
    seen = finding(holding(), "hog", "ghost", kind="holds-bytes", expectation=wanted)
    assert seen.outcome == outcome, seen


def test_beside_a_lesser_guests_memory_its_distribution_moves() -> None:
    lesser = msgspec.structs.replace(PROVENANCE, qualifiers={"guest": "lesser: some/disk with a small agent"})
    tight = holds("usage", how="growth", min=Bytes(100 * MI), max=Bytes(100 * MI))
    seen = finding(holding(), "hog", kind="holds-bytes", expectation=tight, provenance=lesser)
    assert (seen.outcome, seen.low, seen.high) == ("undecided", 36.0 * MI, 164.0 * MI)
    wide = holds("usage", how="growth", min=Bytes(30 * MI), max=Bytes(170 * MI))
    assert (
        finding(holding(), "hog", kind="holds-bytes", expectation=wide, provenance=lesser).outcome == "holds"
    )
    # what the agent says it holds is exact all the same
    held = holds("held", min=Bytes(100 * MI), max=Bytes(100 * MI))
    assert (
        finding(holding(), "hog", kind="holds-bytes", expectation=held, provenance=lesser).outcome == "holds"
    )


@pytest.mark.parametrize("verb", ["grow", "tune"])
def test_a_value_between_two_samples_of_a_ramp_is_uncertain(verb: str) -> None:
    world = holding()
    # the next ramp, or merging, begins before the pod is sampled again
    at = next(n for n, r in enumerate(world.records) if getattr(r, "what", "") == "step-done")
    world.records.insert(at + 1, World().at(20.1).action("step-start", "more", verb=verb).records[0])
    wanted = holds("usage", at="step:fill", min=Bytes(248 * MI))
    seen = finding(world, "hog", kind="holds-bytes", expectation=wanted)
    assert (seen.outcome, seen.low, seen.high) == ("undecided", 245.0 * MI, 250.0 * MI)


def test_what_a_guest_holds_at_the_end_is_open_until_then() -> None:
    wanted = holds("held", min=Bytes(1))
    seen = finding(holding(), "hog", kind="holds-bytes", expectation=wanted, ended=False)
    assert seen.outcome == "undecided"


def test_a_guest_that_died_is_measured_before_its_death() -> None:
    world = holding().at(41).pod_cgroup("hog", 250).at(42).pod_cgroup("hog", 3).killed("hog", condition=False)
    wanted = holds("usage", min=Bytes(250 * MI))
    assert finding(world, "hog", kind="holds-bytes", expectation=wanted).outcome == "holds"


@pytest.mark.parametrize(("score", "outcome"), [(900, "holds"), (999, "refuted"), (None, "not-observable")])
def test_oom_score_adj(score: int | None, outcome: str) -> None:
    world = World().vmi("hog").at(2).process("hog", pid=7, oomScoreAdj=score)
    wanted = OomScoreAdj(of="hog", min=899, max=950)
    assert finding(world, "hog", kind="oom-score-adj", expectation=wanted).outcome == outcome


def test_oom_score_adj_is_open_until_a_qemu_was_seen() -> None:
    wanted = OomScoreAdj(of="hog", min=0, max=1)
    seen = finding(World().vmi("hog"), "hog", kind="oom-score-adj", expectation=wanted, ended=False)
    assert seen.outcome == "undecided"


# -- comparisons ------------------------------------------------------------------------------------------------------


def two() -> World:
    """Two fleets: `hog` requests 64 MiB and uses 250, `calm` requests 128 MiB."""
    world = holding()
    return world.at(41).vmi("calm", request="128Mi").pod_cgroup("calm", 500).at(41.5).said("hog", stat(100))


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Ratio(of="hog", measure="request", to="calm", min=0.5, max=0.5), "holds"),
        (Ratio(of="hog", measure="request", to="calm", min=0.51), "refuted"),
        (Ratio(of="hog", measure="request", to="calm", how="saving", min=64 * MI, max=64 * MI), "holds"),
        (Ratio(of="hog", measure="usage", to="calm", max=0.5), "holds"),
        (Ratio(of="hog", measure="memtotal", to="guest", min=1.1, max=1.2), "holds"),
        (Ratio(of="hog", measure="evictions", to="calm", max=1.0), "not-observable"),
        (Ratio(of="hog", measure="limit", to="calm", max=1.0), "not-observable"),
        (Ratio(of="hog", measure="request", max=1.0), "not-observable"),
        (Ratio(of="hog", measure="survivors", to="calm", min=1.0, max=1.0), "holds"),
        (Ratio(of="ghost", measure="survivors", to="calm", min=1.0), "not-observable"),
    ],
)
def test_ratio(wanted: Ratio, outcome: str) -> None:
    seen = finding(two(), "hog", "calm", "ghost", kind="ratio", expectation=wanted)
    assert seen.outcome == outcome, seen


def control(world: World) -> Findings:
    """What a control run of the same fleet hands over."""
    made = msgspec.structs.replace(PROVENANCE, control_of="main")
    return findings(world, "hog", checks=(), provenance=made)


def against(world: World, expectation: Any, kind: str, of: World) -> str:
    """Judge a main run beside its control."""
    check = require(kind, expectation)
    return findings(world, "hog", checks=(check,), control=control(of)).findings[0].outcome


def test_ratio_against_the_control_run() -> None:
    saved = Ratio(of="hog", measure="usage", how="saving", min=float(50 * MI), max=float(50 * MI))
    assert against(holding(to=50), saved, "ratio", holding(to=100)) == "holds"
    assert against(holding(to=60), saved, "ratio", holding(to=100)) == "refuted"
    startup = Ratio(of="hog", measure="startup", max=1.0)
    # the hello took 8.9 … 9 s in both runs: which was faster can't be told
    assert against(holding(), startup, "ratio", holding()) == "undecided"


def test_only_a_control_hands_measures_over() -> None:
    handed = control(holding())
    assert isinstance(handed.measures, dict)
    assert handed.measures["usage/hog"] == [250.0 * MI, 250.0 * MI]
    assert "limit/hog" not in handed.measures
    assert findings(holding(), "hog", checks=()).measures is msgspec.UNSET


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Stall(of="hog", max=Seconds(0.01)), "holds"),
        (Stall(of="hog", max=Seconds(0.004)), "refuted"),
        (Stall(of="hog", during="fill", max=Seconds(0.00001)), "holds"),
        (Stall(of="hog", during="other", max=Seconds(1.0)), "not-observable"),
        (Stall(of="calm", max=Seconds(1.0)), "not-observable"),
        (Stall(of="hog", min_factor=2.0), "not-observable"),
        (Stall(of="hog", min_factor=2.0, to="calm"), "not-observable"),
    ],
)
def test_stall(wanted: Stall, outcome: str) -> None:
    seen = finding(two(), "hog", "calm", kind="stall", expectation=wanted)
    assert seen.outcome == outcome, seen


def test_stall_against_the_control_run_and_while_it_goes_on() -> None:
    slower = holding().at(41).said("hog", stat(100, p99=50_000_000))
    assert against(slower, Stall(of="hog", min_factor=9.0, max_factor=11.0), "stall", holding()) == "holds"
    assert against(slower, Stall(of="hog", min_factor=11.0), "stall", holding()) == "refuted"
    seen = finding(holding(), "hog", kind="stall", expectation=Stall(of="hog", max=Seconds(1.0)), ended=False)
    assert seen.outcome == "undecided"


# -- KSM --------------------------------------------------------------------------------------------------------------


def merging(*, pages: int = 25_600, run: int = 1, kind: str = "shared") -> World:
    """Two guests hold 100 MiB of shared pages each; KSM merges `pages`."""
    world = holding("a", pages=kind).at(8).host("ksm", run=run, pages_sharing=0, ksmdCpu=1.0)
    world.records.sort(key=lambda r: r.t)
    second = holding("b", pages=kind)
    world.records += second.records[1:]
    world.records.sort(key=lambda r: r.t)
    world.at(10.2).host("ksm", run=run, pages_sharing=1000, ksmdCpu=2.0)
    world.records.sort(key=lambda r: r.t)
    return world.at(40).host("ksm", run=run, pages_sharing=1000 + pages, ksmdCpu=5.0)


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Ksm(of="all", run=1), "holds"),
        (Ksm(of="all", run=0), "refuted"),
        (Ksm(of="all", min=Bytes(100 * MI), max=Bytes(100 * MI)), "holds"),
        (Ksm(of="all", min=Bytes(101 * MI)), "refuted"),
        (Ksm(of="all", min_share=0.9), "holds"),
        (Ksm(of="all", max_share=0.05), "refuted"),
        (Ksm(of="a", min_share=0.9), "not-observable"),
        (Ksm(of="all", min_cpu=0.09, max_cpu=0.11), "holds"),
        (Ksm(of="all", max_cpu=0.05), "refuted"),
        (Ksm(of="all", max_cpu=3.0 / 29.8), "undecided"),
        (Ksm(of="all", min_cpu_factor=2.0), "not-observable"),
        (Ksm(of="all", at="step:other", min=Bytes(1)), "undecided"),
        (Ksm(of="all", knobs="file"), "undecided"),
    ],
)
def test_ksm(wanted: Ksm, outcome: str) -> None:
    seen = finding(merging(), "a", "b", kind="ksm", expectation=wanted)
    assert seen.outcome == outcome, seen


def test_unique_pages_are_not_what_could_be_merged() -> None:
    seen = finding(merging(kind="unique"), "a", "b", kind="ksm", expectation=Ksm(of="all", max_share=0.05))
    assert (seen.outcome, seen.reason) == ("not-observable", "no guest was asked to hold shared pages")


def test_ksm_is_not_observable_without_it_and_open_until_the_end() -> None:
    without = finding(holding(), "hog", kind="ksm", expectation=Ksm(of="all", run=1))
    assert without.outcome == "not-observable"
    early = finding(merging(), "a", "b", kind="ksm", expectation=Ksm(of="all", run=1), ended=False)
    assert early.outcome == "undecided"


def knobs(cause: str) -> World:
    """pages_to_scan changes after an annotation of the node, or after a file was written."""
    world = World().vmi("hog").node_says().at(1).host("ksm", run=1, pages_to_scan=100, sleep_millisecs=20)
    world.at(2)
    if cause == "annotations":
        world.node_says(annotations={"kubevirt.io/ksm-pages-boost-override": "300"})
    else:
        world.action("configure-host", "host", ksm={"pages_to_scan": 400})
    return world.at(4).host("ksm", run=1, pages_to_scan=400, sleep_millisecs=20)


@pytest.mark.parametrize("cause", ["annotations", "file"])
@pytest.mark.parametrize("asked", ["annotations", "file"])
def test_who_sets_the_knobs(cause: str, asked: Any) -> None:
    seen = finding(knobs(cause), "hog", kind="ksm", expectation=Ksm(of="all", knobs=asked))
    assert seen.outcome == ("holds" if cause == asked else "refuted")


@pytest.mark.parametrize(
    ("what", "args", "side", "words"),
    [
        ("configure-host", {"by": "ksmtuned", "file": "fast.conf"}, "file", "by ksmtuned's fast.conf"),
        ("configure-host", {"by": "ksmtuned"}, "file", "by ksmtuned's settings"),
        ("ksm-handler", {"why": "w"}, "annotations", "by virt-handler"),
    ],
)
def test_who_tunes_ksm_while_a_run_goes_on(what: str, args: dict[str, str], side: Any, words: str) -> None:
    world = World().vmi("hog").node_says().at(1).host("ksm", run=0, pages_to_scan=100, sleep_millisecs=20)
    world.at(2).action("configure-host", "host", ksm={"run": "0"})
    world.at(3).action(what, "host", ksm={"pages_to_scan": "400"}, **args)
    world.at(4).host("ksm", run=1, pages_to_scan=400, sleep_millisecs=20)
    seen = finding(world, "hog", kind="ksm", expectation=Ksm(of="all", knobs=side))
    assert (seen.outcome, seen.seen) == ("holds", f"pages_to_scan became 400 {words}")
    action, sample = seen.proof
    assert sample == action + 1


# -- swap -------------------------------------------------------------------------------------------------------------


def swapping() -> World:
    """The machine swaps 100 MiB out at 20 s and gives 75 back by 40 s; its node is under pressure from 30 s on."""
    world = World().vmi("hog").node_says().at(1).host("swap", total=1024 * MI, free=1024 * MI)
    world.at(20).host("swap", total=1024 * MI, free=924 * MI).at(30).node_says(pressure=True)
    return world.at(40).host("swap", total=1024 * MI, free=999 * MI)


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Swap(of="all", min=Bytes(25 * MI), max=Bytes(25 * MI)), "holds"),
        (Swap(of="all", max=Bytes(24 * MI)), "refuted"),
        (Swap(of="all", min_peak=Bytes(100 * MI)), "holds"),
        (Swap(of="all", max_peak=Bytes(99 * MI)), "refuted"),
        (Swap(of="all", min_fall=0.75), "holds"),
        (Swap(of="all", min_fall=0.8), "refuted"),
        (Swap(of="hog", pressure=True), "holds"),
        (Swap(of="hog", pressure=False), "refuted"),
        (Swap(of="hog", max_limit=Bytes(1)), "not-observable"),
    ],
)
def test_swap(wanted: Swap, outcome: str) -> None:
    assert finding(swapping(), "hog", kind="swap", expectation=wanted).outcome == outcome


def test_swap_of_nodes_and_limits_of_containers_where_they_are_known() -> None:
    world = World().node().vmi("hog").at(2).cgroup(100, swap=5 * MI).at(3)
    world.cgroup(100, subject=f"pod/{world.pods['hog']['metadata']['uid']}", swapLimit=64 * MI)
    here = Swap(of="hog", min=Bytes(5 * MI), max=Bytes(5 * MI), min_limit=Bytes(64 * MI))
    assert finding(world, "hog", kind="swap", expectation=here).outcome == "holds"
    less = Swap(of="hog", max_limit=Bytes(63 * MI))
    assert finding(world, "hog", kind="swap", expectation=less).outcome == "refuted"


def test_swap_that_was_never_used_or_never_there() -> None:
    unused = World().vmi("hog").at(1).host("swap", total=MI, free=MI)
    assert (
        finding(unused, "hog", kind="swap", expectation=Swap(of="all", min_fall=0.1)).outcome == "undecided"
    )
    none = finding(World().vmi("hog"), "hog", kind="swap", expectation=Swap(of="all", max=Bytes(0)))
    assert none.outcome == "not-observable"


# -- successors -------------------------------------------------------------------------------------------------------


def replaced(*, node: str = "node", used: int = 200) -> World:
    """`hog` is evicted at 25 s; a VMI of its name is bound to a node at 31 s and Running at 40 s."""
    world = World().node().vmi("hog").at(20).pod_cgroup("hog", 400).at(25).evict("hog")
    world.at(27).killed("hog").at(30).vmi("hog", node=node, generation="2", phase="Pending")
    bound = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-28T12:00:31Z"}]
    world.phase("hog", "Scheduling").at(31.5).pod("hog", phase="Pending", conditions=bound)
    return world.at(40).phase("hog", "Running").at(41).pod_cgroup("hog", used).at(45).cgroup(1)


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({}, "holds"),
        ({"min_count": 2}, "refuted"),
        ({"min_count": 0, "max_count": 0}, "refuted"),
        ({"node": "same"}, "holds"),
        ({"node": "other"}, "refuted"),
        ({"within": 7.0}, "holds"),
        ({"within": 4.0}, "refuted"),
        ({"within": 6.0}, "undecided"),
        ({"max_usage": 0.5}, "holds"),
        ({"max_usage": 0.4}, "refuted"),
        ({"until": "running", "within": 10.0}, "refuted"),
        ({"until": "running", "within": 16.0}, "holds"),
    ],
)
def test_successor(more: dict[str, Any], outcome: str) -> None:
    for of in ("victim", "hog"):
        seen = finding(replaced(), "hog", kind="successor", expectation=Successor(of=of, **more))
        assert seen.outcome == outcome, seen


def test_a_successor_elsewhere_and_one_that_may_yet_come() -> None:
    other = finding(
        replaced(node="far"), "hog", kind="successor", expectation=Successor(of="victim", node="other")
    )
    assert other.outcome == "holds"
    alone = World().node().vmi("hog").at(25).evict("hog").at(27).killed("hog")
    none = Successor(of="hog", min_count=0, max_count=0)
    assert finding(alone, "hog", kind="successor", expectation=none).outcome == "holds"
    assert finding(alone, "hog", kind="successor", expectation=none, ended=False).outcome == "undecided"
    assert finding(alone, "ghost", kind="successor", expectation=none).outcome == "not-observable"
    assert finding(
        World().vmi("hog"), "hog", kind="successor", expectation=Successor(of="victim")
    ).outcome == ("undecided")


# -- records on disk --------------------------------------------------------------------------------------------------


def recorded(intact: list[list[int]], *, slots: int = 1000) -> World:
    """A guest said that it wrote 100 records of run 5 and fsynced 90; its disk was read after its end."""
    world = World().node().vmi("hog").at(20).said("hog", "@ rec up=1 id=1 run=5 n=100 synced=90")
    world.at(25).evict("hog").at(27).killed("hog").phase("hog", "Failed")
    return world.at(28).action("disk-read", "d/hog", runs={"5": intact}, torn=0, slots=slots)


@pytest.mark.parametrize(
    ("intact", "wanted", "outcome"),
    [
        ([[1, 95]], Integrity(of="victim", max_lost_synced=0), "holds"),
        ([[1, 95]], Integrity(of="victim", min_lost_unsynced=5, max_lost_unsynced=5), "holds"),
        ([[1, 40], [42, 120]], Integrity(of="victim", max_lost_synced=0), "refuted"),
        ([[1, 100]], Integrity(of="hog", min_lost_unsynced=1), "refuted"),
    ],
)
def test_integrity(intact: list[list[int]], wanted: Integrity, outcome: str) -> None:
    assert finding(recorded(intact), "hog", kind="integrity", expectation=wanted).outcome == outcome


def test_integrity_of_a_small_disk_of_one_not_read_and_of_one_without_records() -> None:
    wanted = Integrity(of="hog", max_lost_synced=0)
    over = recorded([[51, 100]], slots=50)
    assert finding(over, "hog", kind="integrity", expectation=wanted).outcome == "holds"
    unread = recorded([])
    unread.records.pop()
    assert finding(unread, "hog", kind="integrity", expectation=wanted).outcome == "not-observable"
    assert finding(holding(), "hog", kind="integrity", expectation=wanted).outcome == "not-observable"
    successor = (
        recorded([[1, 100]]).at(60).action("disk-read", "d/hog", runs={"6": [[1, 9]]}, torn=0, slots=50)
    )
    assert finding(successor, "hog", kind="integrity", expectation=wanted).outcome == "holds"
    alive = World().vmi("hog").at(20).said("hog", "@ rec up=1 id=1 run=5 n=100 synced=90")
    assert finding(alive, "hog", kind="integrity", expectation=wanted).outcome == "undecided"
