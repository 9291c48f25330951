from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.embedded.api.errors import BadRequest
from harness.embedded.api.patches import merge, strategic

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


# The examples of RFC 7386, appendix A.
@pytest.mark.parametrize(
    ("old", "patch", "new"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge(old: Any, patch: Any, new: Any) -> None:
    assert merge(old, patch) == new


@settings(max_examples=50)
@given(old=st.dictionaries(st.text(max_size=2), JSON), patch=st.dictionaries(st.text(max_size=2), JSON))
def test_merging_changes_neither_side_and_twice_is_once(old: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy((old, patch))
    once = merge(old, patch)

    assert (old, patch) == before
    assert merge(once, patch) == once


@pytest.mark.parametrize(
    ("old", "patch", "new"),
    [
        pytest.param(
            {"containers": [{"name": "a", "image": "1", "tty": True}, {"name": "b"}]},
            {"containers": [{"name": "a", "image": "2"}]},
            {"containers": [{"name": "a", "image": "2", "tty": True}, {"name": "b"}]},
            id="containers by name",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"name": "a", "$patch": "delete"}]},
            {"containers": [{"name": "b"}]},
            id="delete an item",
        ),
        pytest.param(
            {"containers": [{"name": "a"}]},
            {"containers": [{"$patch": "replace"}, {"name": "z"}]},
            {"containers": [{"name": "z"}]},
            id="replace a list",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
            {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}],
                "containers": [{"name": "d"}],
            },
            {"containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}, {"name": "b"}]},
            id="order, with one that only the server knows",
        ),
        pytest.param(
            {"volumes": [{"name": "server"}, {"name": "a"}]},
            {"$setElementOrder/volumes": [{"name": "b"}, {"name": "a"}], "volumes": [{"name": "b"}]},
            {"volumes": [{"name": "server"}, {"name": "b"}, {"name": "a"}]},
            id="order, with one in front that only the server knows",
        ),
        pytest.param(
            {"taints": [{"key": "a"}]},
            {"taints": [{"key": "b"}]},
            {"taints": [{"key": "b"}]},
            id="taints are atomic",
        ),
        pytest.param(
            {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}]},
            {
                "conditions": [
                    {"type": "Ready", "status": "False"},
                    {"type": "MemoryPressure", "status": "True"},
                ]
            },
            {
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "x"},
                    {"type": "MemoryPressure", "status": "True"},
                ]
            },
            id="conditions by type",
        ),
        pytest.param(
            {"finalizers": ["a"]},
            {"finalizers": ["b", "a"]},
            {"finalizers": ["a", "b"]},
            id="finalizers are a set",
        ),
        pytest.param(
            {"finalizers": ["a", "b"]},
            {"$deleteFromPrimitiveList/finalizers": ["a"]},
            {"finalizers": ["b"]},
            id="taken from a set",
        ),
        pytest.param(
            {"a": {"x": 1, "y": 2}}, {"a": {"$retainKeys": ["y"], "y": 3}}, {"a": {"y": 3}}, id="retain keys"
        ),
        pytest.param(
            {"a": {"x": 1}}, {"a": {"$patch": "replace", "y": 2}}, {"a": {"y": 2}}, id="replace a map"
        ),
        pytest.param({"unschedulable": True}, {"unschedulable": None}, {}, id="null takes away"),
        pytest.param({}, {"spec": {"a": {"b": 1}}}, {"spec": {"a": {"b": 1}}}, id="grows"),
    ],
)
def test_strategic(old: dict[str, Any], patch: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy(old)
    assert strategic(old, patch) == new
    assert old == before


@pytest.mark.parametrize("patch", [{"containers": [{"image": "x"}]}, {"a": {"$patch": "explode"}}])
def test_strategic_refusals(patch: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        strategic({"containers": [{"name": "a"}]}, patch)
