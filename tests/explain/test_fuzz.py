"""Whatever is written, `explain` answers: it never raises on a manifest, and what it allows has a pod."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.explain.explain import explain
from harness.explain.present import table, to_data
from harness.explain.settings import read_kubelet, read_kubevirt
from harness.explain.sources import read_manifest

_VMI: dict[str, Any] = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "a", "annotations": {"x": "y"}},
    "spec": {
        "terminationGracePeriodSeconds": 30,
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "domain": {
            "cpu": {"cores": 1, "dedicatedCpuPlacement": False},
            "devices": {"disks": [{"name": "d"}], "interfaces": [{"name": "default", "bridge": {}}]},
            "memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}},
            "resources": {"requests": {"memory": "1Gi", "cpu": "1"}, "limits": {"memory": "2Gi"}},
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [{"name": "d", "containerDisk": {"image": "x"}}],
    },
}


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    out = [path] if path else []
    for key in keys:
        out += _paths(value[key], (*path, key))
    return out


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**12),
    st.floats(-10, 10, allow_nan=False),
    st.sampled_from(["", "x", "0", "-1Mi", "1GiB", "64M", "128Mi", "true", "q35"]),
    st.just([]),
    st.just({}),
    st.just([{"name": "a"}]),
    st.just({"a": {"b": 1}}),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    changes=st.lists(st.tuples(st.sampled_from(_paths(_VMI)), _JUNK), min_size=1, max_size=3),
    column=st.sampled_from(["v1.6", "v1.9", "main"]),
)
def test_any_field_may_hold_anything(changes: list[tuple[tuple[Any, ...], Any]], column: str) -> None:
    vmi = copy.deepcopy(_VMI)
    for path, junk in changes:
        parent: Any = vmi
        try:
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = copy.deepcopy(junk)
        except (TypeError, KeyError, IndexError):
            continue
    (explanation,) = explain([read_manifest(json.dumps(vmi), "a.json")], column=column)
    data = to_data(explanation)
    json.dumps(data)
    assert list(table(explanation))
    assert data["admission"]["allowed"] is (data["pod"] is not None)
    assert data["admission"]["allowed"] or data["admission"]["message"]
    assert data["admission"]["allowed"] or explanation.mistakes


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text(alphabet="{}[]:-#&*!|>'\"%@` \n\tabkind123", max_size=40))
def test_any_text_may_be_a_file(text: str) -> None:
    assert read_manifest(text, "a").mistakes
    for read in (read_kubevirt, read_kubelet):
        settings_ = read(text, "a")
        assert isinstance(settings_.value, dict)
