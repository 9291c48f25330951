"""The eviction manager's pass, its ranking and its grace."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rules.eviction import (
    EvictionState,
    Observation,
    Pass,
    admits,
    is_met,
    seeded_choice,
    step,
)
from harness.rules.grace import kill_timeout, kill_window, override, pod_grace_seconds
from harness.rules.ranking import PodUsage, rank, rank_key, victim, victims
from harness.rules.thresholds import MEMORY, Threshold, memory_thresholds
from harness.units import Bytes, Seconds

_MI = 1048576
_HARD_AND_SOFT = {
    "evictionHard": {"memory.available": "50Mi"},
    "evictionSoft": {"memory.available": "350Mi"},
    "evictionSoftGracePeriod": {"memory.available": "15s"},
    "enforceNodeAllocatable": [],
}


def _first(candidates: Sequence[Threshold]) -> Threshold:
    return candidates[0]


def _seen(available_mi: float, time: float, *, signal: str = MEMORY) -> dict[str, Observation]:
    return {
        signal: Observation(available=int(available_mi * _MI), capacity=Bytes(1024 * _MI), time=Seconds(time))
    }


def _run(
    thresholds: Sequence[Threshold], samples: Sequence[tuple[float, float]], *, transition: float = 300.0
) -> list[Pass]:
    state, passes = EvictionState(), []
    for now, available in samples:
        passed = step(
            state,
            now=Seconds(now),
            thresholds=thresholds,
            observations=_seen(available, now),
            transition=Seconds(transition),
            choose=_first,
        )
        passes.append(passed)
        state = passed.state
    return passes


def test_a_hard_threshold_acts_in_the_pass_that_sees_it() -> None:
    passes = _run(memory_thresholds(_HARD_AND_SOFT), [(0, 400), (10, 49)])
    assert [passed.chosen is not None and passed.chosen.hard for passed in passes] == [False, True]
    assert [passed.pressure for passed in passes] == [False, True]


def test_equality_is_not_below() -> None:
    passes = _run(memory_thresholds(_HARD_AND_SOFT), [(0, 350), (10, 50)])
    assert not passes[0].met
    assert [threshold.hard for threshold in passes[1].met] == [False]


def test_soft_waits_its_grace_and_reports_pressure_at_once() -> None:
    passes = _run(memory_thresholds(_HARD_AND_SOFT), [(0, 300), (10, 300), (20, 300)])
    assert [passed.pressure for passed in passes] == [True, True, True]
    assert [passed.chosen for passed in passes[:2]] == [None, None]
    chosen = passes[2].chosen
    assert chosen is not None
    assert not chosen.hard


def test_soft_grace_starts_anew_after_a_recovery() -> None:
    samples = [(0.0, 300.0), (10.0, 400.0), (20.0, 300.0), (30.0, 300.0), (40.0, 300.0)]
    passes = _run(memory_thresholds(_HARD_AND_SOFT), samples)
    assert [passed.chosen is not None for passed in passes] == [False, False, False, False, True]


def test_pressure_clears_only_after_the_transition_period() -> None:
    samples = [(0.0, 40.0), *((float(t), 900.0) for t in range(10, 60, 10))]
    passes = _run(memory_thresholds(_HARD_AND_SOFT), samples, transition=30.0)
    assert [passed.pressure for passed in passes] == [True, True, True, False, False, False]


def test_minimum_reclaim_keeps_a_threshold_met() -> None:
    kubelet = {
        "evictionHard": {"memory.available": "100Mi"},
        "evictionMinimumReclaim": {"memory.available": "200Mi"},
        "enforceNodeAllocatable": [],
    }
    passes = _run(
        memory_thresholds(kubelet), [(0, 250), (10, 90), (11, 250), (12, 299), (13, 300), (14, 250)]
    )
    assert [passed.chosen is not None for passed in passes] == [False, True, True, True, False, False]


def test_the_same_measurement_is_not_acted_on_twice() -> None:
    thresholds = memory_thresholds(_HARD_AND_SOFT)
    first = step(
        EvictionState(),
        now=Seconds(0),
        thresholds=thresholds,
        observations=_seen(10, 0),
        transition=Seconds(300),
        choose=_first,
    )
    second = step(
        first.state,
        now=Seconds(1),
        thresholds=thresholds,
        observations=_seen(10, 0),
        transition=Seconds(300),
        choose=_first,
    )
    assert first.chosen is not None
    assert second.chosen is None
    assert second.pressure


def test_an_unobserved_signal_is_not_met() -> None:
    for threshold in memory_thresholds({}):
        assert not is_met(threshold, {}, reclaim=True)


def test_negative_availability_is_met() -> None:
    passes = _run(memory_thresholds(_HARD_AND_SOFT), [(0, -5)])
    assert passes[0].chosen is not None


def test_choice_among_thresholds_is_random_as_seen() -> None:
    hard, soft = memory_thresholds(_HARD_AND_SOFT)
    (_, allocatable) = memory_thresholds({"evictionHard": {"memory.available": "50Mi"}})
    choose = seeded_choice(Random(7))
    two = [choose((hard, soft)) for _ in range(4000)]
    assert 3400 < two.count(soft) < 3600  # 7 in 8
    three = [choose((hard, soft, allocatable)) for _ in range(4000)]
    assert 2880 < three.count(allocatable) < 3120  # 6 in 8
    assert 420 < three.count(hard) < 580
    assert choose((hard,)) is hard
    again = seeded_choice(Random(7))
    assert [again((hard, soft)) for _ in range(50)] == two[:50]


_SAMPLES = st.lists(st.tuples(st.floats(0.5, 40.0), st.integers(0, 600)), min_size=1, max_size=40)


@given(gaps=_SAMPLES, grace=st.integers(0, 60), transition=st.integers(1, 120))
def test_never_before_grace_and_pressure_only_clears_after_transition(
    gaps: list[tuple[float, int]], grace: int, transition: int
) -> None:
    thresholds = memory_thresholds(
        {
            "evictionHard": {},
            "evictionSoft": {"memory.available": "300Mi"},
            "evictionSoftGracePeriod": {"memory.available": f"{grace}s"},
            "enforceNodeAllocatable": [],
        }
    )
    now = 0.0
    samples: list[tuple[float, float]] = []
    for gap, available in gaps:
        now += gap
        samples.append((now, float(available)))
    below_since: float | None = None
    last_below: float | None = None
    for (at, seen), passed in zip(
        samples, _run(thresholds, samples, transition=float(transition)), strict=True
    ):
        if seen < 300:
            below_since = at if below_since is None else below_since
            last_below = at
        else:
            below_since = None
        evicts = below_since is not None and at - below_since >= grace
        assert (passed.chosen is not None) == evicts
        assert passed.pressure == (last_below is not None and at - last_below < transition)


@pytest.mark.parametrize(
    ("conditions", "critical", "qos", "tolerates", "admitted"),
    [
        (set[str](), False, "BestEffort", False, True),
        ({"MemoryPressure"}, False, "Burstable", False, True),
        ({"MemoryPressure"}, False, "Guaranteed", False, True),
        ({"MemoryPressure"}, False, "BestEffort", False, False),
        ({"MemoryPressure"}, False, "BestEffort", True, True),
        ({"MemoryPressure", "DiskPressure"}, False, "Guaranteed", True, False),
        ({"DiskPressure"}, True, "BestEffort", False, True),
    ],
)
def test_admission_under_pressure(
    conditions: set[str], critical: bool, qos: str, tolerates: bool, admitted: bool
) -> None:
    verdict = admits(frozenset(conditions), critical=critical, qos=qos, tolerates_memory_pressure=tolerates)
    assert verdict is admitted


def _pod(name: str, used: int | None, request: int, priority: int = 0, *, critical: bool = False) -> PodUsage:
    return PodUsage(
        name=name,
        request=Bytes(request * _MI),
        working_set=None if used is None else Bytes(used * _MI),
        priority=priority,
        critical=critical,
    )


@pytest.mark.parametrize(
    ("pods", "order"),
    [
        # a nearly full Guaranteed pod goes before a half empty Burstable one
        ([_pod("guaranteed", 1000, 1024), _pod("burstable", 300, 1024)], ["guaranteed", "burstable"]),
        (
            [_pod("guaranteed", 1000, 1024), _pod("burstable", 300, 1024), _pod("over", 1100, 1024)],
            ["over", "guaranteed", "burstable"],
        ),
        ([_pod("burstable", 1100, 1024), _pod("best-effort", 10, 0)], ["burstable", "best-effort"]),
        ([_pod("burstable", 1100, 1024, 1000), _pod("best-effort", 10, 0)], ["best-effort", "burstable"]),
        ([_pod("guaranteed", 1000, 1024), _pod("burstable", 1100, 1024, 1000)], ["burstable", "guaranteed"]),
        ([_pod("small", 90, 64), _pod("large", 900, 800)], ["large", "small"]),
        ([_pod("new", None, 1024), _pod("over", 2000, 64)], ["new", "over"]),
        ([_pod("equal", 64, 64), _pod("over", 65, 64)], ["over", "equal"]),
        ([_pod("high", 600, 64, 10), _pod("low", 100, 64, 5)], ["low", "high"]),
    ],
)
def test_ranking(pods: list[PodUsage], order: list[str]) -> None:
    assert [pod.name for pod in rank(pods)] == order
    assert [pod.name for pod in rank(list(reversed(pods)))] == order


def test_critical_pods_are_ranked_and_skipped() -> None:
    pods = [_pod("static", 5000, 0, 2000001000, critical=True), _pod("calm", 10, 1024)]
    assert rank(pods)[0].name == "static"
    chosen = victim(pods)
    assert chosen is not None
    assert chosen.name == "calm"
    assert victim(pods[:1]) is None
    assert victims([]) == []


_PODS = st.lists(
    st.builds(
        PodUsage,
        name=st.text(max_size=3),
        request=st.integers(0, 6).map(Bytes),
        working_set=st.none() | st.integers(0, 6).map(Bytes),
        priority=st.integers(-2, 2),
        critical=st.booleans(),
    ),
    max_size=12,
)


def _naive(a: PodUsage, b: PodUsage) -> int:
    """The kubelet's comparators, one after the other (helpers.go)."""

    def true_first(left: bool, right: bool) -> int:
        return 0 if left == right else -1 if left else 1

    missing = true_first(a.working_set is None, b.working_set is None)
    both = a.working_set is not None and b.working_set is not None
    if not both:
        exceeds = missing
    else:
        assert a.working_set is not None
        assert b.working_set is not None
        exceeds = true_first(a.working_set > a.request, b.working_set > b.request)
    if exceeds:
        return exceeds
    if a.priority != b.priority:
        return -1 if a.priority < b.priority else 1
    if not both:
        return missing
    assert a.working_set is not None
    assert b.working_set is not None
    return (b.working_set - b.request) - (a.working_set - a.request)


@given(_PODS)
def test_ranking_equals_the_naive_reference(pods: list[PodUsage]) -> None:
    naive = sorted(pods, key=functools.cmp_to_key(_naive))
    assert [rank_key(pod) for pod in rank(pods)] == [rank_key(pod) for pod in naive]
    chosen = victim(pods)
    assert chosen is None or not chosen.critical
    assert (chosen is None) == all(pod.critical for pod in pods)
    assert chosen is None or chosen in victims(pods)


@given(_PODS)
def test_ranking_is_a_total_preorder(pods: list[PodUsage]) -> None:
    for a in pods:
        for b in pods:
            assert (_naive(a, b) <= 0) or (_naive(b, a) <= 0)
            for c in pods:
                if _naive(a, b) <= 0 and _naive(b, c) <= 0:
                    assert _naive(a, c) <= 0


_HARD, _SOFT = memory_thresholds(_HARD_AND_SOFT)


@pytest.mark.parametrize(
    ("threshold", "cap", "pod_grace", "asked", "seconds"),
    [
        (_HARD, 0, 60, 1, 2.0),
        (_HARD, 600, 60, 1, 2.0),
        (_SOFT, 0, 180, 0, 2.0),
        (_SOFT, -1, 180, -1, 2.0),
        (_SOFT, 30, 180, 30, 30.0),
        (_SOFT, 600, 180, 180, 180.0),
        (_SOFT, 30, None, 30, 30.0),
        (_SOFT, 12, 60, 12, 12.0),
        (_SOFT, 30, 0, 0, 2.0),
    ],
)
def test_grace(threshold: Threshold, cap: int, pod_grace: int | None, asked: int, seconds: float) -> None:
    assert override(threshold, max_pod_grace=cap, pod_grace=pod_grace) == asked
    assert kill_window(threshold, max_pod_grace=cap, pod_grace=pod_grace) == seconds


@pytest.mark.parametrize(("asked", "seconds"), [(0, 10.0), (-1, 10.0), (5, 10.0), (30, 45.0), (7, 10.0)])
def test_kill_timeout(asked: int, seconds: float) -> None:
    assert kill_timeout(asked) == seconds


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [({}, 60), ({"terminationGracePeriodSeconds": 0}, 30), ({"terminationGracePeriodSeconds": 180}, 210)],
)
def test_pod_grace(spec: Mapping[str, int], seconds: int) -> None:
    assert pod_grace_seconds({"spec": {"domain": {}, **spec}}) == seconds
