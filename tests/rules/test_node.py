"""oom_score_adj, the kernel's victim, swap shares, scheduling and KSM values: the facts as tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rules.errors import ThresholdError
from harness.rules.ksm import KsmValues, next_values, tuning
from harness.rules.oom import Task, killed, oom_score_adj, score, victim
from harness.rules.pods import is_critical, pod_memory_limit, pod_request
from harness.rules.scheduling import (
    Demand,
    Room,
    balanced_allocation,
    demand,
    fit,
    how_many,
    least_allocated,
    tolerates,
)
from harness.rules.scheduling import score as node_score
from harness.rules.swap import container_swap, swap_behavior, swap_share
from harness.units import Bytes

_MI = 1048576
_GI = 1073741824
_KB = 1024


def _container(
    name: str, request: str | None = None, limit: str | None = None, **more: Any
) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if request is not None:
        resources["requests"] = {"memory": request}
    if limit is not None:
        resources["limits"] = {"memory": limit}
    return {"name": name, "resources": resources, **more}


@pytest.mark.parametrize(
    ("request_", "adjustment"),
    [
        (None, 999),
        ("1Mi", 999),
        ("8Mi", 999),
        ("9Mi", 999),
        ("1Gi", 875),
        ("2Gi", 750),
        ("4Gi", 500),
        ("8Gi", 3),
        ("16Gi", 3),
    ],
)
def test_burstable_oom_score_adj_on_8gi(request_: str | None, adjustment: int) -> None:
    pod = {"containers": [_container("compute", request_)]}
    assert oom_score_adj(pod, "compute", capacity=Bytes(8 * _GI), qos="Burstable") == adjustment


def test_oom_score_adj_of_other_classes() -> None:
    pod: dict[str, Any] = {"containers": [_container("compute", "1Gi")]}
    assert oom_score_adj(pod, "compute", capacity=Bytes(8 * _GI), qos="Guaranteed") == -997
    assert oom_score_adj(pod, "compute", capacity=Bytes(8 * _GI), qos="BestEffort") == 1000
    critical = {**pod, "priorityClassName": "system-node-critical", "priority": 2000001000}
    assert oom_score_adj(critical, "compute", capacity=Bytes(8 * _GI), qos="Burstable") == -997
    cluster = {**pod, "priorityClassName": "system-cluster-critical", "priority": 2000000000}
    assert oom_score_adj(cluster, "compute", capacity=Bytes(8 * _GI), qos="Burstable") == 875
    with pytest.raises(KeyError):
        oom_score_adj(pod, "nobody", capacity=Bytes(8 * _GI), qos="Burstable")


def test_a_sidecar_is_no_likelier_to_die_than_the_smallest_container() -> None:
    pod = {
        "containers": [_container("compute", "4Gi"), _container("small", "1Gi")],
        "initContainers": [
            _container("log", "35M", restartPolicy="Always"),
            _container("large", "6Gi", restartPolicy="Always"),
            _container("once", "35M"),
        ],
    }
    expected = {"compute": 500, "small": 875, "log": 875, "large": 250, "once": 996}
    for name, adjustment in expected.items():
        assert oom_score_adj(pod, name, capacity=Bytes(8 * _GI), qos="Burstable") == adjustment


def test_a_recorded_adjustment() -> None:
    # kind-1.36-kubevirt-container-oom: a node of 2Gi, kmsg says oom_score_adj=844
    pod = {"containers": [_container("compute", "327808Ki", "393344Ki")]}
    assert oom_score_adj(pod, "compute", capacity=Bytes(2 * _GI), qos="Burstable") == 844


def test_pod_level_requests_are_shared_out() -> None:
    pod = {
        "resources": {"requests": {"memory": "5Gi"}},
        "containers": [_container("a", "1Gi"), _container("b")],
        "initContainers": [_container("c")],
    }
    # (5Gi - 1Gi) / 3 = 1431655765
    assert oom_score_adj(pod, "a", capacity=Bytes(8 * _GI), qos="Burstable") == 709
    assert oom_score_adj(pod, "b", capacity=Bytes(8 * _GI), qos="Burstable") == 834


def _task(name: str, rss_mi: int, adjustment: int, cgroup: str = "/a", **more: int) -> Task:
    return Task(
        pid=len(name),
        name=name,
        rss=Bytes(rss_mi * _MI),
        oom_score_adj=adjustment,
        cgroup=cgroup,
        swap=Bytes(more.get("swap", 0)),
        page_tables=Bytes(more.get("page_tables", 0)),
    )


def test_badness_in_pages() -> None:
    # 1 GiB = 262144 pages; 262144 // 1000 = 262 per point of oom_score_adj
    assert score(_task("qemu", 100, 875), total=Bytes(_GI)) == 25600 + 875 * 262
    assert score(_task("sure", 900, -997), total=Bytes(_GI)) == 230400 - 997 * 262
    assert score(_task("swapped", 1, 0, swap=4096 * 10, page_tables=4096 * 5), total=Bytes(_GI)) == 271
    assert score(_task("init", 100, -1000), total=Bytes(_GI)) is None


def test_the_kernel_kills_by_task_not_by_pod_or_priority() -> None:
    tasks = [
        _task("guaranteed-qemu", 900, -997, "/kubepods/pod1/c"),
        _task("burstable-qemu", 400, 875, "/kubepods/burstable/pod2/c"),
        _task("launcher", 60, 875, "/kubepods/burstable/pod2/c"),
        _task("daemon", 500, 0, "/system"),
    ]
    first = victim(tasks, total=Bytes(2 * _GI))
    assert first is not None
    assert first.name == "burstable-qemu"
    alone = victim(tasks, total=Bytes(_GI), domain="/system")
    assert alone is not None
    assert alone.name == "daemon"
    assert victim(tasks, total=Bytes(_GI), domain="/kubepods/pod") is None
    group = killed(tasks, total=Bytes(2 * _GI), group_cgroups=["/kubepods/burstable/pod2/c", "/system"])
    assert [task.name for task in group] == ["burstable-qemu", "launcher"]
    assert [task.name for task in killed(tasks, total=Bytes(2 * _GI))] == ["burstable-qemu"]
    assert killed([], total=Bytes(_GI)) == ()


@pytest.mark.parametrize(
    ("request_", "share"),
    [(_GI, 134217728), (2 * _GI, 268435456), (8 * _GI, _GI), (9 * _GI, 0), (0, 0), (416 * _MI, 54525952)],
)
def test_swap_share_of_8gi_memory_and_1gi_swap(request_: int, share: int) -> None:
    assert swap_share(Bytes(request_), memory_total=Bytes(8 * _GI), swap_total=Bytes(_GI)) == share


@pytest.mark.parametrize(
    ("container", "qos", "behavior", "swap", "share", "why"),
    [
        (_container("c", "1Gi"), "Burstable", "LimitedSwap", _GI, 134217728, ""),
        (_container("c", "1Gi", "2Gi"), "Burstable", "LimitedSwap", _GI, 134217728, ""),
        (_container("c", "1Gi", "1Gi"), "Burstable", "LimitedSwap", _GI, 0, "memory request equals limit"),
        (_container("c", "1Gi", "1Gi"), "Guaranteed", "LimitedSwap", _GI, 0, "the pod is Guaranteed"),
        (_container("c"), "BestEffort", "LimitedSwap", _GI, 0, "the pod is BestEffort"),
        (_container("c"), "Burstable", "LimitedSwap", _GI, 0, "no memory request or limit"),
        (_container("c", "1Gi"), "Burstable", "NoSwap", _GI, 0, "swapBehavior is NoSwap"),
        (_container("c", "1Gi"), "Burstable", "LimitedSwap", 0, 0, "the node has no swap"),
    ],
)
def test_who_may_swap(
    container: dict[str, Any], qos: str, behavior: str, swap: int, share: int, why: str
) -> None:
    verdict = container_swap(
        {"containers": [container]},
        "c",
        qos=qos,
        behavior=behavior,
        memory_total=Bytes(8 * _GI),
        swap_total=Bytes(swap),
    )
    assert verdict == (share, why)


def test_swap_behavior() -> None:
    assert swap_behavior({}) == "NoSwap"
    assert swap_behavior({"memorySwap": {"swapBehavior": "LimitedSwap"}}) == "LimitedSwap"
    with pytest.raises(ThresholdError, match="UnlimitedSwap"):
        swap_behavior({"memorySwap": {"swapBehavior": "UnlimitedSwap"}})


_LAUNCHER = {
    "containers": [{"name": "compute", "resources": {"requests": {"cpu": "100m", "memory": "416Mi"}}}],
    "initContainers": [
        {"name": "log", "restartPolicy": "Always", "resources": {"requests": {"cpu": "5m", "memory": "35M"}}},
        {"name": "disk", "resources": {"requests": {"cpu": "1m", "memory": "1M"}}},
    ],
}


def test_pod_request_is_containers_and_sidecars_or_the_largest_init_stage() -> None:
    assert pod_request(_LAUNCHER).value() == 436207616 + 35000000
    late = {
        **_LAUNCHER,
        "initContainers": [*_LAUNCHER["initContainers"], _container("huge", "1Gi")],
    }
    assert pod_request(late).value() == 1073741824 + 35000000
    assert pod_request({**_LAUNCHER, "overhead": {"memory": "10Mi"}}).value() == 471207616 + 10485760
    assert pod_request({"containers": [_container("c")], "overhead": {"memory": "10Mi"}}).value() == 0
    assert pod_request({**_LAUNCHER, "resources": {"requests": {"memory": "2Gi"}}}).value() == 2147483648


def test_pod_memory_limits() -> None:
    bounded = {"containers": [_container("a", "1Gi", "2Gi"), _container("b", "1Mi", "3Mi")]}
    assert str(pod_memory_limit(bounded, "Burstable")) == "2051Mi"
    assert pod_memory_limit(_LAUNCHER, "Burstable") is None
    assert pod_memory_limit({"containers": [_container("a")]}, "BestEffort") is None


@pytest.mark.parametrize(
    ("pod", "static", "critical"),
    [
        ({"priority": 2000000000}, False, True),
        ({"priority": 1000000000}, False, False),
        ({}, False, False),
        ({}, True, True),
    ],
)
def test_critical_pods(pod: dict[str, Any], static: bool, critical: bool) -> None:
    assert is_critical(pod, static=static) is critical
    assert is_critical(pod, annotations={"kubernetes.io/config.mirror": "x"}) is True


def _room(memory: int = 2 * _GI, cpu: int = 4000, **more: Any) -> Room:
    return Room(name="target", memory=Bytes(memory), cpu_milli=cpu, **more)


_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}


def test_fit_counts_requests_only() -> None:
    assert fit(_LAUNCHER, _room()).fits
    exact = _room(memory=471207616)
    assert fit(_LAUNCHER, exact).fits
    verdict = fit(_LAUNCHER, _room(memory=471207615))
    assert verdict.reasons == ("Insufficient memory",)
    assert not verdict.preemption_helps
    used = _room(used=Demand(memory=Bytes(2 * _GI - 1), pods=1))
    assert fit(_LAUNCHER, used).reasons == ("Insufficient memory",)
    assert fit(_LAUNCHER, used).preemption_helps
    assert fit(_LAUNCHER, _room(cpu=104, memory=1)).reasons == ("Insufficient cpu", "Insufficient memory")
    assert fit(_LAUNCHER, _room(used=Demand(pods=110))).reasons == ("Too many pods",)
    assert fit({"containers": [_container("c")]}, _room(memory=0, cpu=0)).fits


def test_taints_come_first_and_preemption_does_not_help() -> None:
    verdict = fit(_LAUNCHER, _room(memory=1, taints=(_PRESSURE,)))
    assert verdict.reasons == ("node(s) had untolerated taint(s)",)
    assert not verdict.preemption_helps
    tolerant = {**_LAUNCHER, "tolerations": [{"key": _PRESSURE["key"], "operator": "Exists"}]}
    assert fit(tolerant, _room(taints=(_PRESSURE,))).fits


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "a", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "a", "value": "b"}, True),
        ({"key": "a", "value": "c"}, False),
        ({"key": "b", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], tolerated: bool) -> None:
    taint = {"key": "a", "value": "b", "effect": "NoSchedule"}
    assert tolerates(taint, [toleration]) is tolerated


def test_scores() -> None:
    wanted = Demand(
        memory=Bytes(_GI), cpu_milli=1000, scored_memory=Bytes(_GI), scored_cpu_milli=1000, pods=1
    )
    assert least_allocated(wanted, _room()) == 62  # (75 + 50) / 2
    assert balanced_allocation(wanted, _room()) == 87  # 1 - |0.25 - 0.5| / 2
    assert demand({"containers": [_container("c")]}).scored_memory == 209715200
    assert demand({"containers": [_container("c")]}).scored_cpu_milli == 100
    assert least_allocated(wanted, _room(memory=_GI - 1)) == 37  # cpu alone: 75 / 2
    assert node_score(_LAUNCHER, _room()) == 87 + 90


def test_how_many_fit_and_what_stops_the_next() -> None:
    assert how_many(_LAUNCHER, _room()) == (4, ("Insufficient memory",))
    assert how_many(_LAUNCHER, _room(cpu=210)) == (2, ("Insufficient cpu",))
    assert how_many(_LAUNCHER, _room(memory=1000 * _GI, cpu=10**9)) == (110, ("Too many pods",))
    assert how_many(_LAUNCHER, _room(memory=0)) == (0, ("Insufficient memory",))


@given(st.integers(0, 64 * _GI), st.integers(0, 64000))
def test_how_many_agrees_with_fit(memory: int, cpu: int) -> None:
    count, reasons = how_many(_LAUNCHER, _room(memory=memory, cpu=cpu))
    one = demand(_LAUNCHER)

    def after(pods: int) -> Room:
        used = Demand(memory=Bytes(one.memory * pods), cpu_milli=one.cpu_milli * pods, pods=pods)
        return _room(memory=memory, cpu=cpu, used=used)

    assert set(fit(_LAUNCHER, after(count)).reasons) == set(reasons)
    assert count == 0 or fit(_LAUNCHER, after(count - 1)).fits


_TOTAL = 16 << 20  # kB: 16 GiB


@pytest.mark.parametrize(
    ("current", "available", "expected"),
    [
        # sleep = 100 x 16 GiB / used kB, at least 10
        (KsmValues(), _TOTAL // 10, KsmValues(running=True, pages=100, sleep_ms=111)),
        (KsmValues(True, 100, 111), _TOTAL // 10, KsmValues(running=True, pages=400, sleep_ms=111)),
        (KsmValues(True, 1000, 111), _TOTAL // 10, KsmValues(running=True, pages=1250, sleep_ms=111)),
        (KsmValues(True, 1250, 111), _TOTAL // 2, KsmValues(running=True, pages=1200, sleep_ms=200)),
        (KsmValues(True, 113, 111), _TOTAL // 2, KsmValues(running=False, pages=64, sleep_ms=200)),
        (KsmValues(True, 114, 111), _TOTAL // 2, KsmValues(running=True, pages=64, sleep_ms=200)),
        (KsmValues(), _TOTAL // 2, KsmValues()),
    ],
)
def test_ksm_values(current: KsmValues, available: int, expected: KsmValues) -> None:
    assert next_values(current, total_kb=_TOTAL, available_kb=available) == expected


def test_ksm_starts_at_twenty_percent() -> None:
    def starts(available: int) -> bool:
        return next_values(KsmValues(), total_kb=1_000_000, available_kb=available).running

    assert starts(200_000)
    assert not starts(200_001)


def test_ksm_top_is_reached_at_the_fifth_look() -> None:
    pages, current = [], KsmValues()
    for _ in range(6):
        current = next_values(current, total_kb=_TOTAL, available_kb=_TOTAL // 10)
        pages.append(current.pages)
    assert pages == [100, 400, 700, 1000, 1250, 1250]


def test_ksm_overrides() -> None:
    tuned = tuning(
        {
            "kubevirt.io/ksm-free-percent-override": "1.0",
            "kubevirt.io/ksm-pages-decay-override": "-300",
            "kubevirt.io/ksm-pages-init-override": "99999",
            "kubevirt.io/ksm-pages-max-override": "x",
        }
    )
    assert (tuned.free_percent, tuned.pages_decay, tuned.pages_init, tuned.pages_max) == (
        1.0,
        -300,
        100,
        1250,
    )
    assert next_values(KsmValues(), total_kb=100, available_kb=99, tuning=tuned).running
    # a large node still sleeps a tenth of the baseline
    big = next_values(KsmValues(), total_kb=_TOTAL * 100, available_kb=0)
    assert big.sleep_ms == 10


@pytest.mark.parametrize(
    ("request_", "capacity", "adjustment"),
    [("0", 4_000_000_000, 999), ("4000000000", 8_000_000_000, 500), ("7999999999", 8_000_000_000, 3)],
)
def test_oom_score_adj_of_burstable_containers_as_upstreams_table(
    request_: str, capacity: int, adjustment: int
) -> None:
    """Kubernetes pkg/kubelet/qos/policy_test.go."""
    pod = {"containers": [{"name": "a", "resources": {"requests": {"cpu": "5m", "memory": request_}}}]}
    assert oom_score_adj(pod, "a", capacity=Bytes(capacity), qos="Burstable") == adjustment
