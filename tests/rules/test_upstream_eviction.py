"""The eviction manager's own unit tests, told again of these rules: their cases and their literals.

Source: Kubernetes pkg/kubelet/eviction/{helpers,eviction_manager}_test.go. Cases about inodes and processes are left out;
docs/rules.md lists which table stands where.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.errors import ThresholdError
from harness.rules.eviction import EvictionState, Observation, admits, is_met, step
from harness.rules.grace import override
from harness.rules.quantities import Quantity
from harness.rules.ranking import PodUsage, rank, victim
from harness.rules.thresholds import MEMORY, Amount, Threshold, parse_thresholds
from harness.units import Bytes, Seconds

_MI = 1 << 20
Given = dict[str, str]


def _kubelet(
    hard: Given, soft: Given | None = None, graces: Given | None = None, reclaims: Given | None = None
) -> dict[str, Any]:
    return {
        "evictionHard": hard,
        "evictionSoft": soft or {},
        "evictionSoftGracePeriod": graces or {},
        "evictionMinimumReclaim": reclaims or {},
        "enforceNodeAllocatable": [],
    }


_DISKS = {"imagefs.available": "150Mi", "nodefs.available": "100Mi", "containerfs.available": "250Mi"}
_DISK_GRACES = {"imagefs.available": "30s", "nodefs.available": "30s", "containerfs.available": "30s"}


@pytest.mark.parametrize(
    ("kubelet", "expected"),
    [
        (_kubelet({}), []),
        (
            _kubelet(
                {"memory.available": "150Mi"},
                {"memory.available": "300Mi"},
                {"memory.available": "30s"},
                {"memory.available": "0"},
            )
            | {"enforceNodeAllocatable": ["pods"]},
            [
                ("memory.available", "150Mi", 0, "0"),
                ("memory.available", "300Mi", 30, "0"),
                ("allocatableMemory.available", "150Mi", 0, "0"),
            ],
        ),
        (
            _kubelet(
                {"memory.available": "10%"},
                {"memory.available": "30%"},
                {"memory.available": "30s"},
                {"memory.available": "5%"},
            ),
            [("memory.available", "10%", 0, "5%"), ("memory.available", "30%", 30, "5%")],
        ),
        (
            _kubelet(
                _DISKS,
                {"imagefs.available": "300Mi", "nodefs.available": "20.5%", "containerfs.available": "400Mi"},
                _DISK_GRACES,
                {"imagefs.available": "2Gi", "nodefs.available": "1Gi", "containerfs.available": "3Gi"},
            ),
            [
                ("imagefs.available", "150Mi", 0, "2Gi"),
                ("nodefs.available", "100Mi", 0, "1Gi"),
                ("containerfs.available", "250Mi", 0, "3Gi"),
                ("imagefs.available", "300Mi", 30, "2Gi"),
                ("nodefs.available", "20.5%", 30, "1Gi"),
                ("containerfs.available", "400Mi", 30, "3Gi"),
            ],
        ),
        (_kubelet({"memory.available": "0%"}, {"memory.available": "0%"}), []),
        (_kubelet({"memory.available": "100%"}, {"memory.available": "100%"}), []),
    ],
)
def test_parse_threshold_config(kubelet: dict[str, Any], expected: list[tuple[str, str, int, str]]) -> None:
    found = parse_thresholds(kubelet)
    assert [(t.signal, str(t.value), int(t.grace), str(t.min_reclaim)) for t in found] == expected


@pytest.mark.parametrize(
    "kubelet",
    [
        _kubelet({"mem.available": "150Mi"}),
        _kubelet({"memory.available": "-150Mi"}),
        _kubelet({"memory.available": "-15%"}),
        _kubelet({"memory.available": "150%"}),
        _kubelet({}, {"memory.available": "-150Mi"}),
        _kubelet({"memory.available": "150Mi", "invalid.foo": "150Mi"}),
        _kubelet({}, {"memory.available": "150Mi"}),
        _kubelet({}, {"memory.available": "150Mi"}, {"memory.available": "-30s"}),
        _kubelet({}, None, None, {"memory.available": "-300Mi"}),
    ],
)
def test_parse_threshold_config_refuses(kubelet: dict[str, Any]) -> None:
    with pytest.raises(ThresholdError):
        parse_thresholds(kubelet)


def _threshold(value: str, *, reclaim: str | None = None, grace: float = 0.0) -> Threshold:
    return Threshold(
        signal=MEMORY,
        value=Amount(quantity=Quantity.parse(value)),
        grace=Seconds(grace),
        min_reclaim=None if reclaim is None else Amount(quantity=Quantity.parse(reclaim)),
    )


def _observed(available: str, time: float = 0.0) -> dict[str, Observation]:
    value = Quantity.parse(available).value()
    return {MEMORY: Observation(available=value, capacity=Bytes(2 * value), time=Seconds(time))}


@pytest.mark.parametrize(
    ("available", "enforced", "met"),
    [("500Mi", False, True), ("2Gi", False, False), ("1.05Gi", True, True), ("2Gi", True, False)],
)
def test_thresholds_met(available: str, enforced: bool, met: bool) -> None:
    assert is_met(_threshold("1Gi", reclaim="500Mi"), _observed(available), reclaim=enforced) is met
    assert is_met(_threshold("1Gi"), {}, reclaim=enforced) is False


@pytest.mark.parametrize(
    ("last", "now", "acts"), [(None, 0.0, True), (60.0, 0.0, False), (0.0, 0.0, False), (0.0, 60.0, True)]
)
def test_thresholds_updated_stats(last: float | None, now: float, acts: bool) -> None:
    """Nothing is done about the same observation twice, nor about one from before."""
    observed_at = {} if last is None else {MEMORY: Seconds(last)}
    passed = step(
        EvictionState(observed_at=observed_at),
        now=Seconds(now),
        thresholds=[_threshold("1Gi")],
        observations=_observed("500Mi", now),
        transition=Seconds(300.0),
        choose=lambda candidates: candidates[0],
    )
    assert (passed.chosen is not None) is acts
    assert passed.pressure


_MINUTE = 60.0


@pytest.mark.parametrize(
    ("thresholds", "passes"),
    [
        (  # TestMemoryPressure: minutes to step, available, pressure, grace of the kill
            [_threshold("1Gi"), _threshold("2Gi", grace=2 * _MINUTE)],
            [
                (0, "2Gi", False, None),
                (1, "1500Mi", True, None),
                (3, "1500Mi", True, 5),
                (20, "3Gi", False, None),
                (1, "500Mi", True, 1),
                (1, "2Gi", True, None),
                (5, "2Gi", False, None),
            ],
        ),
        (  # TestMinReclaim
            [_threshold("1Gi", reclaim="500Mi")],
            [
                (0, "2Gi", False, None),
                (1, "500Mi", True, 1),
                (1, "1.2Gi", True, 1),
                (1, "2Gi", True, None),
                (5, "2Gi", False, None),
            ],
        ),
    ],
)
def test_memory_pressure_and_min_reclaim(
    thresholds: list[Threshold], passes: list[tuple[float, str, bool, int | None]]
) -> None:
    state, now = EvictionState(), 0.0
    for minutes, available, pressure, grace in passes:
        now += minutes * _MINUTE
        passed = step(
            state,
            now=Seconds(now),
            thresholds=thresholds,
            observations=_observed(available, now),
            transition=Seconds(5 * _MINUTE),
            choose=lambda candidates: candidates[0],
        )
        state = passed.state
        chosen = passed.chosen
        asked = None if chosen is None else override(chosen, max_pod_grace=5, pod_grace=None)
        assert (passed.pressure, asked) == (pressure, grace), f"after {now / _MINUTE:g} min"
        burstable = admits(
            passed.conditions, critical=False, qos="Burstable", tolerates_memory_pressure=False
        )
        best_effort = admits(
            passed.conditions, critical=False, qos="BestEffort", tolerates_memory_pressure=False
        )
        assert (burstable, best_effort) == (True, not pressure)


def _pod(name: str, request: int, used: int | None, priority: int = 0) -> PodUsage:
    return PodUsage(
        name=name,
        request=Bytes(request * _MI),
        working_set=None if used is None else Bytes(used * _MI),
        priority=priority,
    )


@pytest.mark.parametrize(
    ("pods", "order"),
    [
        # TestOrderedByExceedsRequestMemory
        (
            [_pod("below-requests", 200, 199, -1), _pod("exceeds-requests", 100, 101, 1)],
            ["exceeds-requests", "below-requests"],
        ),
        # TestOrderedByPriority: nothing else tells them apart
        (
            [_pod("high", 200, 100, 12534), _pod("medium", 200, 100, 1), _pod("low", 200, 100, -134)],
            ["low", "medium", "high"],
        ),
        # TestOrderedByMemory
        (
            [
                _pod("best-effort-high", 0, 500),
                _pod("best-effort-low", 0, 300),
                _pod("burstable-high", 100, 800),
                _pod("burstable-low", 100, 300),
                _pod("guaranteed-high", 1024, 800),
                _pod("guaranteed-low", 1024, 200),
            ],
            [
                "burstable-high",
                "best-effort-high",
                "best-effort-low",
                "burstable-low",
                "guaranteed-high",
                "guaranteed-low",
            ],
        ),
    ],
)
def test_ordered_by(pods: list[PodUsage], order: list[str]) -> None:
    assert [pod.name for pod in rank(pods)] == order


def test_the_pod_that_min_reclaims_pass_kills() -> None:
    low, default, high = -1, 0, 1
    pods = [
        _pod("guaranteed-low-priority-high-usage", 1024, 900, low),
        _pod("burstable-below-requests", 100, 50, default),
        _pod("burstable-above-requests", 100, 400, default),
        _pod("best-effort-high-priority-high-usage", 0, 400, high),
        _pod("best-effort-low-priority-low-usage", 0, 100, low),
    ]
    first = victim(pods)
    assert first is not None
    assert first.name == "best-effort-low-priority-low-usage"
