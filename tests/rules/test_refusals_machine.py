"""What KubeVirt's create validator answers to CPUs, probes, firmware, gated devices it refuses: fields and words, as on main, v1.9.0 and v1.8.0.

Interfaces are checked twice, disks too on main: repeated causes are marked by how often each comes (`twice`).
Source: vmi-create-admitter.go, pkg/storage/admitters/disks.go, pkg/network/admitter, pkg/virt-api/webhooks (run, not copied).
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.admission import validate_vmi
from harness.rules.defaults import default_vmi

_REFUSED: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    (
        {"hostname": "A_b", "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        {},
        [
            (
                "spec.hostname",
                "spec.hostname does not conform to the kubernetes DNS_LABEL rules : a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            )
        ],
    ),
    (
        {"subdomain": "-a", "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        {},
        [
            (
                "spec.subdomain",
                "spec.subdomain does not conform to the kubernetes DNS_SUBDOMAIN rules : a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            )
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "cpu": {"cores": 2, "dedicatedCpuPlacement": True},
                "resources": {"requests": {"memory": "1Gi", "cpu": "3"}},
            }
        },
        {},
        [
            (
                "spec.domain.cpu.dedicatedCpuPlacement",
                "spec.domain.resources.requests.cpu or spec.domain.resources.limits.cpu must not be provided at the same time with spec.domain.cpu.cores when DedicatedCPUPlacement is true ",
            )
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "cpu": {"dedicatedCpuPlacement": True},
                "memory": {"hugepages": {"pageSize": "2Mi"}},
                "resources": {
                    "requests": {"memory": "64Mi", "cpu": "1"},
                    "limits": {"cpu": "2", "memory": "128Mi"},
                },
            }
        },
        {},
        [
            (
                "spec.domain.resources.requests.memory",
                "spec.domain.resources.requests.memory must be equal to spec.domain.resources.limits.memory",
            ),
            (
                "spec.domain.cpu.dedicatedCpuPlacement",
                "spec.domain.resources.requests.cpu or spec.domain.resources.limits.cpu must be equal when DedicatedCPUPlacement is true ",
            ),
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "cpu": {"cores": 1, "threads": 3, "dedicatedCpuPlacement": True},
            }
        },
        {},
        [
            (
                "spec.domain.cpu.dedicatedCpuPlacement",
                "Not more than two threads must be provided at spec.domain.cpu.threads (got 3) when DedicatedCPUPlacement is true",
            )
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "cpu": {"numa": {"guestMappingPassthrough": {}}},
            }
        },
        {},
        [
            (
                "spec.domain.cpu.numa.guestMappingPassthrough",
                "spec.domain.cpu.dedicatedCpuPlacement must be set to true when NUMA topology strategy is set in spec.domain.cpu.numa.guestMappingPassthrough",
            ),
            (
                "spec.domain.cpu.numa.guestMappingPassthrough",
                "spec.domain.memory.hugepages must be requested when NUMA topology strategy is set in spec.domain.cpu.numa.guestMappingPassthrough",
            ),
        ],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"realtime": {}}}},
        {},
        [
            (
                "spec.domain.cpu.dedicatedCpuPlacement",
                "spec.domain.cpu.dedicatedCpuPlacement must be set to true when spec.domain.cpu.realtime is used",
            ),
            (
                "spec.domain.cpu.numa.guestMappingPassthrough",
                "spec.domain.cpu.numa.guestMappingPassthrough must be defined when spec.domain.cpu.realtime is used",
            ),
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "cpu": {"features": [{"name": "x", "policy": "maybe"}]},
            }
        },
        {},
        [("spec.domain.cpu.features[0].policy", "CPU feature x uses policy maybe that is not supported.")],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"sockets": 4, "maxSockets": 2}}},
        {},
        [
            (
                "spec.domain.cpu.sockets",
                "Number of sockets in CPU topology is greater than the maximum sockets allowed",
            )
        ],
    ),
    (
        {"startStrategy": "Now", "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        {},
        [("spec.startStrategy", "spec.startStrategy is set with an unrecognized option: Now")],
    ),
    (
        {
            "startStrategy": "Paused",
            "livenessProbe": {"guestAgentPing": {}},
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.startStrategy",
                "either spec.startStrategy or spec.livenessProbe should be provided.Pausing VMI with LivenessProbe is not supported",
            )
        ],
    ),
    (
        {
            "livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}},
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [("spec.livenessProbe", "spec.livenessProbe must have exactly one probe type set")],
    ),
    (
        {"readinessProbe": {"periodSeconds": 1}, "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        {},
        [
            (
                "spec.readinessProbe",
                "either spec.readinessProbe.tcpSocket, spec.readinessProbe.exec or spec.readinessProbe.httpGet must be set if a spec.readinessProbe is specified",
            )
        ],
    ),
    (
        {
            "readinessProbe": {"tcpSocket": {"port": 1}},
            "domain": {"devices": {"autoattachPodInterface": False}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.readinessProbe.tcpSocket",
                "spec.readinessProbe.tcpSocket is only allowed if the Pod Network is attached",
            )
        ],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "ioThreadsPolicy": "many"}},
        {},
        [("spec.domain.ioThreadsPolicy", "Invalid IOThreadsPolicy (many)")],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "ioThreadsPolicy": "supplementalPool"}},
        {},
        [
            (
                "spec.domain.ioThreads.count",
                "the number of iothreads needs to be set and positive for the dedicated policy",
            )
        ],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "firmware": {"bootloader": {"efi": {}}}}},
        {},
        [
            (
                "spec.domain",
                "spec.domain has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled.",
            )
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "firmware": {"bootloader": {"efi": {"secureBoot": False}, "bios": {}}},
            }
        },
        {},
        [
            (
                "spec.domain.firmware.bootloader",
                "spec.domain.firmware.bootloader has both EFI and BIOS configured, but they are mutually exclusive.",
            )
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "firmware": {"kernelBoot": {"container": {"image": "x"}}},
            }
        },
        {},
        [
            (
                "spec.domain.firmware.kernelBoot.container",
                "spec.domain.firmware.kernelBoot.container must be defined with at least one of the following: kernelPath, initrdPath",
            )
        ],
    ),
    (
        {
            "domain": {
                "devices": {},
                "memory": {"guest": "1Gi"},
                "firmware": {"kernelBoot": {"kernelArgs": "quiet"}},
            }
        },
        {},
        [
            (
                "spec.domain.firmware.kernelBoot.kernelArgs",
                "kernel arguments cannot be provided without an external kernel",
            )
        ],
    ),
    (
        {
            "domain": {
                "devices": {"hostDevices": [{"name": "a", "deviceName": "x/y"}]},
                "memory": {"guest": "1Gi"},
            }
        },
        {},
        [("spec.HostDevices", "Host Devices feature gate is not enabled in kubevirt-config")],
    ),
    (
        {"domain": {"devices": {"sound": {"name": "", "model": "sb16"}}, "memory": {"guest": "1Gi"}}},
        {},
        [
            ("spec.Sound", "Sound device type is not supported. Options: 'ich9' or 'ac97'"),
            ("spec.Sound", "Sound device requires a name field."),
        ],
    ),
    (
        {"domain": {"devices": {"autoattachVSOCK": True}, "memory": {"guest": "1Gi"}}},
        {},
        [("spec.domain.devices.autoattachVSOCK", "VSOCK feature gate is not enabled in kubevirt-config")],
    ),
    (
        {"domain": {"devices": {"downwardMetrics": {}}, "memory": {"guest": "1Gi"}}},
        {},
        [
            (
                "spec.domain.devices.downwardMetrics",
                "downwardMetrics virtio serial is not allowed: DownwardMetrics feature gate is not enabled",
            )
        ],
    ),
    (
        {
            "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "a"}}],
            "domain": {
                "devices": {"filesystems": [{"name": "a", "virtiofs": {}}]},
                "memory": {"guest": "1Gi"},
            },
        },
        {},
        [
            (
                "spec.domain.devices.filesystems",
                "virtiofs is not allowed: virtiofs feature gate is not enabled for PVC",
            )
        ],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "launchSecurity": {"tdx": {}}}},
        {},
        [("spec.launchSecurity", "WorkloadEncryptionTDX feature gate is not enabled in kubevirt-config")],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "launchSecurity": {"sev": {}, "snp": {}}}},
        {},
        [("spec.launchSecurity", "One and only one launchSecurity type can be set")],
    ),
    (
        {
            "architecture": "arm64",
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}, "launchSecurity": {"sev": {}}},
        },
        {},
        [("spec.architecture", "No launchSecurity support for architecture: arm64")],
    ),
    (
        {
            "architecture": "arm64",
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"model": "Haswell"}},
        },
        {},
        [("spec.domain.cpu.model", "currently, host-passthrough is the only model supported on Arm64")],
    ),
    (
        {"evictionStrategy": "Later", "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        {},
        [("spec.evictionStrategy", "spec.evictionStrategy is set with an unrecognized option: Later")],
    ),
    (
        {
            "networks": [{"name": "a", "multus": {"networkName": "x"}}],
            "domain": {
                "devices": {"interfaces": [{"name": "a", "passtBinding": {}}]},
                "memory": {"guest": "1Gi"},
            },
        },
        {"developerConfiguration": {"disabledFeatureGates": ["PasstBinding"]}},
        [
            ("spec.domain.devices.interfaces[0].name", "PasstBinding feature gate is not enabled"),
            (
                "spec.domain.devices.interfaces[0].name",
                "PasstBinding interface only implemented with pod network",
            ),
        ],
    ),
    (
        {"domain": {"devices": {}, "memory": {"guest": "2Gi"}, "resources": {"limits": {"memory": "1Gi"}}}},
        {"vmRolloutStrategy": "Stage"},
        [
            (
                "spec.domain.memory.guest",
                "spec.domain.memory.guest '2Gi' must be equal to or less than the memory limit spec.domain.resources.limits.memory '1Gi'",
            )
        ],
    ),
    (
        {"domain": {"devices": {}, "resources": {"requests": {"memory": "999999"}}}},
        {},
        [
            (
                "spec.domain.resources.requests.memory",
                "spec.domain.resources.requests.memory '999999': must be greater than or equal to 1M.",
            )
        ],
    ),
]


@pytest.mark.parametrize("column", ["v1.8", "v1.9", "main"])
@pytest.mark.parametrize(("spec", "configuration", "causes"), _REFUSED)
def test_refusals(
    spec: dict[str, Any], configuration: dict[str, Any], causes: list[tuple[str, str]], column: str
) -> None:
    vmi = default_vmi({"metadata": {"name": "v"}, "spec": spec}, column=column, configuration=configuration)
    found = [
        (cause.field, cause.message)
        for cause in validate_vmi(vmi, column=column, configuration=configuration)
    ]
    if column == "main":
        assert sorted(set(found)) == sorted(causes), "disks come first here, and again later"
    else:
        assert list(dict.fromkeys(found)) == causes
