"""Eviction thresholds: defaults, merging, refusals, and what they leave of a node."""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.allocatable import allocatable, node_memory
from harness.rules.errors import ThresholdError
from harness.rules.thresholds import (
    max_pod_grace,
    memory_thresholds,
    on_kind,
    parse_thresholds,
    transition_period,
)
from harness.units import Bytes

_GI = 1073741824


def _text(kubelet: dict[str, Any], *, from_file: bool = True) -> list[str]:
    return [str(threshold) for threshold in memory_thresholds(kubelet, from_file=from_file)]


_HARD = ["memory.available<100Mi (hard)", "allocatableMemory.available<100Mi (hard)"]


@pytest.mark.parametrize(
    ("kubelet", "expected"),
    [
        ({}, _HARD),
        ({"evictionHard": {"nodefs.available": "10%"}}, []),
        ({"evictionHard": {"nodefs.available": "10%"}, "mergeDefaultEvictionSettings": True}, _HARD),
        ({"evictionHard": {}}, []),
        ({"evictionHard": {"memory.available": "0%"}}, []),
        ({"evictionHard": {"memory.available": "100%"}}, []),
        (
            {"evictionHard": {"memory.available": "1Gi"}, "enforceNodeAllocatable": []},
            ["memory.available<1Gi (hard)"],
        ),
        (
            {"evictionHard": {"memory.available": "1Gi"}, "enforceNodeAllocatable": ["none"]},
            ["memory.available<1Gi (hard)"],
        ),
        (
            {
                "evictionHard": {"memory.available": "50Mi"},
                "evictionSoft": {"memory.available": "350Mi"},
                "evictionSoftGracePeriod": {"memory.available": "1m30s"},
            },
            [
                "memory.available<50Mi (hard)",
                "memory.available<350Mi (soft, grace 1m30s)",
                "allocatableMemory.available<50Mi (hard)",
            ],
        ),
        (
            {
                "evictionHard": {},
                "evictionSoft": {"memory.available": "1Gi"},
                "evictionSoftGracePeriod": {"memory.available": "0s"},
            },
            ["memory.available<1Gi (hard)", "allocatableMemory.available<1Gi (hard)"],
        ),
        (
            {
                "evictionHard": {},
                "evictionSoft": {"allocatableMemory.available": "1Gi"},
                "evictionSoftGracePeriod": {"allocatableMemory.available": "10s", "memory.available": "1s"},
            },
            ["allocatableMemory.available<1Gi (soft, grace 10s)"],
        ),
        (
            {"evictionHard": {"memory.available": "10%"}},
            ["memory.available<10% (hard)", "allocatableMemory.available<10% (hard)"],
        ),
    ],
)
def test_what_is_in_force(kubelet: dict[str, Any], expected: list[str]) -> None:
    assert _text(kubelet) == expected


def test_kind_has_no_memory_threshold_until_one_is_set() -> None:
    assert parse_thresholds(on_kind({})) == ()
    assert _text(on_kind({"evictionHard": {"memory.available": "500Mi"}})) == [
        "memory.available<500Mi (hard)",
        "allocatableMemory.available<500Mi (hard)",
    ]


def test_a_kubelet_with_flags_alone_has_no_defaults() -> None:
    assert _text({}, from_file=False) == []


@pytest.mark.parametrize(
    ("kubelet", "message"),
    [
        ({"evictionHard": {"memory.availible": "1Gi"}}, "unsupported eviction signal memory.availible"),
        (
            {"evictionHard": {"memory.available": "0"}},
            "eviction threshold memory.available must be positive: 0",
        ),
        (
            {"evictionHard": {"memory.available": "-1Gi"}},
            "eviction threshold memory.available must be positive: -1Gi",
        ),
        (
            {"evictionHard": {"memory.available": "-5%"}},
            "eviction percentage threshold memory.available must be >= 0%: -5%",
        ),
        (
            {"evictionHard": {"memory.available": "101%"}},
            "eviction percentage threshold memory.available must be <= 100%: 101%",
        ),
        ({"evictionHard": {"memory.available": "x%"}}, 'strconv.ParseFloat: parsing "x": invalid syntax'),
        (
            {"evictionSoft": {"memory.available": "1Gi"}},
            "grace period must be specified for the soft eviction threshold memory.available",
        ),
        (
            {"evictionSoftGracePeriod": {"memory.available": "-1s"}},
            "invalid eviction grace period specified: -1s, must be a positive value",
        ),
        ({"evictionSoftGracePeriod": {"memory.available": "90"}}, 'time: missing unit in duration "90"'),
        ({"evictionSoftGracePeriod": {"memory.available": "soon"}}, 'time: invalid duration "soon"'),
        (
            {"evictionMinimumReclaim": {"memory.available": "-1Mi"}},
            "negative eviction minimum reclaim specified for memory.available",
        ),
        (
            {"evictionMinimumReclaim": {"memory.available": "0%"}},
            "eviction percentage minimum reclaim memory.available must be positive: 0%",
        ),
        ({"evictionMinimumReclaim": {"bogus": "1"}}, "unsupported eviction signal bogus"),
        (
            {"evictionHard": {"memory.available": "1GiB"}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_refusals(kubelet: dict[str, Any], message: str) -> None:
    with pytest.raises(ThresholdError) as caught:
        parse_thresholds(kubelet)
    assert str(caught.value) == message


def test_percentages_are_float32_shares_of_capacity() -> None:
    (threshold, _) = memory_thresholds({"evictionHard": {"memory.available": "10%"}})
    # float32(10) / 100 = 0.100000001490116…
    assert threshold.value.resolve(Bytes(8 * _GI)).value() == 858993472
    (odd, _) = memory_thresholds({"evictionHard": {"memory.available": "7.5%"}})
    assert odd.value.resolve(Bytes(1000000)).value() == 75000


def test_minimum_reclaim_joins_every_threshold_of_its_signal() -> None:
    found = memory_thresholds(
        {
            "evictionHard": {"memory.available": "1Gi"},
            "evictionSoft": {"memory.available": "2Gi"},
            "evictionSoftGracePeriod": {"memory.available": "10s"},
            "evictionMinimumReclaim": {"memory.available": "500Mi"},
        }
    )
    assert [str(threshold.min_reclaim) for threshold in found] == ["500Mi", "500Mi", "500Mi"]


@pytest.mark.parametrize(
    ("kubelet", "seconds"),
    [
        ({}, 300.0),
        ({"evictionPressureTransitionPeriod": "0s"}, 300.0),
        ({"evictionPressureTransitionPeriod": "30s"}, 30.0),
        ({"evictionPressureTransitionPeriod": "1m30.5s"}, 90.5),
    ],
)
def test_transition_period(kubelet: dict[str, Any], seconds: float) -> None:
    assert transition_period(kubelet) == seconds


def test_max_pod_grace_defaults_to_none_at_all() -> None:
    assert max_pod_grace({}) == 0
    assert max_pod_grace({"evictionMaxPodGracePeriod": 30}) == 30


_RESERVED = {
    "systemReserved": {"memory": "500Mi"},
    "kubeReserved": {"memory": "100Mi"},
    "evictionHard": {"memory.available": "200Mi"},
}


@pytest.mark.parametrize(
    ("kubelet", "capacity", "free", "limit"),
    [
        (_RESERVED, 2 * _GI, 1308622848, 1518338048),  # 1248Mi, 1448Mi: as on a real node
        ({}, 2 * _GI, 2 * _GI - 104857600, 2 * _GI),
        ({**_RESERVED, "enforceNodeAllocatable": []}, 2 * _GI, 1308622848, 2 * _GI),
        ({"evictionHard": {"memory.available": "50%"}}, 2 * _GI, _GI, 2 * _GI),
        ({"evictionHard": {}}, 2 * _GI, 2 * _GI, 2 * _GI),
        (
            {
                "evictionHard": {},
                "evictionSoft": {"memory.available": "1Gi"},
                "evictionSoftGracePeriod": {"memory.available": "5s"},
            },
            2 * _GI,
            2 * _GI,
            2 * _GI,
        ),
        ({"evictionHard": {"allocatableMemory.available": "1Gi"}}, 2 * _GI, 2 * _GI, 2 * _GI),
    ],
)
def test_allocatable_and_kubepods_limit(
    kubelet: dict[str, Any], capacity: int, free: int, limit: int
) -> None:
    node = node_memory(kubelet, capacity=Bytes(capacity))
    assert node.allocatable == allocatable(kubelet, capacity=Bytes(capacity)) == free
    assert node.kubepods_limit == limit


def test_hugepages_are_taken_off_allocatable_alone() -> None:
    node = node_memory({"evictionHard": {}}, capacity=Bytes(2 * _GI), hugepages=_GI)
    assert (node.allocatable, node.kubepods_limit) == (_GI, 2 * _GI)


def test_a_reservation_above_capacity_is_refused() -> None:
    with pytest.raises(ThresholdError, match=r"Expected capacity >= reservation\."):
        node_memory({"systemReserved": {"memory": "3Gi"}}, capacity=Bytes(2 * _GI))
    with pytest.raises(ThresholdError, match="cannot be negative"):
        node_memory({"kubeReserved": {"memory": "-1"}}, capacity=Bytes(2 * _GI))
