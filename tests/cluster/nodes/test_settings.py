from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.cluster.nodes.settings import KUBEVIRT_DEFAULTS, differing, kubelet_differing, restoring
from harness.rules.merge_patch import merge


def test_equal_quantities_are_the_same_setting() -> None:
    there = {"evictionHard": {"memory.available": "0.5Gi", "nodefs.available": "10%"}}
    assert differing({"evictionHard": {"memory.available": "512Mi"}}, there) == ()
    assert differing({"evictionHard": {"memory.available": "200Mi"}}, there) == (
        ("evictionHard.memory.available", "200Mi", "0.5Gi"),
    )
    assert differing({"failSwapOn": False}, there) == (("failSwapOn", False, None),)


def test_equal_durations_are_the_same_setting() -> None:
    """metav1.Duration is served as Go prints it."""
    there = {
        "evictionPressureTransitionPeriod": "1m0s",
        "evictionSoftGracePeriod": {"memory.available": "1m30s"},
    }
    assert differing({"evictionPressureTransitionPeriod": "60s"}, there) == ()
    assert differing({"evictionSoftGracePeriod": {"memory.available": "90s"}}, there) == ()
    assert differing({"evictionPressureTransitionPeriod": "30s"}, there) == (
        ("evictionPressureTransitionPeriod", "30s", "1m0s"),
    )


def test_what_the_cr_does_not_say_is_kubevirts_default() -> None:
    asked = {"developerConfiguration": {"memoryOvercommit": 100}}
    assert differing(asked, {}, KUBEVIRT_DEFAULTS) == ()
    assert differing(asked, {"developerConfiguration": {"memoryOvercommit": 150}}, KUBEVIRT_DEFAULTS) == (
        ("developerConfiguration.memoryOvercommit", 100, 150),
    )


def test_a_kubelet_serves_no_zeros_and_null_may_be_anything() -> None:
    configz = {
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "0%"},
        "evictionPressureTransitionPeriod": "1m0s",
        "maxPods": 110,
    }
    same = {
        "evictionHard": {"memory.available": "204800Ki"},
        "evictionPressureTransitionPeriod": "60s",
        "evictionMaxPodGracePeriod": 0,
        "registerWithTaints": [],
        "podPidsLimit": None,
    }
    assert kubelet_differing(same, configz) == ()
    assert kubelet_differing({"maxPods": None}, configz) == (("maxPods", None, 110),)
    other = {"evictionHard": {"memory.available": "1Gi"}, "evictionSoft": {"memory.available": "2Gi"}}
    assert kubelet_differing({**other, "maxPods": 0}, configz) == (
        ("evictionHard.memory.available", "1Gi", "200Mi"),
        ("evictionSoft.memory.available", "2Gi", None),
        ("maxPods", 0, 110),
    )


VALUES = st.one_of(st.integers(0, 3), st.text("ab", max_size=2), st.lists(st.integers(0, 2), max_size=2))
TREES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(VALUES, inner), max_size=3),
    max_leaves=8,
)


@given(TREES, TREES)
def test_restoring_takes_a_patched_tree_back(before: dict[str, Any], fragment: dict[str, Any]) -> None:
    after = merge(before, fragment)
    assert merge(after, restoring(before, fragment)) == before
