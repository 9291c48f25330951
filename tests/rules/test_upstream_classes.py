"""Upstream's own unit tests of QoS classes, oom_score_adj and swap, told again of these rules: their cases and literals.

Source: Kubernetes pkg/apis/core/v1/helper/qos/qos_test.go, pkg/kubelet/qos/policy_test.go,
pkg/kubelet/kuberuntime/kuberuntime_container_linux_test.go. Cases of cgroup v1 and of feature gates that are locked on
are left out; docs/rules.md lists which table stands where.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.oom import oom_score_adj
from harness.rules.qos import qos_class
from harness.rules.swap import container_swap
from harness.units import Bytes

_GI = 1 << 30
Given = dict[str, str]


def _resources(cpu: str, memory: str) -> Given:
    return {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}


def _container(requests: Given, limits: Given, *, name: str = "c", sidecar: bool = False) -> dict[str, Any]:
    container = {"name": name, "resources": {"requests": requests, "limits": limits}}
    return container | {"restartPolicy": "Always"} if sidecar else container


_NONE: Given = {}
_100 = _resources("100m", "100Mi")
_BEST_EFFORT = _container(_NONE, _NONE)
_GUARANTEED = _container(_100, _100)
_10 = _resources("10m", "100Mi")
_5 = _resources("5m", "10Mi")


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({"containers": [_GUARANTEED]}, "Guaranteed"),
        ({"containers": [_GUARANTEED, _GUARANTEED]}, "Guaranteed"),
        ({"containers": [_BEST_EFFORT, _BEST_EFFORT]}, "BestEffort"),
        ({"containers": [_BEST_EFFORT]}, "BestEffort"),
        ({"containers": [_BEST_EFFORT, _container({"cpu": "1"}, {"cpu": "2"})]}, "Burstable"),
        ({"containers": [_BEST_EFFORT, _container(_10, _10)]}, "Burstable"),
        ({"containers": [_container({"memory": "100Mi"}, {"memory": "100Mi"})]}, "Burstable"),
        ({"containers": [_container(_100, _NONE)]}, "Burstable"),
        (
            {"containers": [_container(_resources("1", "100Mi"), _resources("2", "100Mi")), _GUARANTEED]},
            "Burstable",
        ),
        (
            {"containers": [_container(_100, _resources("200m", "200Mi")), _container(_100, _NONE)]},
            "Burstable",
        ),
        ({"containers": [_container(_10, _resources("100m", "200Mi"))]}, "Burstable"),
        ({"containers": [_container(_resources("0", "0"), _resources("100m", "200Mi"))]}, "Burstable"),
        (
            {
                "containers": [
                    _container(
                        {"cpu": "0", "memory": "0", "hugepages-2Mi": "1Gi"},
                        {"cpu": "0", "memory": "0", "hugepages-2Mi": "1Gi"},
                    )
                ]
            },
            "BestEffort",
        ),
        (
            {
                "containers": [_BEST_EFFORT],
                "initContainers": [_container(_10, _resources("100m", "200Mi"))],
            },
            "Burstable",
        ),
        ({"containers": [_BEST_EFFORT], "resources": {"requests": _10, "limits": _10}}, "Guaranteed"),
        (
            {
                "containers": [_container(_resources("3m", "10Mi"), _resources("5m", "20Mi"))],
                "resources": {"requests": _10, "limits": _10},
            },
            "Guaranteed",
        ),
        (
            {
                "containers": [_BEST_EFFORT],
                "resources": {"requests": _resources("10m", "10Mi"), "limits": _resources("20m", "50Mi")},
            },
            "Burstable",
        ),
        (
            {
                "containers": [_container(_5, _5)],
                "resources": {"requests": _resources("10m", "10Mi"), "limits": _resources("20m", "50Mi")},
            },
            "Burstable",
        ),
        (
            {"containers": [_container(_5, _NONE)], "resources": {"requests": _resources("10m", "10Mi")}},
            "Burstable",
        ),
        (
            {
                "containers": [_container(_5, _NONE), _container(_5, _5)],
                "resources": {"requests": _resources("10m", "10Mi"), "limits": {"cpu": "5m"}},
            },
            "Burstable",
        ),
    ],
)
def test_compute_pod_qos(pod: dict[str, Any], expected: str) -> None:
    assert qos_class(pod) == expected


_AMOUNT = 8_000_000_000
_EIGHTH = {"memory": str(_AMOUNT // 8)}
_EIGHTH_LIMIT = {"memory": str(_AMOUNT // 8 + 1000)}
_INIT = _container(_EIGHTH, _EIGHTH_LIMIT, name="init-container")
_MAIN = _container(_EIGHTH, _EIGHTH_LIMIT, name="main-1")


def _sidecar(request: int) -> dict[str, Any]:
    return _container({"memory": str(request)}, _EIGHTH_LIMIT, name="sidecar", sidecar=True)


def _quarter(limit: int) -> dict[str, Any]:
    return {
        "requests": _resources("5m", str(_AMOUNT // 4)),
        "limits": _resources("5m", str(_AMOUNT // 4 + limit)),
    }


def _named(name: str, request: str = "", limit: str = "", *, sidecar: bool = False) -> dict[str, Any]:
    requests = _resources("5m", request) if request else {}
    limits = _resources("5m", limit) if limit else {}
    return _container(requests, limits, name=name, sidecar=sidecar)


_G = "1000000000"
_G_LIMIT = "1000001000"


@pytest.mark.parametrize(
    ("pod", "capacity", "expected"),
    [
        ({"containers": [_container({"cpu": "10"}, {"cpu": "10"})]}, 4_000_000_000, {"c": 999}),
        ({"containers": [_container({"cpu": "0"}, {"memory": "10G"})]}, _AMOUNT, {"c": 999}),
        ({"containers": [_container({}, {"memory": "0"})]}, 7_230_457_451, {"c": 1000}),
        ({"containers": [_BEST_EFFORT]}, 4_000_000_000, {"c": 1000}),
        (
            {"containers": [_container(_resources("5m", "10G"), _resources("5m", "10G"))]},
            123_456_789,
            {"c": -997},
        ),
        (
            {"containers": [_container(_resources("5m", str(_AMOUNT // 2)), {"memory": "10G"})]},
            _AMOUNT,
            {"c": 500},
        ),
        ({"containers": [_container(_resources("5m", str(_AMOUNT - 1)), {})]}, _AMOUNT, {"c": 3}),
        (
            {
                "containers": [_BEST_EFFORT],
                "priority": 2_000_000_000,
                "priorityClassName": "system-cluster-critical",
            },
            4_000_000_000,
            {"c": 1000},
        ),
        (
            {
                "containers": [_BEST_EFFORT],
                "priority": 2_000_001_000,
                "priorityClassName": "system-node-critical",
            },
            4_000_000_000,
            {"c": -997},
        ),
        ({"containers": [_MAIN]}, _AMOUNT, {"main-1": 875}),
        (
            {"initContainers": [_INIT], "containers": [_MAIN]},
            _AMOUNT,
            {"init-container": 875, "main-1": 875},
        ),
        (
            {"initContainers": [_INIT, _sidecar(_AMOUNT // 20)], "containers": [_MAIN]},
            _AMOUNT,
            {"init-container": 875, "sidecar": 875, "main-1": 875},
        ),
        (
            {"initContainers": [_INIT, _sidecar(_AMOUNT // 8)], "containers": [_MAIN]},
            _AMOUNT,
            {"init-container": 875, "sidecar": 875, "main-1": 875},
        ),
        (
            {"initContainers": [_INIT, _sidecar(_AMOUNT // 2)], "containers": [_MAIN]},
            _AMOUNT,
            {"init-container": 875, "sidecar": 500, "main-1": 875},
        ),
        (
            {"resources": _quarter(0), "containers": [_named("1"), _named("2")]},
            4_000_000_000,
            {"1": -997, "2": -997},
        ),
        (
            {"resources": _quarter(0), "containers": [_named("1", _G, _G), _named("2", _G, _G)]},
            4_000_000_000,
            {"1": -997, "2": -997},
        ),
        (
            {"resources": _quarter(0), "containers": [_named("1", _G, _G_LIMIT), _named("2")]},
            4_000_000_000,
            {"1": -997, "2": -997},
        ),
        (
            {"resources": _quarter(1000), "containers": [_named("1"), _named("2")]},
            4_000_000_000,
            {"1": 750, "2": 750},
        ),
        (
            {"resources": _quarter(1000), "containers": [_named("1", _G, _G), _named("2", _G, _G)]},
            4_000_000_000,
            {"1": 750, "2": 750},
        ),
        (
            {"resources": _quarter(1000), "containers": [_named("1", _G, _G), _named("2")]},
            4_000_000_000,
            {"1": 625, "2": 875},
        ),
        (
            {
                "resources": _quarter(1000),
                "containers": [_named("1")],
                "initContainers": [_named("s", sidecar=True)],
            },
            4_000_000_000,
            {"1": 750, "s": 750},
        ),
        (
            {
                "resources": _quarter(1000),
                "containers": [_named("1", _G, _G_LIMIT)],
                "initContainers": [_named("s", _G, _G_LIMIT, sidecar=True)],
            },
            4_000_000_000,
            {"1": 750, "s": 750},
        ),
        (
            {
                "resources": _quarter(1000),
                "containers": [_named("1", _G, "2000001000"), _named("2", "500000000", "2000001000")],
                "initContainers": [_named("s", "200000000", "2000001000", sidecar=True)],
            },
            4_000_000_000,
            {"1": 725, "2": 850, "s": 850},
        ),
    ],
)
def test_get_container_oom_score_adjust(pod: dict[str, Any], capacity: int, expected: dict[str, int]) -> None:
    served = qos_class(pod)
    found = {name: oom_score_adj(pod, name, capacity=Bytes(capacity), qos=served) for name in expected}
    assert found == expected


_1GI = {"memory": "1Gi"}
_2GI = {"memory": "2Gi"}


@pytest.mark.parametrize(
    ("first", "second", "behavior", "more", "expected"),
    [
        (_container(_1GI, {}), _container(_2GI, {}), "LimitedSwap", {}, (134217728, 268435456)),
        (_container(_1GI, {}), _container({}, {}), "LimitedSwap", {}, (134217728, 0)),
        (_container(_1GI, {}), _container(_2GI, _2GI), "LimitedSwap", {}, (134217728, 0)),
        (_container(_1GI, {}), _container(_2GI, {}), "NoSwap", {}, (0, 0)),
        (_container({}, {}), _container({}, {}), "LimitedSwap", {}, (0, 0)),
        (_container(_1GI, {}), _container(_2GI, {}), "LimitedSwap", {"priority": 2_000_000_000}, (0, 0)),
        (
            _container(_1GI | {"cpu": "1"}, _1GI | {"cpu": "1"}),
            _container(_2GI | {"cpu": "1"}, _2GI | {"cpu": "1"}),
            "LimitedSwap",
            {},
            (0, 0),
        ),
    ],
)
def test_generate_linux_container_resources_with_swap(
    first: dict[str, Any],
    second: dict[str, Any],
    behavior: str,
    more: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    pod = {"containers": [first | {"name": "c1"}, second | {"name": "c2"}], **more}
    found = tuple(
        container_swap(
            pod,
            name,
            qos=qos_class(pod),
            behavior=behavior,
            memory_total=Bytes(40 * _GI),
            swap_total=Bytes(5 * _GI),
        )[0]
        for name in ("c1", "c2")
    )
    assert found == expected
