"""What KubeVirt's create validator answers to disks and volumes it refuses: fields and words, as on main, v1.9.0 and v1.8.0.

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
        {
            "volumes": [{"name": "a", "emptyDisk": {"capacity": "1Gi"}}],
            "domain": {
                "devices": {"disks": [{"name": "a", "cdrom": {"bus": "virtio"}}]},
                "memory": {"guest": "1Gi"},
            },
        },
        {},
        [("spec.domain.devices.disks[0].cdrom.bus", "Bus type virtio is invalid for CD-ROM device")],
    ),
    (
        {
            "volumes": [{"name": "a", "emptyDisk": {"capacity": "1Gi"}}],
            "domain": {
                "devices": {"disks": [{"name": "a", "disk": {"bus": "floppy"}}]},
                "memory": {"guest": "1Gi"},
            },
        },
        {},
        [
            (
                "spec.domain.devices.disks[0].disk.bus",
                "spec.domain.devices.disks[0] is set with an unrecognized bus floppy, must be one of: [virtio scsi sata usb]",
            )
        ],
    ),
    (
        {
            "volumes": [{"name": "a", "emptyDisk": {"capacity": "1Gi"}}],
            "domain": {"devices": {"disks": [{"name": "a"}, {"name": "a"}]}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.domain.devices.disks[1].name",
                "spec.domain.devices.disks[1] and spec.domain.devices.disks[0] must not have the same Name.",
            )
        ],
    ),
    (
        {
            "volumes": [
                {"name": "a", "emptyDisk": {"capacity": "1Gi"}},
                {"name": "b", "emptyDisk": {"capacity": "1Gi"}},
            ],
            "domain": {
                "devices": {"disks": [{"name": "a", "bootOrder": 1}, {"name": "b", "bootOrder": 1}]},
                "memory": {"guest": "1Gi"},
            },
        },
        {},
        [
            (
                "spec.domain.devices.disks[1].bootOrder",
                "Boot order for spec.domain.devices.disks[1].bootOrder already set for a different device.",
            )
        ],
    ),
    (
        {
            "volumes": [{"name": "a", "emptyDisk": {"capacity": "1Gi"}}],
            "domain": {"devices": {"disks": [{"name": "a", "lun": {}}]}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.domain.devices.disks[0].lun",
                "spec.domain.devices.disks[0].lun can only be mapped to a DataVolume or PersistentVolumeClaim volume.",
            )
        ],
    ),
    (
        {
            "volumes": [{"name": "a", "emptyDisk": {"capacity": "1Gi"}}],
            "domain": {
                "devices": {
                    "disks": [
                        {
                            "name": "a",
                            "disk": {"bus": "sata"},
                            "cache": "fast",
                            "io": "slow",
                            "dedicatedIOThread": True,
                        }
                    ]
                },
                "memory": {"guest": "1Gi"},
            },
        },
        {},
        [
            (
                "spec.domain.devices.disks.domain.devices.disks[0]",
                "IOThreads are not supported for disks on a sata bus",
            ),
            (
                "spec.domain.devices.disks[0].cache",
                "spec.domain.devices.disks[0].cache has invalid value fast",
            ),
            (
                "spec.domain.devices.disks.domain.devices.disks[0].io",
                "Disk IO mode for spec.domain.devices.disks is not supported. Supported modes are: native, threads.",
            ),
        ],
    ),
    (
        {
            "volumes": [{"name": "A", "emptyDisk": {"capacity": "1Gi"}}],
            "domain": {"devices": {"disks": [{"name": "A"}]}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.domain.devices.disks.domain.devices.disks[0].name",
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            )
        ],
    ),
    (
        {"volumes": [{"name": "a"}], "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
        {},
        [("spec.volumes[0]", "spec.volumes[0] must have exactly one source type set")],
    ),
    (
        {
            "volumes": [{"name": "a", "cloudInitNoCloud": {}}],
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.volumes[0].cloudInitNoCloud",
                "spec.volumes[0].cloudInitNoCloud must have at least one userdatasource or one networkdatasource set.",
            )
        ],
    ),
    (
        {
            "volumes": [
                {
                    "name": "a",
                    "cloudInitNoCloud": {
                        "userData": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    },
                }
            ],
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.volumes[0].cloudInitNoCloud",
                "spec.volumes[0].cloudInitNoCloud userdata exceeds 2048 byte limit. Should use UserDataSecretRef for larger data.",
            )
        ],
    ),
    (
        {
            "volumes": [{"name": "a", "downwardMetrics": {}}],
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.domain.devices.disks[0].disk.bus",
                "DownwardMetrics volume must be mapped to virtio bus, but spec.domain.devices.disks[0].disk.bus is set to sata",
            ),
            (
                "spec.volumes[0]",
                "downwardMetrics disks are not allowed: DownwardMetrics feature gate is not enabled.",
            ),
        ],
    ),
    (
        {
            "volumes": [{"name": "a", "hostDisk": {"path": "/a", "type": "File"}}],
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            ("spec.volumes[0]", "HostDisk feature gate is not enabled"),
            (
                "spec.volumes[0].hostDisk.type",
                "spec.volumes[0].hostDisk.type has invalid value 'File', allowed are 'Disk' or 'DiskOrCreate'",
            ),
        ],
    ),
    (
        {
            "volumes": [{"name": "a", "containerDisk": {"image": "x", "path": "../a"}}],
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.volumes[0].containerDisk",
                "spec.volumes[0].containerDisk must be an absolute path to a file without relative components",
            )
        ],
    ),
    (
        {
            "volumes": [
                {"name": "a", "emptyDisk": {"capacity": "1Gi"}},
                {"name": "a", "emptyDisk": {"capacity": "1Gi"}},
            ],
            "domain": {"devices": {}, "memory": {"guest": "1Gi"}},
        },
        {},
        [
            (
                "spec.domain.devices.disks[1].name",
                "spec.domain.devices.disks[1] and spec.domain.devices.disks[0] must not have the same Name.",
            ),
            ("spec.volumes[1].name", "spec.volumes[1] and spec.volumes[0] must not have the same Name."),
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
