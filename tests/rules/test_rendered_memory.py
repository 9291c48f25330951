"""Memory of the compute container: what each way of asking for it comes to; as KubeVirt's own renderer answers (main, v1.9.0, v1.8.0).

Each case is written down as virt-controller made it of the VMI that the mutating webhook left (template.go,
renderresources.go, hypervisorbackend.go), the pod defaulted as the API server does. `@`: devices.kubevirt.io/.
"""

from __future__ import annotations

import pytest

from tests.rules.rendered import Case, rendered_compute

_CASES = [
    Case(
        name="guest 1024M",
        spec={"domain": {"devices": {}, "memory": {"guest": "1024M"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1325989888",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1305018368",
    ),
    Case(
        name="guest 1.5Gi",
        spec={"domain": {"devices": {}, "memory": {"guest": "1.5Gi"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1824Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1804Mi",
    ),
    Case(
        name="guest 1e9",
        spec={"domain": {"devices": {}, "memory": {"guest": "1e9"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1301989888",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1281018368",
    ),
    Case(
        name="guest 1000000k",
        spec={"domain": {"devices": {}, "memory": {"guest": "1000000k"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1301989888",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1281018368",
    ),
    Case(
        name="guest 0.5Gi",
        spec={"domain": {"devices": {}, "memory": {"guest": "0.5Gi"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=800Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="780Mi",
    ),
    Case(
        name="guest 1536Mi",
        spec={"domain": {"devices": {}, "memory": {"guest": "1536Mi"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1824Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1804Mi",
    ),
    Case(
        name="guest 1073741825",
        spec={"domain": {"devices": {}, "memory": {"guest": "1073741825"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1375731713",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1354760193",
    ),
    Case(
        name="guest 128974848000m",
        spec={"domain": {"devices": {}, "memory": {"guest": "128974848000m"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=430964736",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="409993216",
    ),
    Case(
        name="guest 1.024G",
        spec={"domain": {"devices": {}, "memory": {"guest": "1.024G"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1325989888",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1305018368",
    ),
    Case(
        name="guest 1Gi at 50",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 50}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=2336Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="2316Mi",
    ),
    Case(
        name="guest 1Gi at 90",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 90}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1495036359",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1474064839",
    ),
    Case(
        name="guest 1Gi at 110",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 110}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1278118818",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1257147298",
    ),
    Case(
        name="guest 1Gi at 120",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 120}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1196774741",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1175803221",
    ),
    Case(
        name="guest 1Gi at 133",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 133}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1109314567",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1088343047",
    ),
    Case(
        name="guest 1Gi at 150",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 150}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1017817770",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="996846250",
    ),
    Case(
        name="guest 1Gi at 200",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 200}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=800Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="780Mi",
    ),
    Case(
        name="guest 2048M at 150",
        spec={"domain": {"devices": {}, "memory": {"guest": "2048M"}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 150}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1667323221",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1646351701",
    ),
    Case(
        name="limit only at 150",
        spec={"domain": {"devices": {}, "resources": {"limits": {"memory": "1Gi"}}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 150}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1312Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 memory=1312Mi",
        memory_v19="1292Mi",
    ),
    Case(
        name="request below guest",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "2Gi"},
                "resources": {"requests": {"memory": "1Gi"}},
            }
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1314Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1294Mi",
    ),
    Case(
        name="request above guest",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "resources": {"requests": {"memory": "2Gi"}},
            }
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=2340Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="2320Mi",
    ),
    Case(
        name="limit above request",
        spec={
            "domain": {
                "devices": {},
                "resources": {"requests": {"memory": "1G"}, "limits": {"memory": "2Gi"}},
            }
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1303943013",
        limits="@kvm=1 @tun=1 @vhost-net=1 memory=2451426661",
        memory_v19="1282971493",
    ),
    Case(
        name="overhead left out",
        spec={
            "domain": {
                "devices": {},
                "resources": {
                    "requests": {"memory": "1024M"},
                    "limits": {"memory": "1024M"},
                    "overcommitGuestOverhead": True,
                },
            }
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1024M",
        limits="@kvm=1 @tun=1 @vhost-net=1 memory=1327989888",
        memory_v19="1024M",
    ),
    Case(
        name="ratio 1.5",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"additionalGuestMemoryOverheadRatio": "1.5"},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1526726712",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1495269192",
    ),
    Case(
        name="ratio 3.2 of a request",
        spec={"domain": {"devices": {}, "resources": {"requests": {"memory": "1Gi"}}}},
        configuration={"additionalGuestMemoryOverheadRatio": "3.2"},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=2046821864",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1979712344",
    ),
    Case(
        name="memory quota",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        quota=("limits.memory",),
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1312Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 memory=2624Mi",
        memory_v19="1292Mi",
    ),
    Case(
        name="memory quota, label 1.2",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        labels={"alpha.kubevirt.io/auto-memory-limits-ratio": "1.2"},
        quota=("limits.memory",),
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1312Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 memory=1650878054",
        memory_v19="1292Mi",
    ),
    Case(
        name="hugepages 2Mi",
        spec={"domain": {"devices": {}, "memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=64Mi memory=288Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=64Mi",
        memory_v19="268Mi",
    ),
    Case(
        name="hugepages 1Gi, request above guest",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi", "hugepages": {"pageSize": "1Gi"}},
                "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}},
            }
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 hugepages-1Gi=1Gi memory=1316Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 hugepages-1Gi=1Gi memory=1316Mi",
        memory_v19="1296Mi",
    ),
    Case(
        name="hugepages only",
        spec={"domain": {"devices": {}, "memory": {"hugepages": {"pageSize": "2Mi"}}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=2Mi memory=288Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=2Mi",
        memory_v19="268Mi",
    ),
    Case(
        name="hugepages at 200",
        spec={"domain": {"devices": {}, "memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}}},
        configuration={"developerConfiguration": {"memoryOvercommit": 200}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=32Mi memory=288Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=32Mi",
        memory_v19="268Mi",
    ),
    Case(
        name="hugepages, overhead left out",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}},
                "resources": {"overcommitGuestOverhead": True},
            }
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=64Mi memory=288Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 hugepages-2Mi=64Mi",
        memory_v19="268Mi",
    ),
]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_compute_is_rendered_as_upstream_does(case: Case) -> None:
    assert rendered_compute(case, "main") == (case.requests, case.limits)
    for column, memory in (("v1.9", case.memory_v19), ("v1.8", case.memory_v18 or case.memory_v19)):
        requests, _ = rendered_compute(case, column)
        assert dict(pair.split("=") for pair in requests.split())["memory"] == memory
