"""CPU of the compute container: shares, pinning, automatic limits; as KubeVirt's own renderer answers (main, v1.9.0, v1.8.0).

Each case is written down as virt-controller made it of the VMI that the mutating webhook left (template.go,
renderresources.go, hypervisorbackend.go), the pod defaulted as the API server does. `@`: devices.kubevirt.io/.
"""

from __future__ import annotations

import pytest

from tests.rules.rendered import Case, rendered_compute

_CASES = [
    Case(
        name="4 vcpus over 1",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 2, "sockets": 2}}},
        configuration={"developerConfiguration": {"cpuAllocationRatio": 1}},
        requests="cpu=4 @kvm=1 @tun=1 @vhost-net=1 memory=1336Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1316Mi",
    ),
    Case(
        name="4 vcpus over 3",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 2, "sockets": 2}}},
        configuration={"developerConfiguration": {"cpuAllocationRatio": 3}},
        requests="cpu=1334m @kvm=1 @tun=1 @vhost-net=1 memory=1336Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1316Mi",
    ),
    Case(
        name="4 vcpus over 4",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 2, "sockets": 2}}},
        configuration={"developerConfiguration": {"cpuAllocationRatio": 4}},
        requests="cpu=1 @kvm=1 @tun=1 @vhost-net=1 memory=1336Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1316Mi",
    ),
    Case(
        name="4 vcpus over 7",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 2, "sockets": 2}}},
        configuration={"developerConfiguration": {"cpuAllocationRatio": 7}},
        requests="cpu=572m @kvm=1 @tun=1 @vhost-net=1 memory=1336Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1316Mi",
    ),
    Case(
        name="4 vcpus over 16",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 2, "sockets": 2}}},
        configuration={"developerConfiguration": {"cpuAllocationRatio": 16}},
        requests="cpu=250m @kvm=1 @tun=1 @vhost-net=1 memory=1336Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1316Mi",
    ),
    Case(
        name="4 vcpus over 100",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 2, "sockets": 2}}},
        configuration={"developerConfiguration": {"cpuAllocationRatio": 100}},
        requests="cpu=40m @kvm=1 @tun=1 @vhost-net=1 memory=1336Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1316Mi",
    ),
    Case(
        name="cpu limit alone",
        spec={
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}, "resources": {"limits": {"cpu": "2500m"}}}
        },
        requests="cpu=2500m @kvm=1 @tun=1 @vhost-net=1 memory=1328Mi",
        limits="cpu=2500m @kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1308Mi",
    ),
    Case(
        name="cpu request alone",
        spec={
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}, "resources": {"requests": {"cpu": "2500m"}}}
        },
        requests="cpu=2500m @kvm=1 @tun=1 @vhost-net=1 memory=1328Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1308Mi",
    ),
    Case(
        name="cpu 1.500",
        spec={
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}, "resources": {"requests": {"cpu": "1.500"}}}
        },
        requests="cpu=1.500 @kvm=1 @tun=1 @vhost-net=1 memory=1320Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1300Mi",
    ),
    Case(
        name="both equal",
        spec={
            "domain": {
                "devices": {},
                "resources": {
                    "requests": {"memory": "1Gi", "cpu": "2"},
                    "limits": {"memory": "1Gi", "cpu": "2"},
                },
            }
        },
        requests="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1422Mi",
        limits="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1422Mi",
        memory_v19="1402Mi",
    ),
    Case(
        name="limits only",
        spec={"domain": {"devices": {}, "resources": {"limits": {"memory": "1Gi", "cpu": "2"}}}},
        requests="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        limits="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        memory_v19="1400Mi",
    ),
    Case(
        name="pinned cores",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "cpu": {"cores": 2, "dedicatedCpuPlacement": True},
            }
        },
        requests="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        limits="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        memory_v19="1400Mi",
    ),
    Case(
        name="pinned request",
        spec={
            "domain": {
                "devices": {},
                "resources": {"requests": {"memory": "1Gi", "cpu": "2"}},
                "cpu": {"dedicatedCpuPlacement": True},
            }
        },
        requests="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1422Mi",
        limits="cpu=2 @kvm=1 @tun=1 @vhost-net=1 memory=1422Mi",
        memory_v19="1402Mi",
    ),
    Case(
        name="pinned, emulator thread",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "cpu": {
                    "cores": 2,
                    "threads": 2,
                    "dedicatedCpuPlacement": True,
                    "isolateEmulatorThread": True,
                },
            }
        },
        requests="cpu=5 @kvm=1 @tun=1 @vhost-net=1 memory=1436Mi",
        limits="cpu=5 @kvm=1 @tun=1 @vhost-net=1 memory=1436Mi",
        memory_v19="1416Mi",
    ),
    Case(
        name="pinned, emulator thread, even",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "cpu": {"cores": 2, "dedicatedCpuPlacement": True, "isolateEmulatorThread": True},
            }
        },
        annotations={"alpha.kubevirt.io/EmulatorThreadCompleteToEvenParity": ""},
        requests="cpu=4 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        limits="cpu=4 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        memory_v19="1400Mi",
    ),
    Case(
        name="pinned, pool of 4",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "cpu": {"cores": 2, "dedicatedCpuPlacement": True},
                "ioThreadsPolicy": "supplementalPool",
                "ioThreads": {"supplementalPoolThreadCount": 4},
            }
        },
        requests="cpu=6 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        limits="cpu=6 @kvm=1 @tun=1 @vhost-net=1 memory=1420Mi",
        memory_v19="1400Mi",
    ),
    Case(
        name="pool of 4",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "ioThreadsPolicy": "supplementalPool",
                "ioThreads": {"supplementalPoolThreadCount": 4},
            }
        },
        requests="cpu=500m @kvm=1 @tun=1 @vhost-net=1 memory=1312Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1292Mi",
    ),
    Case(
        name="cpu quota",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 3}}},
        quota=("limits.cpu",),
        requests="cpu=300m @kvm=1 @tun=1 @vhost-net=1 memory=1328Mi",
        limits="cpu=3 @kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1308Mi",
    ),
    Case(
        name="cpuRequest 200m",
        spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        configuration={"cpuRequest": "200m"},
        requests="cpu=200m @kvm=1 @tun=1 @vhost-net=1 memory=1312Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1292Mi",
    ),
]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_compute_is_rendered_as_upstream_does(case: Case) -> None:
    assert rendered_compute(case, "main") == (case.requests, case.limits)
    for column, memory in (("v1.9", case.memory_v19), ("v1.8", case.memory_v18 or case.memory_v19)):
        requests, _ = rendered_compute(case, column)
        assert dict(pair.split("=") for pair in requests.split())["memory"] == memory
