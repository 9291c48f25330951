"""Each expectation can hold, fail, be undecided and be not observable."""

from __future__ import annotations

import msgspec
import pytest

from harness.spec.expectations import (
    Evicted,
    Grace,
    GuestMemory,
    Oom,
    Phase,
    Qos,
    Request,
    Shutdown,
    Survives,
)
from harness.units import Bytes, Seconds
from tests.judge.world import EVICTED, MI, PROVENANCE, World, finding


def hard_eviction() -> World:
    """A node of 1Gi falls below 300Mi between 20 and 21 s; hog is told at 25.2 s, gone between 27.0 and 27.5 s."""
    world = World().node().vmi("hog").vmi("calm", request="192Mi")
    world.at(19).cgroup(600).pod_cgroup("hog", 300)
    world.at(20).cgroup(700)
    world.at(21).cgroup(760)
    world.at(25.2).said("hog", "@ stat up=25000 held=1 memtotal=1 memavailable=1").evict("hog")
    world.at(26.9).said("hog", "@ stat up=26700 held=1 memtotal=1 memavailable=1")
    world.at(27.0).pod_cgroup("hog", 300)
    world.at(27.5).pod_cgroup("hog", 0).killed("hog")
    return world.at(40).said("calm", "@ stat up=40000 held=0 memtotal=1 memavailable=1")


EVICT_HOG = Evicted(fleets=("hog",), min_count=1, max_count=1, within=Seconds(15.0))


def test_evicted_holds_with_the_latency_of_its_interval() -> None:
    seen = finding(hard_eviction(), "hog", "calm", kind="evicted", expectation=EVICT_HOG)
    # crossed in [20, 21], told in [25, 25.2] (event of 12:00:25, seen at 25.2)
    assert (seen.outcome, seen.low, seen.high, seen.margin) == ("holds", 4.0, 5.2, 9.8)
    assert seen.subjects == ["d/hog"]


def between_looks(*, after: int) -> World:
    """Above 300Mi at 25 s, evicted by the event of 25.2 s, and `after` MiB used at 25.5 s."""
    world = World().node().vmi("hog").vmi("calm").at(24.5).cgroup(600).at(25).cgroup(700)
    world.at(25.2).evict("hog").at(25.5).cgroup(after)
    return world.at(27.5).killed("hog").at(40).said("calm", "@ stat up=1 held=0 memtotal=1 memavailable=1")


def test_a_threshold_that_the_kubelet_saw_crossed_between_two_of_our_looks_was_crossed_there() -> None:
    seen = finding(between_looks(after=740), "hog", "calm", kind="evicted", expectation=EVICT_HOG)
    # crossed in [25, 25.2], told in [25, 25.2]
    assert (seen.outcome, seen.low) == ("holds", 0.0)
    assert seen.high == pytest.approx(0.2)
    assert {7, 9} <= set(seen.proof)


def test_a_threshold_that_our_looks_do_not_see_crossed_afterwards_either_is_another_one() -> None:
    seen = finding(between_looks(after=710), "hog", "calm", kind="evicted", expectation=EVICT_HOG)
    assert (seen.outcome, "never fell below" in seen.reason) == ("undecided", True)


def test_evicted_fails_when_another_is_the_victim() -> None:
    wanted = Evicted(fleets=("calm",), min_count=1, max_count=1)
    seen = finding(hard_eviction(), "hog", "calm", kind="evicted", expectation=wanted)
    assert seen.outcome == "refuted"
    assert "not an admissible victim: d/hog" in seen.reason


def test_evicted_fails_when_it_came_too_late() -> None:
    wanted = Evicted(fleets=("hog",), min_count=1, max_count=1, within=Seconds(3.9))
    seen = finding(hard_eviction(), "hog", "calm", kind="evicted", expectation=wanted)
    assert (seen.outcome, seen.margin) == ("refuted", -0.1)


def test_evicted_is_undecided_when_the_latency_straddles_the_bound() -> None:
    wanted = Evicted(fleets=("hog",), min_count=1, max_count=1, within=Seconds(5.0))
    seen = finding(hard_eviction(), "hog", "calm", kind="evicted", expectation=wanted)
    assert (seen.outcome, seen.margin) == ("undecided", 0.0)


def test_evicted_is_not_observable_without_availability() -> None:
    world = hard_eviction()
    world.records = [r for r in world.records if getattr(r, "source", "") != "cgroup"]
    seen = finding(world, "hog", "calm", kind="evicted", expectation=EVICT_HOG)
    assert seen.outcome == "not-observable"
    assert "no availability of node node" in seen.reason


def test_evicted_is_not_observable_without_pods_and_events() -> None:
    world = World().node().at(1).cgroup(100)
    seen = finding(world, "hog", kind="evicted", expectation=EVICT_HOG)
    assert (seen.outcome, seen.reason) == ("not-observable", "neither pods nor events were recorded")


def test_nobody_evicted_is_undecided_while_the_records_are_cut() -> None:
    world = World().node().vmi("hog").at(5).cgroup(100)
    none = Evicted(fleets=("hog",), min_count=0, max_count=0)
    assert finding(world, "hog", kind="evicted", expectation=none).outcome == "holds"
    assert finding(world, "hog", kind="evicted", expectation=none, ended=False).outcome == "undecided"


def test_order_of_evictions() -> None:
    world = hard_eviction().at(50).evict("calm").at(53).killed("calm")
    wanted = Evicted(fleets=("hog", "calm"), min_count=2, max_count=2, order=("hog", "calm"))
    other = Evicted(fleets=("hog", "calm"), min_count=2, max_count=2, order=("calm", "hog"))
    assert finding(world, "hog", "calm", kind="evicted", expectation=wanted).outcome == "holds"
    assert finding(world, "hog", "calm", kind="evicted", expectation=other).outcome == "refuted"


def test_order_within_one_second_is_undecided() -> None:
    world = World().node().vmi("hog").vmi("calm").at(25.9).evict("hog").evict("calm")
    wanted = Evicted(fleets=("hog", "calm"), min_count=2, max_count=2, order=("hog", "calm"))
    assert finding(world, "hog", "calm", kind="evicted", expectation=wanted).outcome == "undecided"


def test_evicted_since_the_workload_was_done() -> None:
    world = hard_eviction()
    world.records.insert(5, World().at(20.5).action("workload-done").records[0])
    wanted = Evicted(fleets=("hog",), min_count=1, max_count=1, within=Seconds(6.0), since="workload-done")
    seen = finding(world, "hog", "calm", kind="evicted", expectation=wanted)
    assert (seen.outcome, seen.low, seen.high) == ("holds", 4.5, 4.7)


def test_victims_on_other_nodes_are_another_matter() -> None:
    world = hard_eviction().vmi("far", node="other").at(50).evict("far")
    assert finding(world, "hog", "far", kind="evicted", expectation=EVICT_HOG).outcome == "holds"


def test_an_evicted_pod_of_no_fleet_on_the_same_node_counts() -> None:
    world = hard_eviction().plain_pod("coredns").at(50).evict("coredns")
    seen = finding(world, "hog", kind="evicted", expectation=EVICT_HOG)
    assert (seen.outcome, "d/coredns" in seen.reason) == ("refuted", True)


def test_survives() -> None:
    world = hard_eviction()
    assert finding(world, "hog", "calm", kind="survives", expectation=Survives(of="calm")).outcome == "holds"
    assert finding(world, "hog", "calm", kind="survives", expectation=Survives(of="hog")).outcome == "refuted"
    cut = finding(world, "hog", "calm", kind="survives", expectation=Survives(of="calm"), ended=False)
    assert cut.outcome == "undecided"
    never = finding(world, "hog", "ghost", kind="survives", expectation=Survives(of="ghost"))
    assert (never.outcome, never.reason) == ("not-observable", "ghost was never seen")


def test_a_guest_panic_is_no_survival() -> None:
    world = World().vmi("hog").at(5).said("hog", "[    4.2] Kernel panic - not syncing: Out of memory")
    assert finding(world, "hog", kind="survives", expectation=Survives(of="hog")).outcome == "refuted"


def test_grace_of_a_guest_that_was_cut() -> None:
    world = hard_eviction()

    def grace(low: float | None, high: float | None) -> str:
        wanted = Grace(
            of="victim",
            min=None if low is None else Seconds(low),
            max=None if high is None else Seconds(high),
        )
        return finding(world, "hog", "calm", kind="grace", expectation=wanted).outcome

    # told in [25, 25.2], gone in [27, 27.5]: 1.8 … 2.5 s
    assert grace(1.8, 2.5) == "holds"
    assert grace(None, 0.0) == "refuted"
    assert grace(None, 2.0) == "undecided"
    seen = finding(world, "hog", kind="grace", expectation=Grace(of="victim", max=Seconds(0.0)))
    assert (seen.low, seen.high, seen.margin) == (1.8, 2.5, -1.8)


def listening() -> World:
    world = World().node().vmi("hog").at(25.2).evict("hog").at(25.25).said("hog", "@ power up=20000")
    world.at(25.3).said("hog", "@ bye up=20040 held=0 reason=power")
    world.at(25.5).said("hog", "[   20.2] reboot: Power down")
    return world.at(25.9).phase("hog", "Succeeded").at(27.4).killed("hog")


def test_grace_of_a_guest_that_ended_by_itself_is_a_lower_bound() -> None:
    none = finding(listening(), "hog", kind="grace", expectation=Grace(of="victim", max=Seconds(0.0)))
    # power-down line at 25.5 - told at 25.2 - delivery 0.1; by the agent's clock 0.04 s from power button to bye
    assert (none.outcome, none.low, none.high) == ("refuted", 0.2, None)
    some = finding(listening(), "hog", kind="grace", expectation=Grace(of="victim", min=Seconds(0.1)))
    assert some.outcome == "holds"
    more = finding(listening(), "hog", kind="grace", expectation=Grace(of="victim", min=Seconds(2.0)))
    assert more.outcome == "undecided"


def test_what_a_guest_did_because_it_was_told_proves_some_grace() -> None:
    world = World().node().vmi("hog").at(25.2).evict("hog").said("hog", "@ power up=20000")
    world.said("hog", "@ bye up=20000 held=0 reason=power").at(25.3).phase("hog", "Succeeded")
    seen = finding(world, "hog", kind="grace", expectation=Grace(of="victim", max=Seconds(0.0)))
    assert (seen.outcome, seen.low) == ("refuted", 0.001)


def test_grace_is_not_observable_for_what_the_kernel_killed() -> None:
    world = World().vmi("hog").at(9).oom("hog")
    seen = finding(world, "hog", kind="grace", expectation=Grace(of="victim", max=Seconds(0.0)))
    assert (seen.outcome, seen.reason) == (
        "not-observable",
        "the kernel killed it; it was never told to go",
    )


def test_nothing_is_said_of_a_victim_where_there_is_none() -> None:
    world = World().vmi("hog").at(9).said("hog", "@ stat up=1")
    seen = finding(world, "hog", kind="grace", expectation=Grace(of="victim", max=Seconds(0.0)))
    assert (seen.outcome, seen.reason) == ("undecided", "nobody was evicted or OOM-killed in this run")


CLEAN, CUT = Shutdown(of="hog", clean=True), Shutdown(of="hog", clean=False)


def test_shutdown_clean() -> None:
    assert finding(listening(), "hog", kind="shutdown", expectation=CLEAN).outcome == "holds"
    assert finding(listening(), "hog", kind="shutdown", expectation=CUT).outcome == "refuted"


def test_shutdown_cut_is_judged_by_pod_and_console_while_the_phase_lags() -> None:
    world = hard_eviction()
    seen = finding(world, "hog", kind="shutdown", expectation=CUT)
    assert seen.outcome == "holds"
    assert "VMI still Running" in seen.seen


def test_a_panic_is_no_clean_shutdown_though_qemu_exits_0() -> None:
    world = World().vmi("hog").at(9).said("hog", "[    9.0] Kernel panic - not syncing: x")
    world.at(9.5).phase("hog", "Succeeded").killed("hog", code=0, phase="Succeeded")
    assert finding(world, "hog", kind="shutdown", expectation=CLEAN).outcome == "refuted"


def test_a_bye_without_the_vmi_succeeded_is_undecided() -> None:
    world = World().vmi("hog").at(9).said("hog", "@ bye up=9000 held=0 reason=power").at(9.5).killed("hog")
    seen = finding(world, "hog", kind="shutdown", expectation=CLEAN)
    assert seen.outcome == "undecided"
    assert (
        finding(world.phase("hog", "Failed"), "hog", kind="shutdown", expectation=CLEAN).outcome == "refuted"
    )


def test_shutdown_is_not_observable_without_a_console() -> None:
    world = World().vmi("hog").at(9).evict("hog").at(9.5).phase("hog", "Succeeded").at(11).killed("hog")
    assert finding(world, "hog", kind="shutdown", expectation=CLEAN).outcome == "not-observable"


def test_a_succeeded_vmi_with_a_live_console_and_no_farewell_is_undecided() -> None:
    world = World().vmi("hog").at(9).said("hog", "@ stat up=9000").at(9.5).phase("hog", "Succeeded")
    assert finding(world, "hog", kind="shutdown", expectation=CLEAN).outcome == "undecided"


def test_shutdown_of_a_plain_pod_goes_by_its_exit_codes() -> None:
    world = World().plain_pod("hog").at(9).evict("hog").at(9.5).killed("hog", code=0, phase="Succeeded")
    assert finding(world, "hog", kind="shutdown", expectation=CLEAN).outcome == "holds"
    world = World().plain_pod("hog").at(9).evict("hog").at(12).killed("hog", code=137)
    assert finding(world, "hog", kind="shutdown", expectation=CLEAN).outcome == "refuted"


def test_oom() -> None:
    world = World().vmi("hog").at(9).oom("hog", "container").at(9.2).phase("hog", "Failed")
    one = Oom(fleets=("hog",), scope="container", min_count=1, max_count=1)
    assert finding(world, "hog", kind="oom", expectation=one).outcome == "holds"
    node = Oom(fleets=("hog",), scope="node", min_count=1, max_count=1)
    assert finding(world, "hog", kind="oom", expectation=node).outcome == "refuted"
    none = Oom(fleets=("hog",), scope=None, min_count=0, max_count=0)
    assert finding(world, "hog", kind="oom", expectation=none).outcome == "refuted"
    ghost = Oom(fleets=("ghost",), scope=None, min_count=0, max_count=0)
    assert finding(world, "ghost", kind="oom", expectation=ghost).outcome == "not-observable"


def test_an_oom_told_by_the_container_status_alone_has_no_scope() -> None:
    world = (
        World()
        .vmi("hog")
        .at(9)
        .pod(
            "hog",
            phase="Failed",
            containerStatuses=[
                {"name": "compute", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
            ],
        )
    )
    scoped = Oom(fleets=("hog",), scope="container", min_count=1, max_count=1)
    assert finding(world, "hog", kind="oom", expectation=scoped).outcome == "undecided"
    some = Oom(fleets=("hog",), scope=None, min_count=1, max_count=1)
    assert finding(world, "hog", kind="oom", expectation=some).outcome == "holds"


def test_no_oom_is_undecided_where_someone_died_unseen_and_no_kernel_log_was_kept() -> None:
    world = World().vmi("hog").at(9).phase("hog", "Failed")
    none = Oom(fleets=("hog",), scope=None, min_count=0, max_count=0)
    assert finding(world, "hog", kind="oom", expectation=none).outcome == "undecided"


def test_reports_of_one_kill_from_two_sources_are_one_kill() -> None:
    world = World().vmi("hog").at(9).oom("hog", "", pid=7).at(9.1).oom("hog", "container", pid=7)
    one = Oom(fleets=("hog",), scope="container", min_count=1, max_count=1)
    assert finding(world, "hog", kind="oom", expectation=one).outcome == "holds"


def test_a_status_that_follows_the_kernels_report_late_is_the_same_kill() -> None:
    status = {"terminated": {"exitCode": 0, "reason": "OOMKilled"}}
    world = World().vmi("hog").at(9).oom("hog", "container", pid=7)
    world.at(29).pod("hog", phase="Succeeded", containerStatuses=[{"name": "compute", "state": status}])
    one = Oom(fleets=("hog",), scope="container", min_count=1, max_count=1)
    seen = finding(world, "hog", kind="oom", expectation=one)
    assert (seen.outcome, seen.seen) == ("holds", "d/hog killed at t = 9.000 s, scope container")


def test_the_guests_own_oom_is_told_by_its_console() -> None:
    world = World().vmi("hog").at(9).said("hog", "[    9.0] Out of memory: Killed process 77 (x)")
    one = Oom(fleets=("hog",), scope="guest", min_count=1, max_count=1)
    assert finding(world, "hog", kind="oom", expectation=one).outcome == "holds"


def test_kernel_before_kubelet() -> None:
    def judged(oom_at: float, before: bool) -> str:
        world = World().node().vmi("hog").vmi("calm")
        events = sorted([(oom_at, "oom"), (25.2, "evict")])
        for t, what in events:
            world.at(t)
            world = world.oom("hog", "node") if what == "oom" else world.evict("calm")
        wanted = Oom(fleets=("hog",), scope=None, min_count=1, max_count=1, before_eviction=before)
        return finding(world, "hog", "calm", kind="oom", expectation=wanted).outcome

    assert judged(20.0, before=True) == "holds"
    assert judged(30.0, before=True) == "refuted"
    assert judged(25.1, before=True) == "undecided"
    assert judged(30.0, before=False) == "holds"


def phase(world: World, *vmi: str, pod: tuple[str, ...] = (), ended: bool = True) -> str:
    wanted = Phase(of="hog", vmi=vmi, pod=pod)
    return finding(world, "hog", kind="phase", expectation=wanted, ended=ended).outcome


def test_phase_at_the_end_of_the_window() -> None:
    world = hard_eviction()
    assert phase(world, "Running", pod=("Failed",)) == "holds"
    assert phase(world, "Pending", pod=("Failed",)) == "refuted"
    assert phase(world, "Running", pod=("Succeeded",)) == "refuted"
    assert phase(world, "Running", ended=False) == "undecided"
    assert phase(world.phase("hog", "Failed"), "Failed", ended=False) == "holds"
    assert phase(World().plain_pod("hog"), "Running") == "not-observable"


def test_a_phase_that_may_only_lag_behind_a_death_is_undecided() -> None:
    assert phase(hard_eviction(), "Failed") == "undecided"
    assert phase(hard_eviction(), "Failed", pod=("Succeeded",)) == "refuted", "the pod's phase is final"
    long_after = hard_eviction().at(80).said("calm", "@ stat up=80000")
    assert phase(long_after, "Failed") == "refuted"
    assert phase(World().vmi("hog").at(9).said("hog", "@ stat up=1"), "Failed") == "refuted", "nobody died"


def test_what_comes_after_the_windows_end_is_not_looked_at() -> None:
    world = (
        World().vmi("hog").at(9).said("hog", "@ stat up=1").action("window-end").at(10).phase("hog", "Failed")
    )
    assert (
        finding(world, "hog", kind="phase", expectation=Phase(of="hog", vmi=("Running",))).outcome == "holds"
    )
    assert finding(world, "hog", kind="survives", expectation=Survives(of="hog")).outcome == "holds"


@pytest.mark.parametrize("outcome", ["interrupted", "failed"])
def test_what_was_not_seen_before_a_run_was_cut_short_is_undecided_not_unobservable(outcome: str) -> None:
    cut = msgspec.structs.replace(PROVENANCE, outcome=outcome)
    for kind, expectation in (
        ("survives", Survives(of="hog")),
        ("qos", Qos(of="hog", pod="Burstable")),
        ("oom", Oom(fleets=("hog",), scope=None, min_count=1, max_count=1)),
        ("guest-memory", GuestMemory(of="hog", min=Bytes(0), max=Bytes(1))),
    ):
        seen = finding(World().node().vmi("other"), "hog", kind=kind, expectation=expectation, provenance=cut)
        assert (seen.outcome, "before the records ended" in seen.reason) == ("undecided", True)


@pytest.mark.parametrize("outcome", ["interrupted", "failed"])
def test_an_interrupted_run_decides_no_absence_though_its_records_end_properly(outcome: str) -> None:
    cut = msgspec.structs.replace(PROVENANCE, outcome=outcome)
    world = hard_eviction().action("window-end")
    alive = finding(world, "hog", "calm", kind="survives", expectation=Survives(of="calm"), provenance=cut)
    assert alive.outcome == "undecided"
    evicted = finding(
        world, "hog", "calm", kind="grace", expectation=Grace(of="victim", max=Seconds(3.0)), provenance=cut
    )
    assert evicted.outcome == "holds"


def test_request_byte_by_byte() -> None:
    world = World().vmi("hog", request="64Mi")

    def judged(value: int | None, column: str = "*") -> str:
        wanted = Request(
            of="hog", requests={"compute": {column: None if value is None else Bytes(value)}}, limits={}
        )
        return finding(world, "hog", kind="request", expectation=wanted).outcome

    assert judged(64 * MI) == "holds"
    assert judged(64 * MI, "main") == "holds"
    assert judged(64 * MI + 1) == "refuted"
    assert judged(None) == "refuted"
    assert judged(64 * MI, "v1.6") == "not-observable"


def test_request_is_undecided_by_nothing_but_never_seen_is_not_observable() -> None:
    wanted = Request(of="hog", requests={"compute": {"*": Bytes(1)}}, limits={})
    assert finding(World().vmi("calm"), "hog", kind="request", expectation=wanted).outcome == "not-observable"


def test_limits_that_must_not_be_set() -> None:
    world = World().vmi("hog")
    wanted = Request(of="hog", requests={}, limits={"compute": {"*": None}})
    assert finding(world, "hog", kind="request", expectation=wanted).outcome == "holds"


def test_qos() -> None:
    world = World().vmi("hog")
    assert (
        finding(world, "hog", kind="qos", expectation=Qos(of="hog", pod="Burstable", vmi="Burstable")).outcome
        == "holds"
    )
    assert finding(world, "hog", kind="qos", expectation=Qos(of="hog", pod="Guaranteed")).outcome == "refuted"
    assert (
        finding(
            World().plain_pod("hog"),
            "hog",
            kind="qos",
            expectation=Qos(of="hog", pod="BestEffort", vmi="Burstable"),
        ).outcome
        == "not-observable"
    )


def test_guest_memory() -> None:
    hello = "@ hello proto=1 nonce=ab kernel=6.1 memtotal=223346688 memavailable=1 deaf=0"
    world = World().vmi("hog").at(3).said("hog", hello)

    def judged(low: int, high: int) -> str:
        wanted = GuestMemory(of="hog", min=Bytes(low), max=Bytes(high))
        return finding(world, "hog", kind="guest-memory", expectation=wanted).outcome

    assert judged(223346688, 223346688) == "holds"
    assert judged(223346689, 268435456) == "refuted"
    silent = finding(
        World().vmi("hog"),
        "hog",
        kind="guest-memory",
        expectation=GuestMemory(of="hog", min=Bytes(0), max=Bytes(1)),
    )
    assert silent.outcome == "not-observable"


def test_guest_memory_that_changed_across_a_bound_is_undecided() -> None:
    world = (
        World()
        .vmi("hog")
        .at(3)
        .said("hog", "@ stat up=1 memtotal=100")
        .at(4)
        .said("hog", "@ stat up=2 memtotal=300")
    )
    wanted = GuestMemory(of="hog", min=Bytes(200), max=Bytes(400))
    assert finding(world, "hog", kind="guest-memory", expectation=wanted).outcome == "undecided"


def test_memtotal_of_the_older_agents() -> None:
    world = World().vmi("hog").at(3).said("hog", "MemTotal:         928540 kB")
    wanted = GuestMemory(of="hog", min=Bytes(950824960), max=Bytes(950824960))
    assert finding(world, "hog", kind="guest-memory", expectation=wanted).outcome == "holds"


def test_a_refused_pod_was_not_evicted() -> None:
    message = "Pod was rejected: The node had condition: [MemoryPressure]. "
    world = World().node().vmi("hog").at(9).evict("hog", message=message)
    none = Evicted(fleets=("hog",), min_count=0, max_count=0)
    assert finding(world, "hog", kind="evicted", expectation=none).outcome == "holds"


def test_a_stale_event_of_an_earlier_pod_was_not_in_this_run() -> None:
    world = World().node().vmi("hog").at(0.1).evict("hog", own=-60.0)
    none = Evicted(fleets=("hog",), min_count=0, max_count=0)
    assert finding(world, "hog", kind="evicted", expectation=none).outcome == "holds"


def test_an_eviction_whose_pod_ended_succeeded_is_one() -> None:
    world = World().node().vmi("hog").at(9).killed("hog", code=0, phase="Succeeded")
    one = Evicted(fleets=("hog",), min_count=1, max_count=1)
    assert finding(world, "hog", kind="evicted", expectation=one).outcome == "holds"


def test_a_failed_pod_with_reason_evicted_alone_is_none() -> None:
    world = World().node().vmi("hog").at(9).pod("hog", phase="Failed", reason="Evicted", message=EVICTED)
    one = Evicted(fleets=("hog",), min_count=1, max_count=1)
    assert finding(world, "hog", kind="evicted", expectation=one).outcome == "refuted"


def test_a_successor_of_the_same_name_is_another_incarnation() -> None:
    world = (
        hard_eviction()
        .at(45)
        .watch({**World().vmi("hog").vmis["hog"]}, "DELETED")
        .at(46)
        .vmi("hog", generation="2")
    )
    assert finding(world, "hog", "calm", kind="survives", expectation=Survives(of="hog")).outcome == "refuted"
    assert (
        finding(
            world, "hog", kind="phase", expectation=Phase(of="hog", vmi=("Running",), pod=("Running",))
        ).outcome
        == "holds"
    )
    assert (
        finding(
            world, "hog", kind="phase", expectation=Phase(of="victim", vmi=("Running",), pod=("Failed",))
        ).outcome
        == "holds"
    )


def test_a_capability_that_lacks_makes_everything_not_observable() -> None:
    lacking = msgspec.structs.replace(PROVENANCE, capabilities={"cgroup-write": "not root"})
    seen = finding(
        hard_eviction(),
        "hog",
        kind="evicted",
        expectation=EVICT_HOG,
        needs=("cgroup-write",),
        provenance=lacking,
    )
    assert (seen.outcome, seen.reason) == ("not-observable", "this cluster lacks cgroup-write (not root)")
