"""What follows from a pod: fit, eviction, swap, oom_score_adj, cautions, differences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from harness.explain.explain import exit_code, explain
from harness.explain.model import Explanation
from harness.explain.present import diff, human, table, to_data
from harness.explain.sources import read_manifest
from harness.rules.errors import ColumnError, ThresholdError
from harness.rules.thresholds import on_kind
from harness.units import Bytes

_GI = 1073741824
_MI = 1048576


def _explain(
    domain: Mapping[str, Any] | None = None,
    *,
    kubelet: Mapping[str, Any] | None = None,
    kubevirt: Mapping[str, Any] | None = None,
    column: str = "main",
    node: int = 8 * _GI,
    swap: int | None = None,
    version: str = "v1",
    cpu: int | None = None,
    **spec: Any,
) -> Explanation:
    vmi = {
        "apiVersion": f"kubevirt.io/{version}",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "a"},
        "spec": {"domain": {"devices": {}, **(domain or {"memory": {"guest": "128Mi"}})}, **spec},
    }
    (explanation,) = explain(
        [read_manifest(json.dumps(vmi), "a.yaml")],
        column=column,
        kubevirt_config=kubevirt,
        kubelet_config=kubelet,
        node_memory=Bytes(node),
        node_swap=None if swap is None else Bytes(swap),
        node_cpu_milli=cpu,
    )
    return explanation


def _cautions(explanation: Explanation) -> list[str]:
    return [caution.id for caution in explanation.cautions]


def test_how_many_fit() -> None:
    fit = _explain().fit
    assert fit is not None
    # 416Mi + 35M = 471207616; 8Gi - 100Mi = 8485076992
    assert (fit.count, fit.stops, fit.request) == (18, ("Insufficient memory",), 471207616)
    assert fit.left == 8485076992 - 18 * 471207616
    bounded = _explain(cpu=210).fit
    assert bounded is not None
    assert (bounded.count, bounded.stops) == (2, ("Insufficient cpu",))
    pods = _explain(kubelet={"maxPods": 3}).fit
    assert pods is not None
    assert (pods.count, pods.stops) == (3, ("Too many pods",))


def test_a_fit_is_for_the_version() -> None:
    counts = []
    for column in ("v1.6", "v1.7", "v1.8", "v1.9", "main"):
        fit = _explain(column=column).fit
        assert fit is not None
        counts.append(fit.count)
    assert counts == [18, 18, 18, 18, 18]
    memory = [_explain(column=column).pod for column in ("v1.6", "v1.7", "main")]
    assert [str(pod.overhead.quantity) for pod in memory if pod] == ["281280512", "268Mi", "288Mi"]


def test_oom_score_adj_and_swap() -> None:
    kubelet = {"memorySwap": {"swapBehavior": "LimitedSwap"}}
    pod = _explain(kubelet=kubelet, swap=2 * _GI).pod
    assert pod is not None
    compute, log = pod.container("compute"), pod.container("guest-console-log")
    assert compute.oom_score_adj == 950  # 1000 - 1000 x 416Mi / 8Gi
    assert log.oom_score_adj == 950  # a sidecar: no more than the smallest regular container
    assert compute.swap == 109051904  # 416Mi / 8Gi x 2Gi
    assert compute.swap_share == pytest.approx(416 / 8192)
    assert log.role == "sidecar"
    plain = _explain().pod
    assert plain is not None
    assert (plain.container("compute").swap, plain.container("compute").swap_why) == (
        None,
        "swapBehavior is NoSwap",
    )


_SOFT = {
    "evictionHard": {"memory.available": "100Mi"},
    "evictionSoft": {"memory.available": "1Gi"},
    "evictionSoftGracePeriod": {"memory.available": "1m"},
    "systemReserved": {"memory": "1Gi"},
}


def test_what_evicts_it_first() -> None:
    found = _explain(kubelet={**_SOFT, "evictionMaxPodGracePeriod": 40}).evictions
    assert [(str(e.threshold.signal), e.threshold.hard, e.used // _MI, e.window, e.first) for e in found] == [
        ("memory.available", True, 8092, 2.0, False),
        ("memory.available", False, 7168, 40.0, False),
        ("allocatableMemory.available", True, 7068, 2.0, True),
    ]
    without = _explain(kubelet={**_SOFT, "systemReserved": {}}).evictions
    (first,) = [e for e in without if e.first]
    assert (first.threshold.hard, first.waits, first.asked, first.window) == (False, 60.0, 0, 2.0)


def test_a_node_threshold_comes_before_its_copy() -> None:
    (first,) = [e for e in _explain().evictions if e.first]
    assert (first.threshold.signal, first.below, first.subject) == ("memory.available", 100 * _MI, "node")


_MEMORY_EQUAL = {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}}
_BOTH = {"requests": {"memory": "1Gi", "cpu": "1"}, "limits": {"memory": "1Gi", "cpu": "1"}}


@pytest.mark.parametrize(
    ("explanation", "ids"),
    [
        (_explain(), []),
        (_explain(version="v1alpha3"), ["OVH-3"]),
        (_explain({"memory": {"guest": "1024M"}}), ["OVH-4"]),
        (_explain({"memory": {"guest": "0"}}), ["GUEST-1"]),
        (_explain(_MEMORY_EQUAL), ["QOS-4"]),
        (_explain({"resources": {**_BOTH, "overcommitGuestOverhead": True}}), ["QOS-4", "OVH-2"]),
        (_explain({"resources": _BOTH}), ["QOS-5"]),
        (_explain({"memory": {"guest": "2Gi"}, "resources": {"limits": {"memory": "1Gi"}}}), ["QOS-4", "GUEST-4"]),
        (
            _explain({"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}, "resources": {"overcommitGuestOverhead": True}}),
            ["OVH-2"],
        ),
        (_explain(kubelet=on_kind({})), ["HARD-1b"]),
        (_explain(kubelet={"evictionHard": {}}), ["HARD-1b"]),
        (_explain(kubelet=on_kind({"evictionHard": {"memory.available": "1Gi"}})), []),
        (_explain(kubelet=_SOFT), ["SOFT-4b"]),
        (_explain(kubelet={**_SOFT, "evictionMaxPodGracePeriod": 10}), ["SOFT-4"]),
        (_explain(kubelet={**_SOFT, "evictionMaxPodGracePeriod": 30}), []),
        (
            _explain(kubelet={**_SOFT, "evictionMaxPodGracePeriod": 30, "evictionHard": {"memory.available": "2Gi"}}),
            ["SOFT-3"],
        ),
        (_explain(swap=_GI), ["SWAP-1"]),
        (_explain(kubevirt={"ksmConfiguration": {"nodeLabelSelector": {}}}), ["KSM-3"]),
        (_explain(kubevirt={"ksmConfiguration": {}}), ["KSM-3"]),
        (
            _explain({"resources": _BOTH}, kubelet={"memorySwap": {"swapBehavior": "LimitedSwap"}}),
            ["QOS-5", "SWAP-6"],
        ),
        (
            _explain(
                {"devices": {"disks": [{"name": "d"}]}, "memory": {"guest": "1Gi"}},
                volumes=[{"name": "d", "containerDisk": {"image": "x"}}],
            ),
            ["IMAGE-VOLUME"],
        ),
        (
            _explain(
                {"devices": {"disks": [{"name": "d"}]}, "memory": {"guest": "1Gi"}},
                column="v1.8",
                volumes=[{"name": "d", "containerDisk": {"image": "x"}}],
            ),
            [],
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_cautions(explanation: Explanation, ids: list[str]) -> None:
    assert sorted(_cautions(explanation)) == sorted(ids)
    assert all(caution.text for caution in explanation.cautions)


def test_what_kubevirt_does_about_ksm() -> None:
    (taken,) = _explain(kubevirt={"ksmConfiguration": {"nodeLabelSelector": {}}}).cautions
    assert taken.text == (
        "on the nodes that ksmConfiguration takes, virt-handler starts KSM only once 1638 MiB or less of 8192 are available: "
        "100 pages every 249 ms then, 300 more every 3 min up to 1250; annotations kubevirt.io/ksm-*-override of the node "
        "change that, no file does"
    )
    (none,) = _explain(kubevirt={"ksmConfiguration": {}}).cautions
    assert (
        none.text == "ksmConfiguration without nodeLabelSelector takes no node: virt-handler never starts KSM"
    )


def test_the_pages_typo() -> None:
    explanation = _explain({"devices": {"autottachGraphicsDevice": False}, "memory": {"guest": "1Gi"}})
    assert _cautions(explanation) == ["GFX-1"]
    assert not explanation.admission.allowed
    assert explanation.admission.message.endswith(
        'unknown field "spec.domain.devices.autottachGraphicsDevice"'
    )
    assert exit_code([explanation]) == 2


def test_a_negative_guest_is_accepted_but_a_mistake() -> None:
    explanation = _explain({"memory": {"guest": "-1Mi"}})
    assert explanation.admission.allowed
    column = json.dumps(explanation.manifest).index('"-1Mi"') + 1
    assert [str(m) for m in explanation.mistakes] == [
        f"a.yaml:1:{column}: spec.domain.memory.guest: '-1Mi' is negative"
    ]
    assert exit_code([explanation]) == 2


def test_a_refusal_points_to_its_field() -> None:
    explanation = _explain({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}})
    assert explanation.admission.message == (
        "spec.domain.resources.requests.memory '2Gi' is greater than spec.domain.resources.limits.memory '1Gi'"
    )
    (mistake,) = explanation.mistakes
    assert mistake.message == explanation.admission.message
    assert mistake.column == json.dumps(explanation.manifest).index('"2Gi"') + 1
    assert explanation.pod is None
    assert explanation.admission.status is not None
    assert explanation.admission.status["code"] == 422


def test_a_vm_is_explained_through_its_template() -> None:
    vm = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "a"},
        "spec": {
            "runStrategy": "Always",
            "template": {"spec": {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}}},
        },
    }
    (explanation,) = explain([read_manifest(json.dumps(vm), "vm.yaml")])
    assert explanation.admission.allowed
    assert explanation.pod is not None
    assert str(explanation.pod.container("compute").amount("requests")) == "416Mi"
    assert explanation.vmi is not None
    assert explanation.vmi["spec"]["template"]["spec"]["domain"]["memory"]["guest"] == "128Mi"


def test_what_cannot_be_explained_is_still_in_the_list() -> None:
    good = read_manifest(json.dumps(_explain().manifest), "good.yaml")
    explanations = explain([read_manifest("", "bad.yaml"), good])
    data = [to_data(explanation) for explanation in explanations]
    assert [item["admission"]["allowed"] for item in data] == [False, True]
    assert data[0]["vmi"] is None
    assert data[0]["admission"]["message"] == "the file is empty"
    assert exit_code(explanations) == 2
    assert exit_code(explanations[1:]) == 0


def test_bad_settings_raise() -> None:
    with pytest.raises(ColumnError):
        _explain(column="v1.2")
    with pytest.raises(ThresholdError):
        _explain(kubelet={"evictionHard": {"memory.availible": "1Gi"}})
    with pytest.raises(ThresholdError):
        _explain(kubelet={"systemReserved": {"memory": "9Gi"}})


def test_differences() -> None:
    before = _explain({"memory": {"guest": "128Mi"}})
    after = _explain({"devices": {"autoattachGraphicsDevice": False}, "memory": {"guest": "128Mi"}})
    assert diff(before, after) == [
        {"what": "compute memory request", "before": "416Mi", "after": "384Mi", "delta": -33554432},
        {"what": "compute oom_score_adj", "before": 950, "after": 954, "delta": None},
        {"what": "guest-console-log oom_score_adj", "before": 950, "after": 954, "delta": None},
        {"what": "overhead video", "before": 33554432, "after": 0, "delta": -33554432},
        {"what": "pod request", "before": 471207616, "after": 437653184, "delta": -33554432},
        {"what": "fit", "before": 18, "after": 19, "delta": 1},
    ]
    assert diff(before, before) == []
    refused = _explain({"resources": {}})
    assert [row["what"] for row in diff(before, refused)] == ["admission"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (500, "500"),
        (2000000, "2000000 (1.9Mi)"),
        (_GI, "1Gi"),
        (303989888, "303989888 (289.9Mi)"),
        (1025 * 1024, "1025Ki"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human(size) == text


def test_the_table_says_it_all() -> None:
    kubelet = {**_SOFT, "memorySwap": {"swapBehavior": "LimitedSwap"}}
    text = "\n".join(table(_explain(kubelet=kubelet, swap=_GI)))
    for part in (
        "compute            main     416Mi           -             100m         -          950",
        "guest-console-log  sidecar  35M             60M           5m           15m        950",
        "overhead    288Mi",
        "virt-launcher-monitor  25Mi",
        "QoS         Burstable: compute has no cpu limit",
        "swap        5.08% of the node's, 52Mi",
        "fit         15 on a node of 8Gi (allocatable 7068Mi)",
        "Insufficient memory",
        "evicted by  allocatableMemory.available (hard)",
        "or by       memory.available (soft): less than 1Gi available on the node for 1m0s; SIGKILL 2 s after SIGTERM",
        "! SOFT-4b",
    ):
        assert part in text
    nothing = "\n".join(table(_explain(kubelet=on_kind({}))))
    assert "evicted by  nothing: no memory threshold is in force" in nothing
    refused = "\n".join(table(_explain({"resources": {}})))
    assert "refused     no memory requested" in refused
