"""Resources of virt-launcher containers beyond the recorded matrix, from the described code."""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.errors import ManifestError
from harness.rules.qos import qos, qos_class
from harness.rules.resources import Namespace, PodResources, render_resources

_EMULATION = {"developerConfiguration": {"useEmulation": True}}


def _render(
    domain: dict[str, Any] | None = None,
    *,
    column: str = "main",
    configuration: dict[str, Any] | None = None,
    namespace: Namespace | None = None,
    metadata: dict[str, Any] | None = None,
    **spec: Any,
) -> PodResources:
    vmi = {"metadata": metadata or {}, "spec": {"domain": {"devices": {}, **(domain or {})}, **spec}}
    return render_resources(vmi, column=column, configuration=configuration, namespace=namespace)


def _memory(pod: PodResources, name: str = "compute") -> tuple[str | None, str | None]:
    container = next(c for c in (*pod.containers, *pod.init_containers) if c["name"] == name)
    resources = container["resources"]
    return resources.get("requests", {}).get("memory"), resources.get("limits", {}).get("memory")


def _guest(size: str) -> dict[str, Any]:
    return {"memory": {"guest": size}}


_EQUAL = {"requests": {"memory": "256Mi", "cpu": "1"}, "limits": {"memory": "256Mi", "cpu": "1"}}


@pytest.mark.parametrize(
    ("guest", "percent", "request_"),
    [
        ("3072M", 100, "3373989888"),
        ("3072M", 150, "2349989888"),  # 2048000000 + 288Mi
        ("3072Mi", 150, "2336Mi"),  # 2147483648 + 288Mi
        ("2048M", 150, "1667323221"),  # 1365333333 + 288Mi
        ("1Gi", 50, "2336Mi"),
        ("1Gi", 200, "800Mi"),
    ],
)
def test_memory_overcommit(guest: str, percent: int, request_: str) -> None:
    pod = _render(_guest(guest), configuration={"developerConfiguration": {"memoryOvercommit": percent}})
    assert _memory(pod) == (request_, None)


def test_overcommit_guest_overhead_drops_the_request_alone() -> None:
    resources = {
        "requests": {"memory": "1024M"},
        "limits": {"memory": "2048M"},
        "overcommitGuestOverhead": True,
    }
    assert _memory(_render({"resources": resources})) == ("1024M", "2351989888")


def test_v16_writes_the_request_so_page_tables_count() -> None:
    assert _memory(_render(_guest("1024M"), column="v1.6")) == ("1307018368", None)
    assert _memory(_render(_guest("1024M"), column="v1.7")) == ("1305018368", None)
    assert _memory(_render(_guest("1024M"), column="main")) == ("1325989888", None)
    assert _render(_guest("1024M"), column="v1.6").vmi_spec["domain"]["resources"] == {
        "requests": {"memory": "1024M"}
    }


def test_a_limit_alone_becomes_the_request_without_overcommit() -> None:
    configuration = {"developerConfiguration": {"memoryOvercommit": 200}}
    domain = {"resources": {"limits": {"memory": "1Gi"}}, "memory": {"guest": "2Gi"}}
    assert _memory(_render(domain, configuration=configuration)) == ("1312Mi", "1312Mi")


@pytest.mark.parametrize(
    ("labels", "limit"),
    [
        ({}, "832Mi"),
        ({"alpha.kubevirt.io/auto-memory-limits-ratio": "1.2"}, "523449139"),
        ({"alpha.kubevirt.io/auto-memory-limits-ratio": "0.9"}, "832Mi"),
        ({"alpha.kubevirt.io/auto-memory-limits-ratio": "x"}, "832Mi"),
    ],
)
def test_automatic_limits_under_a_quota(labels: dict[str, str], limit: str) -> None:
    pod = _render(_guest("128Mi"), namespace=Namespace(labels=labels, memory_quota=True))
    assert _memory(pod) == ("416Mi", limit)
    assert qos_class(pod.pod_spec()) == "Burstable"


def test_an_explicit_limit_beats_the_quota() -> None:
    domain = {"resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "256Mi"}}}
    pod = _render(domain, namespace=Namespace(memory_quota=True))
    assert _memory(pod)[1] == "557312Ki"  # 256Mi + 288Mi + 256Ki of page tables


def test_automatic_cpu_limits() -> None:
    domain = {**_guest("128Mi"), "cpu": {"cores": 3}}
    for configuration, namespace in (
        ({}, Namespace(cpu_quota=True)),
        ({"autoCPULimitNamespaceLabelSelector": {"matchLabels": {"a": "b"}}}, Namespace(labels={"a": "b"})),
        (
            {
                "autoCPULimitNamespaceLabelSelector": {
                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]
                }
            },
            Namespace(labels={"a": "c"}),
        ),
    ):
        pod = _render(domain, configuration=configuration, namespace=namespace)
        assert pod.containers[0]["resources"]["limits"]["cpu"] == "3"
        assert pod.containers[0]["resources"]["requests"]["cpu"] == "300m"
    pod = _render(domain, configuration={"autoCPULimitNamespaceLabelSelector": {"matchLabels": {"a": "b"}}})
    assert "cpu" not in pod.containers[0]["resources"]["limits"]


@pytest.mark.parametrize(
    ("cores", "ratio", "cpu"),
    [
        (1, 10, "100m"),
        (10, 10, "1"),
        (15, 10, "1500m"),
        (1, 7, "143m"),
        (1, 3, "334m"),
        (4, 1, "4"),
        (1, 0, None),
    ],
)
def test_cpu_share(cores: int, ratio: int, cpu: str | None) -> None:
    configuration = {"developerConfiguration": {"cpuAllocationRatio": ratio}}
    pod = _render({**_guest("128Mi"), "cpu": {"cores": cores}}, configuration=configuration)
    assert pod.containers[0]["resources"]["requests"].get("cpu") == cpu


def test_hugepages_put_the_guest_into_pages_and_the_overhead_into_memory() -> None:
    domain = {
        "memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}},
        "resources": {"overcommitGuestOverhead": True},
    }
    compute = _render(domain).containers[0]["resources"]
    assert compute["requests"]["hugepages-2Mi"] == compute["limits"]["hugepages-2Mi"] == "1Gi"
    assert compute["requests"]["memory"] == "288Mi"
    assert "memory" not in compute["limits"]


def test_hugepages_with_a_larger_request_and_limit_add_the_difference() -> None:
    domain = {
        "memory": {"guest": "1Gi", "hugepages": {"pageSize": "1Gi"}},
        "resources": {"requests": {"memory": "1536Mi"}, "limits": {"memory": "2Gi"}},
    }
    compute = _render(domain).containers[0]["resources"]
    assert compute["requests"]["hugepages-1Gi"] == "1Gi"
    # page tables of 1536Mi: ceil(1610612736 / 1000) x 1000 / 512 = 3145728
    assert compute["requests"]["memory"] == "803Mi"  # 512Mi + 288Mi + 3Mi
    assert compute["limits"]["memory"] == "1315Mi"


def test_hugepages_are_cut_by_overcommit() -> None:
    domain = {"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}}
    compute = _render(domain, configuration={"developerConfiguration": {"memoryOvercommit": 200}}).containers[
        0
    ]
    assert compute["resources"]["requests"]["hugepages-2Mi"] == "512Mi"


def test_dedicated_cpus_make_the_pod_guaranteed() -> None:
    domain = {
        **_guest("1Gi"),
        "cpu": {"cores": 2, "dedicatedCpuPlacement": True, "isolateEmulatorThread": True},
    }
    pod = _render(domain)
    compute = pod.containers[0]["resources"]
    assert compute["requests"]["cpu"] == compute["limits"]["cpu"] == "3"
    assert _memory(pod) == ("1420Mi", "1420Mi")  # 1Gi + 288Mi + 8Mi + 100Mi
    assert qos_class(pod.pod_spec()) == "Guaranteed"


def test_emulator_thread_completes_to_even_parity() -> None:
    metadata = {"annotations": {"alpha.kubevirt.io/EmulatorThreadCompleteToEvenParity": ""}}
    for cores, cpus in ((2, "4"), (3, "4"), (4, "6")):
        cpu = {"cores": cores, "dedicatedCpuPlacement": True, "isolateEmulatorThread": True}
        pod = _render({**_guest("1Gi"), "cpu": cpu}, metadata=metadata)
        assert pod.containers[0]["resources"]["limits"]["cpu"] == cpus


def test_devices_of_a_real_kvm_node() -> None:
    limits = _render(_guest("128Mi")).containers[0]["resources"]["limits"]
    assert limits == {
        "devices.kubevirt.io/kvm": "1",
        "devices.kubevirt.io/tun": "1",
        "devices.kubevirt.io/vhost-net": "1",
    }
    headless = _render(
        {**_guest("128Mi"), "devices": {"autoattachPodInterface": False}}, configuration=_EMULATION
    )
    assert "limits" not in headless.containers[0]["resources"]


_DISK = {
    "domain": {"devices": {"disks": [{"name": "root", "disk": {}}]}, "memory": {"guest": "128Mi"}},
    "volumes": [{"name": "root", "containerDisk": {"image": "x"}}, {"name": "init", "cloudInitNoCloud": {}}],
}
_SMALL = {
    "requests": {"cpu": "1m", "ephemeral-storage": "50M", "memory": "1M"},
    "limits": {"cpu": "10m", "memory": "40M"},
}


@pytest.mark.parametrize(
    ("column", "configuration", "on"),
    [
        ("main", {}, True),
        ("v1.9", {}, True),
        ("v1.9", {"developerConfiguration": {"disabledFeatureGates": ["ImageVolume"]}}, False),
        ("v1.8", {}, False),
        ("v1.8", {"developerConfiguration": {"featureGates": ["ImageVolume"]}}, True),
        ("v1.6", {}, False),
    ],
)
def test_container_disks_with_and_without_image_volumes(
    column: str, configuration: dict[str, Any], on: bool
) -> None:
    pod = render_resources({"spec": _DISK}, column=column, configuration=configuration)
    regular = [c["name"] for c in pod.containers]
    init = [c["name"] for c in pod.init_containers]
    if on:
        assert regular == ["compute"]
        assert init == ["guest-console-log", "volumeroot"]
        assert pod.init_containers[1]["resources"] == _SMALL
    else:
        assert regular == ["compute", "volumeroot"]
        assert init == ["guest-console-log", "container-disk-binary", "volumeroot-init"]
        assert pod.containers[1]["resources"] == pod.init_containers[2]["resources"] == _SMALL
        assert pod.init_containers[1]["resources"] == {
            "requests": {"cpu": "10m", "memory": "1M"},
            "limits": {"cpu": "100m", "memory": "40M"},
        }


def test_everything_is_equalised_for_a_guaranteed_vmi() -> None:
    spec = {
        "domain": {
            "devices": {"disks": [{"name": "root"}], "filesystems": [{"name": "share", "virtiofs": {}}]},
            "resources": _EQUAL,
        },
        "volumes": [*_DISK["volumes"], {"name": "share", "persistentVolumeClaim": {"claimName": "x"}}],
    }
    metadata = {"annotations": {"hooks.kubevirt.io/hookSidecars": '[{"image": "a"}, {"image": "b"}]'}}
    configuration = {"developerConfiguration": {"disabledFeatureGates": ["ImageVolume"]}}
    pod = render_resources({"metadata": metadata, "spec": spec}, column="main", configuration=configuration)
    assert [c["name"] for c in pod.containers] == [
        "compute",
        "volumeroot",
        "virtiofs-share",
        "hook-sidecar-0",
        "hook-sidecar-1",
    ]
    sizes = {c["name"]: _memory(pod, c["name"]) for c in (*pod.containers, *pod.init_containers)}
    assert sizes == {
        "compute": ("675807233", "675807233"),
        "volumeroot": ("40M", "40M"),
        "virtiofs-share": ("80M", "80M"),
        "hook-sidecar-0": ("64M", "64M"),
        "hook-sidecar-1": ("64M", "64M"),
        "guest-console-log": ("60M", "60M"),
        "container-disk-binary": ("40M", "40M"),
        "volumeroot-init": ("40M", "40M"),
    }
    assert qos_class(pod.pod_spec()) == "Guaranteed"


def test_support_containers_are_tunable() -> None:
    configuration = {
        "supportContainerResources": [
            {
                "type": "guest-console-log",
                "resources": {"requests": {"memory": "10M"}, "limits": {"cpu": "20m"}},
            },
            {"type": "sidecar", "resources": {"requests": {"memory": "5M"}}},
        ]
    }
    metadata = {"annotations": {"hooks.kubevirt.io/hookSidecars": '[{"image": "a"}]'}}
    pod = _render(_guest("128Mi"), configuration=configuration, metadata=metadata)
    assert pod.init_containers[0]["resources"] == {
        "requests": {"cpu": "5m", "memory": "10M"},
        "limits": {"cpu": "20m", "memory": "60M"},
    }
    assert pod.containers[1] == {"name": "hook-sidecar-0", "resources": {"requests": {"memory": "5M"}}}


def test_a_hook_sidecar_without_settings_has_no_resources() -> None:
    metadata = {"annotations": {"hooks.kubevirt.io/hookSidecars": '[{"image": "a"}]'}}
    assert _render(_guest("128Mi"), metadata=metadata).containers[1]["resources"] == {}
    with pytest.raises(ManifestError, match="not a JSON list"):
        _render(_guest("1Gi"), metadata={"annotations": {"hooks.kubevirt.io/hookSidecars": "{"}})


@pytest.mark.parametrize(
    ("devices", "configuration", "present"),
    [
        ({}, {}, True),
        ({"logSerialConsole": False}, {}, False),
        ({"autoattachSerialConsole": False, "logSerialConsole": True}, {}, False),
        ({}, {"virtualMachineOptions": {"disableSerialConsoleLog": {}}}, False),
        ({"logSerialConsole": True}, {"virtualMachineOptions": {"disableSerialConsoleLog": {}}}, True),
    ],
)
def test_console_log(devices: dict[str, Any], configuration: dict[str, Any], present: bool) -> None:
    pod = _render({**_guest("128Mi"), "devices": devices}, configuration=configuration)
    assert bool(pod.init_containers) is present


def test_a_vm_is_read_through_its_template() -> None:
    template = {"metadata": {}, "spec": {"domain": {"devices": {}, **_guest("128Mi")}}}
    pod = render_resources({"kind": "VirtualMachine", "spec": {"template": template}}, column="main")
    assert _memory(pod) == ("416Mi", None)


def test_limit_ranges_add_what_is_missing() -> None:
    limit_range = {"default": {"memory": "450Mi"}, "defaultRequest": {"memory": "450Mi"}}
    pod = _render(_guest("128Mi"), namespace=Namespace(limit_range=limit_range))
    assert _memory(pod) == ("416Mi", "450Mi")
    assert _memory(pod, "guest-console-log") == ("35M", "60M")


@pytest.mark.parametrize(
    ("domain", "name", "reason"),
    [
        (_guest("128Mi"), "Burstable", "compute has no cpu limit"),
        (
            {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}},
            "Burstable",
            "compute has no cpu limit",
        ),
        (
            {"resources": {"requests": {"memory": "1Gi", "cpu": "1"}, "limits": {"cpu": "1"}}},
            "Burstable",
            "compute has no memory limit",
        ),
        (
            {"resources": {**_EQUAL, "overcommitGuestOverhead": True}},
            "Burstable",
            "compute has memory request 256Mi and limit 675807233",
        ),
        (
            {"resources": _EQUAL},
            "Guaranteed",
            "every container's cpu and memory limits are set and equal its requests",
        ),
        (
            {"resources": {"limits": {"memory": "256Mi", "cpu": "1"}}},
            "Guaranteed",
            "every container's cpu and memory limits are set and equal its requests",
        ),
    ],
)
def test_qos_matrix(domain: dict[str, Any], name: str, reason: str) -> None:
    verdict = qos(_render(domain).pod_spec())
    assert (verdict.name, verdict.reason) == (name, reason)


def _pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"containers": [{"name": f"c{i}", "resources": c} for i, c in enumerate(containers)], **spec}


@pytest.mark.parametrize(
    ("pod", "name"),
    [
        (_pod({}), "BestEffort"),
        (_pod({"requests": {"memory": "0"}}), "BestEffort"),
        (_pod({"requests": {"ephemeral-storage": "1Gi"}}), "BestEffort"),
        (_pod({}, {"requests": {"cpu": "1"}}), "Burstable"),
        (
            _pod({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
            "Guaranteed",
        ),
        (
            _pod(
                {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
                initContainers=[{"name": "i", "resources": {"limits": {"memory": "1Gi"}}}],
            ),
            "Burstable",
        ),
        (
            _pod(
                {},
                resources={
                    "requests": {"cpu": "1", "memory": "1Gi"},
                    "limits": {"cpu": "1", "memory": "1Gi"},
                },
            ),
            "Guaranteed",
        ),
        (_pod({}, resources={"requests": {"cpu": "1"}}), "Burstable"),
    ],
)
def test_classes_of_plain_pods(pod: dict[str, Any], name: str) -> None:
    assert qos_class(pod) == name
