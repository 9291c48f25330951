from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedded.api.errors import Gone
from harness.embedded.api.resources import PODS
from harness.embedded.api.ring import Change, Encoded, Ring


@given(
    capacity=st.integers(min_value=1, max_value=9),
    gaps=st.lists(st.integers(min_value=1, max_value=3), max_size=40),
    asked=st.integers(min_value=0, max_value=130),
)
def test_a_ring_answers_in_full_or_not_at_all(capacity: int, gaps: list[int], asked: int) -> None:
    ring, versions = Ring(capacity), []
    version = 0
    for gap in gaps:
        version += gap
        versions.append(version)
        ring.append(Change("ADDED", PODS, {}, version))
    wanted = [v for v in versions if v > asked]
    try:
        found = [change.resource_version for change in ring.since(asked)]
    except Gone:
        assert len(wanted) > capacity, "what fits into the ring is never refused"
    else:
        assert found == wanted


def test_json_is_made_once_per_version() -> None:
    obj: dict[str, Any] = {"apiVersion": "kubevirt.io/v1", "metadata": {"name": "v"}}
    encoded = Encoded(obj)

    assert encoded.json() is encoded.json()
    assert (
        encoded.json("kubevirt.io/v1alpha3")
        == b'{"apiVersion":"kubevirt.io/v1alpha3","metadata":{"name":"v"}}'
    )
    assert obj["apiVersion"] == "kubevirt.io/v1"
    copy = encoded.editable()
    copy["metadata"]["name"] = "w"
    assert obj["metadata"]["name"] == "v"


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_an_empty_ring_has_nothing_to_say(asked: int) -> None:
    assert Ring(4).since(asked) == []
