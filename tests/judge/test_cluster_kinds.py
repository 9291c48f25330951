"""What the cluster answers and shows: each kind can hold, fail, be undecided and be not observable."""

from __future__ import annotations

from typing import Any

import pytest

from harness.spec.expectations import Admission, Allocatable, Condition, Configz, Vnc
from harness.units import Bytes
from tests.judge.world import MI, World, finding

# -- admission --------------------------------------------------------------------------------------------------------

REFUSED = "admission webhook denied the request: spec.domain.memory.guest is more than the limit"


def answered() -> World:
    """`hog` was refused, `calm` taken with a warning."""
    world = World().vmi("calm").at(1).answer("create", "d/hog", 422, REFUSED)
    return world.answer("create", "d/calm", 201, "", "spec.foo is deprecated")


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Admission(of="hog", allowed=False), "holds"),
        (Admission(of="hog", allowed=False, code=422, message="more than the limit"), "holds"),
        (Admission(of="hog", allowed=True), "refuted"),
        (Admission(of="hog", allowed=False, code=403), "refuted"),
        (Admission(of="hog", allowed=False, message="quota"), "refuted"),
        (Admission(of="calm", allowed=True, min_warnings=1, max_warnings=1, warning="deprecated"), "holds"),
        (Admission(of="calm", allowed=True, min_warnings=0, max_warnings=0), "refuted"),
        (Admission(of="calm", allowed=True, warning="overcommit"), "refuted"),
        (Admission(of="all", allowed=True), "refuted"),
        (Admission(of="kubevirt", allowed=True), "not-observable"),
        (Admission(of="nobody", allowed=True), "not-observable"),
    ],
)
def test_admission(wanted: Admission, outcome: str) -> None:
    seen = finding(answered(), "hog", "calm", kind="admission", expectation=wanted)
    assert seen.outcome == outcome, seen.reason


def test_admission_of_kubevirts_configuration() -> None:
    world = World().at(1).answer("configure-kubevirt", "kubevirt", 200)
    wanted = Admission(of="kubevirt", allowed=True, code=200)
    seen = finding(world, "hog", kind="admission", expectation=wanted)
    assert (seen.outcome, seen.proof) == ("holds", [1])


def test_admission_is_open_until_the_answer_came() -> None:
    wanted = Admission(of="hog", allowed=True)
    seen = finding(World().at(1).cgroup(1), "hog", kind="admission", expectation=wanted, ended=False)
    assert seen.outcome == "undecided"


# -- vnc --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Vnc(of="hog", status=400, message="No graphics devices"), "holds"),
        (Vnc(of="hog", status=101), "refuted"),
        (Vnc(of="hog", status=400, message="Running"), "refuted"),
        (Vnc(of="calm", status=101), "not-observable"),
    ],
)
def test_vnc(wanted: Vnc, outcome: str) -> None:
    world = (
        World().vmi("hog").vmi("calm").at(2).answer("vnc", "d/hog", 400, "No graphics devices are present.")
    )
    assert finding(world, "hog", "calm", kind="vnc", expectation=wanted).outcome == outcome


def test_vnc_is_open_until_it_was_asked() -> None:
    world = World().vmi("hog")
    seen = finding(world, "hog", kind="vnc", expectation=Vnc(of="hog", status=101), ended=False)
    assert seen.outcome == "undecided"


# -- nodes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Allocatable(of="all", memory=Bytes(800 * MI), capacity=Bytes(1024 * MI)), "holds"),
        (Allocatable(of="node", memory=Bytes(801 * MI)), "refuted"),
        (Allocatable(of="node", memory=Bytes(801 * MI), tolerance=Bytes(MI)), "holds"),
        (Allocatable(of="node", capacity=Bytes(1)), "refuted"),
        (Allocatable(of="elsewhere", memory=Bytes(1)), "not-observable"),
    ],
)
def test_allocatable(wanted: Allocatable, outcome: str) -> None:
    world = World().vmi("hog").node_says(allocatable="1Gi").at(3).node_says(allocatable="800Mi")
    seen = finding(world, "hog", kind="allocatable", expectation=wanted)
    assert seen.outcome == outcome


def test_allocatable_of_a_node_that_serves_none_and_of_one_not_seen_yet() -> None:
    world = World().node().vmi("hog")
    wanted = Allocatable(of="node", memory=Bytes(1))
    assert finding(world, "hog", kind="allocatable", expectation=wanted).outcome == "not-observable"
    early = finding(World().vmi("hog"), "hog", kind="allocatable", expectation=wanted, ended=False)
    assert early.outcome == "undecided"


def configured() -> World:
    world = World().vmi("hog")
    config: dict[str, Any] = {
        "evictionHard": {"memory.available": "200Mi"},
        "evictionPressureTransitionPeriod": "5m0s",
        "failSwapOn": False,
        "evictionSoft": None,
        "evictionMaxPodGracePeriod": 0,
    }
    return world.config(config)


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ({("evictionHard", "memory.available"): "209715200"}, "holds"),
        ({("evictionHard", "memory.available"): "200Mi"}, "holds"),
        ({("evictionHard", "memory.available"): "201Mi"}, "refuted"),
        ({("evictionPressureTransitionPeriod",): "300s"}, "holds"),
        ({("evictionPressureTransitionPeriod",): "30s"}, "refuted"),
        ({("failSwapOn",): "false"}, "holds"),
        ({("failSwapOn",): "true"}, "refuted"),
        ({("evictionSoft",): None, ("systemReserved",): None}, "holds"),
        ({("evictionHard",): None}, "refuted"),
        ({("evictionMaxPodGracePeriod",): "0"}, "holds"),
        ({("evictionMaxPodGracePeriod",): None}, "refuted"),
    ],
)
def test_configz(values: dict[tuple[str, ...], str | None], outcome: str) -> None:
    wanted = Configz(of="all", values=values)
    assert finding(configured(), "hog", kind="configz", expectation=wanted).outcome == outcome


def test_configz_of_known_fields_and_of_a_kubelet_not_asked() -> None:
    knows = Configz(of="node", values={}, knows=("failSwapOn",))
    assert finding(configured(), "hog", kind="configz", expectation=knows).outcome == "holds"
    other = Configz(of="node", values={}, knows=("mergeDefaultEvictionSettings",))
    assert finding(configured(), "hog", kind="configz", expectation=other).outcome == "not-observable"
    never = Configz(of="node", values={}, knows=("kubeletReserved",))
    assert finding(configured(), "hog", kind="configz", expectation=never).outcome == "refuted"
    world = World().vmi("hog")
    assert finding(world, "hog", kind="configz", expectation=knows).outcome == "not-observable"
    assert finding(world, "hog", kind="configz", expectation=knows, ended=False).outcome == "undecided"


# -- conditions -------------------------------------------------------------------------------------------------------


def pressed() -> World:
    """The node is under pressure from 20 to 50 s; `hog` is on it and has a condition of its own."""
    world = World().vmi("hog").node_says().at(20).node_says(pressure=True).at(50).node_says()
    conditions = [{"type": "Ready", "status": "False", "reason": "PodTerminating"}]
    return world.pod("hog", phase="Running", conditions=conditions).at(60).cgroup(1)


def condition(status: Any, *, on: Any = "node", kind: str = "MemoryPressure", **more: Any) -> Condition:
    return Condition(of="hog", object=on, type=kind, status=status, **more)


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (condition("False"), "holds"),
        (condition("True"), "refuted"),
        (condition("True", ever=True), "holds"),
        (condition("Unknown", ever=True), "refuted"),
        (condition("absent", kind="DiskPressure"), "holds"),
        (condition("absent"), "refuted"),
        (condition("False", on="pod", kind="Ready", reason="PodTerminating"), "holds"),
        (condition("False", on="pod", kind="Ready", reason="ContainersNotReady"), "refuted"),
        (condition("absent", on="vmi", kind="Paused"), "holds"),
        (condition("True", on="vm", kind="Ready"), "not-observable"),
    ],
)
def test_condition(wanted: Condition, outcome: str) -> None:
    assert finding(pressed(), "hog", kind="condition", expectation=wanted).outcome == outcome


def test_a_condition_at_the_end_is_open_while_the_window_is() -> None:
    assert finding(
        pressed(), "hog", kind="condition", expectation=condition("False"), ended=False
    ).outcome == ("undecided")
    ever = condition("True", ever=True)
    assert finding(pressed(), "hog", kind="condition", expectation=ever, ended=False).outcome == "holds"


def test_what_no_check_knows_is_not_observable() -> None:
    seen = finding(World().vmi("hog"), "hog", kind="new", expectation=object())  # type: ignore[arg-type]
    assert (seen.outcome, seen.reason) == ("not-observable", "this version can't judge object")
