from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.embedded.api.errors import BadRequest
from harness.embedded.api.patches import strategic


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
