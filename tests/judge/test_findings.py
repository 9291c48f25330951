"""From a broken promise to `differs`, `refuted` or a surprise; from votes to a status; what spoils a run."""

from __future__ import annotations

from typing import Any

import pytest

from harness.judge.judge import from_bytes, open_checks, to_bytes
from harness.judge.model import Finding, Findings
from harness.judge.status import Vote, by_claim, status
from harness.judge.wording import describe
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
from harness.spec.model import Today
from harness.units import Bytes, Seconds
from tests.judge.test_expectations import EVICT_HOG, hard_eviction, listening
from tests.judge.world import PROVENANCE, World, claim, findings, promise, require, scenario

NO_GRACE = Grace(of="victim", max=Seconds(0.0))


def judged(
    *today: Today, expectation: Any = NO_GRACE, kind: str = "grace", world: World | None = None
) -> Finding:
    checks = (promise(kind, expectation),)
    made = findings(world or hard_eviction(), "hog", "calm", checks=checks, claims={"C-1": claim(*today)})
    return made.findings[0]


def test_the_promise_seen_holds() -> None:
    assert judged(expectation=Grace(of="victim", max=Seconds(3.0))).outcome == "holds"


@pytest.mark.parametrize("verdict", ["differs", "refuted"])
def test_todays_literal_seen_is_what_the_claim_says_of_it(verdict: Any) -> None:
    today = Today(kind="grace", args={"max": Seconds(4.0)}, verdict=verdict, why="two seconds")
    seen = judged(today)
    assert (seen.outcome, seen.surprise, seen.reason) == (verdict, False, "two seconds")


def test_a_lower_bound_that_reaches_into_todays_literal_is_no_surprise() -> None:
    today = Today(kind="grace", args={"max": Seconds(4.0)}, verdict="differs")
    assert judged(today, world=listening()).outcome == "differs"


def test_anything_else_is_a_refuted_surprise() -> None:
    today = Today(kind="grace", args={"min": Seconds(30.0)}, verdict="differs")
    assert (judged(today).outcome, judged(today).surprise) == ("refuted", True)
    assert (judged().outcome, judged().surprise) == ("refuted", True)


def test_todays_literal_of_another_version_does_not_count() -> None:
    today = Today(kind="grace", args={"max": Seconds(4.0)}, verdict="differs", columns=("v1.6", "v1.7"))
    assert judged(today).surprise
    here = Today(kind="grace", args={"max": Seconds(4.0)}, verdict="differs", columns=("v1.9", "main"))
    assert not judged(here).surprise


def test_todays_literal_may_be_of_another_kind() -> None:
    today = Today(kind="evicted", args={"min_count": 1, "max_count": 9}, verdict="refuted")
    seen = judged(today, expectation=Survives(of="hog"), kind="survives")
    assert (seen.outcome, seen.surprise) == ("refuted", False)
    assert judged(today, expectation=Survives(of="calm"), kind="survives").outcome == "holds"


def test_a_literal_that_no_expectation_can_be_made_of_is_an_error() -> None:
    today = Today(kind="grace", args={"least": 3}, verdict="differs")
    assert (judged(today).outcome, "BadLiteral" in judged(today).reason) == ("error", True)


def test_kinds_that_are_not_judged_yet_are_passed_over() -> None:
    today = Today(kind="successor", args={"node": "same"}, verdict="differs")
    assert judged(today).surprise


def test_a_promise_that_straddles_is_undecided_whatever_is_known() -> None:
    today = Today(kind="grace", args={"max": Seconds(4.0)}, verdict="differs")
    assert judged(today, expectation=Grace(of="victim", max=Seconds(2.0))).outcome == "undecided"


@pytest.mark.parametrize(
    ("expectation", "line"),
    [
        (EVICT_HOG, "evicted from hog: 1, within 15 s of threshold-crossed"),
        (Evicted(fleets=(), min_count=0, max_count=0), "evicted from all: none"),
        (
            Evicted(fleets=("a", "b"), min_count=1, max_count=2, after=Seconds(5.0), order=("a", "b")),
            "evicted from a, b: 1 … 2, after 5 s of threshold-crossed, in the order a, b",
        ),
        (NO_GRACE, "grace of victim, at most 0 s"),
        (Grace(of="a", min=Seconds(1.5), max=Seconds(3.0)), "grace of a, at least 1.5 s, at most 3 s"),
        (Shutdown(of="victim", clean=False), "shutdown of victim: cut"),
        (Survives(of="a"), "survives: a"),
        (
            Oom(fleets=("a",), scope="node", min_count=1, max_count=1, before_eviction=True),
            "oom of a: 1, scope node, before any eviction",
        ),
        (
            Phase(of="a", vmi=("Running", "Failed"), pod=("Failed",)),
            "phase of a: VMI Running or Failed, pod Failed",
        ),
        (Qos(of="a", pod="Burstable", vmi="Burstable"), "qos of a: pod Burstable, VMI Burstable"),
        (GuestMemory(of="a", min=Bytes(1), max=Bytes(2)), "guest-memory of a: 1 … 2 bytes"),
        (
            Request(
                of="a",
                requests={"compute": {"v1.6": Bytes(1), "main": Bytes(2)}},
                limits={"compute": {"*": None}},
            ),
            "request of a: compute requests {main: 2, v1.6: 1}, compute limits not set",
        ),
    ],
)
def test_expected_is_one_line_of_the_literals(expectation: Any, line: str) -> None:
    assert describe(expectation) == line


def control(outcome: Any = "holds", *, complete: bool = True) -> Findings:
    one = Finding(check="requires/0", kind="survives", expected="", seen="evicted", outcome=outcome)
    return Findings(schema=1, run="c", complete=complete, valid=True, findings=[one])


def test_a_control_that_holds_changes_nothing() -> None:
    made = findings(hard_eviction(), "hog", checks=(require("evicted", EVICT_HOG),), control=control())
    assert (made.valid, made.findings[0].outcome) == (True, "holds")


@pytest.mark.parametrize("failing", [control("refuted"), control("undecided"), control(complete=False)])
def test_a_control_that_fails_undecides_the_run(failing: Findings) -> None:
    checks = (require("evicted", EVICT_HOG), promise("grace", NO_GRACE))
    made = findings(hard_eviction(), "hog", checks=checks, control=failing)
    assert [f.outcome for f in made.findings] == ["undecided", "undecided"]
    assert not made.valid
    assert made.invalid_because[0].startswith("control c:")


def with_lag(seconds: float, t: float) -> World:
    world = hard_eviction()
    lag = World().at(t).note("loop-lag", seconds=seconds).records[0]
    world.records.append(lag)
    return world


@pytest.mark.parametrize(
    ("seconds", "t", "outcome"),
    [
        (0.06, 26.0, "holds"),  # smaller than the margin of 0.5 s
        (0.8, 26.0, "undecided"),
        (0.8, 36.0, "holds"),  # long after
        (0.8, 5.0, "holds"),  # long before
    ],
)
def test_the_harness_own_lateness_spoils_what_it_overlaps(seconds: float, t: float, outcome: str) -> None:
    wanted = Grace(of="victim", max=Seconds(3.0))
    made = findings(with_lag(seconds, t), "hog", checks=(require("grace", wanted),))
    assert made.findings[0].outcome == outcome
    assert made.valid == (outcome == "holds")


def test_lateness_does_not_spoil_what_the_guests_own_clock_shows() -> None:
    world = listening()
    world.records.append(World().at(25.4).note("loop-lag", seconds=0.9).records[0])
    made = findings(world, "hog", checks=(require("grace", NO_GRACE),))
    assert (made.findings[0].outcome, made.findings[0].margin) == ("refuted", -0.2)
    least = Grace(of="victim", min=Seconds(0.15))
    assert findings(world, "hog", checks=(require("grace", least),)).findings[0].outcome == "undecided"
    assert findings(listening(), "hog", checks=(require("grace", least),)).findings[0].outcome == "holds"


def test_a_step_of_the_wall_clock_spoils_all_that_comes_after_it() -> None:
    world = World().at(2.0).note("clock-step", seconds=-3.0)
    world.records += hard_eviction().records
    wanted = Grace(of="victim", max=Seconds(3.0))
    made = findings(world.at(40.0), "hog", checks=(require("grace", wanted),))
    assert made.findings[0].outcome == "undecided"


def test_lateness_does_not_spoil_what_has_no_measure() -> None:
    checks = (require("shutdown", Shutdown(of="victim", clean=False)),)
    assert findings(with_lag(5.0, 26.0), "hog", checks=checks).findings[0].outcome == "holds"


def test_several_checks_of_a_claim_count_as_the_worst() -> None:
    def of(outcome: Any, name: str = "A") -> Finding:
        return Finding(check="promises/0", kind="grace", claim=name, expected="", seen="", outcome=outcome)

    assert by_claim([of("holds"), of("differs"), of("holds", "B"), of("undecided", "B")]) == {
        "A": "differs",
        "B": "undecided",
    }
    assert by_claim([of("differs"), of("refuted"), of("error")]) == {"A": "error"}
    assert by_claim([of("not-observable"), of("holds")]) == {"A": "not-observable"}


@pytest.mark.parametrize(
    ("decided_by", "votes", "word"),
    [
        ("kubelet", [("real", "holds")], "holds"),
        ("kubelet", [("real", "differs"), ("real", "differs")], "differs"),
        ("kubelet", [("kernel", "holds")], "unsettled (indicates holds)"),
        ("kubelet", [("predicted", "refuted"), ("kernel", "holds")], "unsettled (indicates contested)"),
        ("kubelet", [("kernel", "holds"), ("real", "refuted")], "refuted"),
        ("kubevirt", [("kernel", "holds")], "unsettled (indicates holds)"),
        ("kernel", [("kernel", "holds")], "holds"),
        ("qemu", [("kernel", "refuted"), ("predicted", "holds")], "refuted"),
        ("kernel", [("predicted", "holds")], "unsettled (indicates holds)"),
        ("kernel", [("kernel", "holds"), ("real", "refuted")], "contested"),
        ("kubelet", [("real", "holds"), ("real", "undecided"), ("real", "error")], "holds"),
        ("kubelet", [("real", "undecided"), ("real", "not-observable")], "undecided"),
        ("kubelet", [("real", "undecided"), ("real", "error")], "error"),
        ("kubelet", [("real", "not-observable")], "not-observable"),
        ("kubelet", [], "not-observable"),
    ],
)
def test_the_truth_table_of_statuses(decided_by: str, votes: list[tuple[Any, Any]], word: str) -> None:
    cast = [Vote(run=f"r{n}", evidence=e, column="main", outcome=o) for n, (e, o) in enumerate(votes)]
    assert status(claim(decided_by=decided_by), cast).status == word


def test_findings_of_different_versions_are_not_contested() -> None:
    votes = [
        Vote(run="a", evidence="real", column="v1.6", outcome="holds"),
        Vote(run="b", evidence="real", column="main", outcome="differs"),
        Vote(run="c", evidence="real", column="v1.10", outcome="refuted"),
    ]
    made = status(claim(), votes)
    assert (made.status, made.evidence) == (
        "differs",
        ["a (real): holds", "b (real): differs", "c (real): refuted"],
    )


def test_what_is_untestable_stays_so() -> None:
    vote = Vote(run="a", evidence="real", column="main", outcome="holds")
    assert status(claim(untestable="an opinion"), [vote]).status == "untestable"


def open_ids(world: World, *expectations: tuple[str, Any]) -> tuple[str, ...]:
    checks = tuple(require(kind, e, n) for n, (kind, e) in enumerate(expectations))
    made = scenario("hog", "calm", requires=checks)
    return open_checks(PROVENANCE, world.numbered(ended=False), made, {})


def test_watching_on_is_worth_while_nothing_has_happened_yet() -> None:
    world = World().node().vmi("hog").vmi("calm").at(3).cgroup(300)
    assert open_ids(world, ("evicted", EVICT_HOG), ("survives", Survives(of="calm"))) == (
        "requires/0",
        "requires/1",
    )


def test_what_was_told_but_has_not_ended_is_open() -> None:
    world = World().node().vmi("hog").vmi("calm").at(25.2).evict("hog")
    assert open_ids(world, ("grace", NO_GRACE)) == ("requires/0",)


def test_a_survivor_is_believed_after_one_more_pass() -> None:
    world = hard_eviction().at(39.4).cgroup(100)  # hog was gone at 27.5
    assert (
        open_ids(world, ("evicted", EVICT_HOG), ("survives", Survives(of="calm")), ("grace", NO_GRACE)) == ()
    )
    early = hard_eviction()
    early.records = [r for r in early.records if r.t < 30]
    assert open_ids(early.at(30).cgroup(100), ("survives", Survives(of="calm"))) == ("requires/0",)


def test_a_phase_that_lags_is_waited_for() -> None:
    world = hard_eviction()
    assert open_ids(world, ("phase", Phase(of="victim", vmi=("Failed",)))) == ("requires/0",)
    assert open_ids(world.phase("hog", "Failed"), ("phase", Phase(of="victim", vmi=("Failed",)))) == ()


def test_nothing_is_open_after_the_windows_end() -> None:
    none = Evicted(fleets=("hog",), min_count=0, max_count=0)
    world = World().vmi("hog").vmi("calm").at(9).cgroup(100).action("window-end")
    assert open_ids(world, ("evicted", EVICT_HOG), ("survives", Survives(of="calm")), ("evicted", none)) == ()


def test_findings_survive_their_own_bytes() -> None:
    made = findings(hard_eviction(), "hog", checks=(require("evicted", EVICT_HOG),))
    assert from_bytes(to_bytes(made)) == made
    assert to_bytes(made).endswith(b"}\n")
