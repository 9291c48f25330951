"""Devices, probes and security in the compute container: what each adds; as KubeVirt's own renderer answers (main, v1.9.0, v1.8.0).

Each case is written down as virt-controller made it of the VMI that the mutating webhook left (template.go,
renderresources.go, hypervisorbackend.go), the pod defaulted as the API server does. `@`: devices.kubevirt.io/.
"""

from __future__ import annotations

import pytest

from tests.rules.rendered import Case, rendered_compute

_CASES = [
    Case(
        name="headless",
        spec={"domain": {"devices": {"autoattachGraphicsDevice": False}, "memory": {"guest": "1Gi"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1280Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1260Mi",
    ),
    Case(
        name="tpm",
        spec={"domain": {"devices": {"tpm": {}}, "memory": {"guest": "1Gi"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1365Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1345Mi",
    ),
    Case(
        name="gpu",
        spec={
            "domain": {
                "devices": {
                    "gpus": [
                        {"name": "a", "deviceName": "nvidia.com/A"},
                        {"name": "b", "deviceName": "nvidia.com/A"},
                    ]
                },
                "memory": {"guest": "1Gi"},
            }
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=2336Mi nvidia.com/A=2",
        limits="@kvm=1 @tun=1 @vhost-net=1 nvidia.com/A=2",
        memory_v19="2316Mi",
    ),
    Case(
        name="arm64",
        spec={"architecture": "arm64", "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1440Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1420Mi",
    ),
    Case(
        name="both probes",
        spec={
            "livenessProbe": {"exec": {"command": ["a"]}},
            "readinessProbe": {"exec": {"command": ["a"]}},
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1432Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1412Mi",
    ),
    Case(
        name="one probe",
        spec={
            "readinessProbe": {"exec": {"command": ["a"]}},
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1422Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1402Mi",
    ),
    Case(
        name="sev",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "launchSecurity": {"sev": {}},
                "firmware": {"bootloader": {"efi": {"secureBoot": False}}},
            }
        },
        configuration={"developerConfiguration": {"featureGates": ["WorkloadEncryptionSEV"]}},
        requests="cpu=100m @kvm=1 @sev=1 @tun=1 @vhost-net=1 memory=1568Mi",
        limits="@kvm=1 @sev=1 @tun=1 @vhost-net=1",
        memory_v19="1548Mi",
    ),
    Case(
        name="snp",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "launchSecurity": {"snp": {}},
                "firmware": {"bootloader": {"efi": {"secureBoot": False}}},
            }
        },
        configuration={"developerConfiguration": {"featureGates": ["WorkloadEncryptionSEV"]}},
        requests="cpu=100m @kvm=1 @sev=1 @tun=1 @vhost-net=1 memory=1568Mi",
        limits="@kvm=1 @sev=1 @tun=1 @vhost-net=1",
        memory_v19="1548Mi",
    ),
    Case(
        name="tdx",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "launchSecurity": {"tdx": {}},
                "firmware": {"bootloader": {"efi": {"secureBoot": False}}},
            }
        },
        configuration={"developerConfiguration": {"featureGates": ["WorkloadEncryptionTDX"]}},
        requests="cpu=100m @kvm=1 @tdx=1 @tun=1 @vhost-net=1 memory=1312Mi",
        limits="@kvm=1 @tdx=1 @tun=1 @vhost-net=1",
        memory_v19="1292Mi",
    ),
    Case(
        name="reserved overhead",
        spec={
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi", "reservedOverhead": {"addedOverhead": "100Mi"}},
            }
        },
        configuration={"developerConfiguration": {"featureGates": ["ReservedOverheadMemlock"]}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1412Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1392Mi",
    ),
    Case(
        name="passt",
        spec={
            "networks": [{"name": "default", "pod": {}}],
            "domain": {
                "devices": {"interfaces": [{"name": "default", "passtBinding": {}}]},
                "memory": {"guest": "1Gi"},
            },
        },
        configuration={"developerConfiguration": {"featureGates": ["PasstBinding"]}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 memory=1562Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1",
        memory_v19="1542Mi",
    ),
    Case(
        name="e1000",
        spec={
            "networks": [{"name": "default", "pod": {}}],
            "domain": {
                "devices": {"interfaces": [{"name": "default", "masquerade": {}, "model": "e1000"}]},
                "memory": {"guest": "1Gi"},
            },
        },
        requests="cpu=100m @kvm=1 @tun=1 memory=1312Mi",
        limits="@kvm=1 @tun=1",
        memory_v19="1292Mi",
    ),
    Case(
        name="no interface",
        spec={"domain": {"devices": {"autoattachPodInterface": False}, "memory": {"guest": "1Gi"}}},
        requests="cpu=100m @kvm=1 memory=1312Mi",
        limits="@kvm=1",
        memory_v19="1292Mi",
    ),
    Case(
        name="vsock",
        spec={"domain": {"devices": {"autoattachVSOCK": True}, "memory": {"guest": "1Gi"}}},
        configuration={"developerConfiguration": {"featureGates": ["VSOCK"]}},
        requests="cpu=100m @kvm=1 @tun=1 @vhost-net=1 @vhost-vsock=1 memory=1312Mi",
        limits="@kvm=1 @tun=1 @vhost-net=1 @vhost-vsock=1",
        memory_v19="1292Mi",
    ),
]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_compute_is_rendered_as_upstream_does(case: Case) -> None:
    assert rendered_compute(case, "main") == (case.requests, case.limits)
    for column, memory in (("v1.9", case.memory_v19), ("v1.8", case.memory_v18 or case.memory_v19)):
        requests, _ = rendered_compute(case, column)
        assert dict(pair.split("=") for pair in requests.split())["memory"] == memory
