"""What the create validator answers to ACPI tables, credentials, DNS settings, displays, block sizes and paths it refuses.

Source: KubeVirt vmi-create-admitter.go, pkg/storage/admitters/disks.go (main).
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.admission import validate_vmi
from harness.rules.defaults import default_vmi


def _causes(spec: dict[str, Any], column: str = "main") -> list[tuple[str, str]]:
    """Fields and messages, each once: disks are checked twice."""
    domain = {"devices": {}, "memory": {"guest": "1Gi"}, **spec.pop("domain", {})}
    vmi = default_vmi({"metadata": {}, "spec": {"domain": domain, **spec}}, column=column)
    return [(cause.field, cause.message) for cause in dict.fromkeys(validate_vmi(vmi, column=column))]


_SECRET = {"name": "s", "secret": {"secretName": "s"}}
_DISK = {"name": "d", "containerDisk": {"image": "i"}}
_DEVICES = {"disks": [{"name": "s", "disk": {}}, {"name": "d", "disk": {}}]}


@pytest.mark.parametrize(
    ("acpi", "expected"),
    [
        ({"slicNameRef": "s"}, []),
        ({}, [("spec.acpi", "ACPI was set but no SLIC nor MSDM volume reference was set")]),
        (
            {"slicNameRef": "d", "msdmNameRef": "x"},
            [
                ("spec.acpi.slicNameRef", "spec.acpi refers to Volume of unsupported type."),
                ("spec.acpi.msdmNameRef", "spec.acpi does not have a matching Volume."),
            ],
        ),
    ],
)
def test_acpi(acpi: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    domain = {"devices": _DEVICES, "firmware": {"acpi": acpi}}
    assert _causes({"domain": domain, "volumes": [_SECRET, _DISK]}) == expected


_AT = "spec.accessCredentials[0]"


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ({}, [(_AT, f"{_AT} must have exactly one access credential type set")]),
        (
            {
                "sshPublicKey": {
                    "source": {"secret": {"secretName": "s"}},
                    "propagationMethod": {"noCloud": {}, "configDrive": {}},
                }
            },
            [
                (
                    f"{_AT}.sshPublicKey.propagationMethod",
                    f"{_AT} requires a noCloud volume to exist when the noCloud propagationMethod is in use.",
                ),
                (
                    f"{_AT}.sshPublicKey.propagationMethod",
                    f"{_AT} requires a configDrive volume to exist when the configDrive propagationMethod is in use.",
                ),
                (
                    f"{_AT}.sshPublicKey.propagationMethod",
                    f"{_AT} must have exactly one propagationMethod set",
                ),
            ],
        ),
        (
            {
                "sshPublicKey": {"source": {}, "propagationMethod": {"qemuGuestAgent": {"users": []}}},
                "userPassword": {"source": {"secret": {"secretName": "s"}}, "propagationMethod": {}},
            },
            [
                (
                    f"{_AT}.sshPublicKey.propagationMethod.qemuGuestAgent.users",
                    f"{_AT} requires at least one user to be present in the users list",
                ),
                (f"{_AT}.sshPublicKey.source", f"{_AT} must have exactly one source set"),
                (
                    f"{_AT}.userPassword.propagationMethod",
                    f"{_AT} must have exactly one propagationMethod set",
                ),
                (_AT, f"{_AT} must have exactly one access credential type set"),
            ],
        ),
        (
            {
                "userPassword": {
                    "source": {"secret": {"secretName": "s"}},
                    "propagationMethod": {"qemuGuestAgent": {}},
                }
            },
            [],
        ),
    ],
)
def test_access_credentials(credential: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert _causes({"accessCredentials": [credential]}) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"]}}, []),
        ({"dnsPolicy": "ClusterFirst"}, []),
        (
            {"dnsPolicy": "Mine"},
            [
                (
                    "spec.dnsPolicy",
                    (
                        "DNSPolicy: Mine is not supported, valid values: "
                        "[ClusterFirstWithHostNet ClusterFirst Default None ]"
                    ),
                )
            ],
        ),
        ({"dnsPolicy": "None"}, [("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")]),
        (
            {"dnsPolicy": "None", "dnsConfig": {}},
            [("nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")],
        ),
        (
            {
                "dnsConfig": {
                    "nameservers": ["1.1.1.1", "::1", "fe80::1%eth0", "x"],
                    "searches": [*"abcdef", "g" * 250],
                    "options": [{"value": "1"}],
                }
            },
            [
                ("nameservers", "must not have more than 3 nameservers: [1.1.1.1 ::1 fe80::1%eth0 x]"),
                ("nameservers", "must be valid IP address: fe80::1%eth0"),
                ("nameservers", "must be valid IP address: x"),
                ("searchDomains", "must not have more than 6 search paths"),
                (
                    "searchDomains",
                    "must not have more than 256 characters (including spaces) in the search list",
                ),
                ("options", "Option.Name must not be empty"),
            ],
        ),
    ],
)
def test_dns(spec: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert _causes(dict(spec)) == expected


def _gpu(display: dict[str, Any]) -> dict[str, Any]:
    return {"name": "g", "deviceName": "d", "virtualGPUOptions": {"display": display}}


@pytest.mark.parametrize(
    ("display", "column", "refused"),
    [
        ({}, "v1.9", True),
        ({"enabled": False}, "v1.9", False),
        ({"ramFB": {}}, "v1.9", False),
        ({"ramFB": {}}, "main", True),
        ({"ramFB": {"enabled": True}}, "v1.9", True),
        ({"ramFB": {"enabled": False}}, "main", False),
    ],
)
def test_two_displays_with_ramfb(display: dict[str, Any], column: str, refused: bool) -> None:
    text = "configuring multiple displays with ramfb is not valid "
    gpus = {"devices": {"gpus": [_gpu(display), _gpu(display)]}}
    assert _causes({"domain": gpus}, column) == ([("spec.GPUs", text)] if refused else [])
    assert _causes({"domain": {"devices": {"gpus": [_gpu(display)]}}}, column) == []


_BLOCK = "spec.domain.devices.disks[0].blockSize"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"custom": {"logical": 512, "physical": 4096}}, []),
        ({"matchVolume": {"enabled": False}, "custom": {"logical": 512, "physical": 512}}, []),
        (
            {"matchVolume": {}, "custom": {"logical": 512, "physical": 512}},
            [(_BLOCK, "Block size matching can't be enabled together with a custom value")],
        ),
        (
            {"custom": {"logical": 4096, "physical": 512}},
            [
                (
                    f"{_BLOCK}.custom.logical",
                    "Logical size 4096 must be the same or less than the physical size of 512",
                )
            ],
        ),
        (
            {"custom": {"logical": 4096, "physical": 4096, "discardGranularity": 512}},
            [
                (
                    f"{_BLOCK}.custom.discardGranularity",
                    "Discard granularity 512 must be multiples of logical size 4096",
                )
            ],
        ),
        (
            {"custom": {"logical": 256, "physical": 4194304}},
            [
                (
                    f"{_BLOCK}.custom.logical",
                    "Provided size of 256 is less than the supported minimum size of 512",
                ),
                (
                    f"{_BLOCK}.custom.physical",
                    "Provided size of 4194304 is greater than the supported maximum size of 2097152",
                ),
            ],
        ),
        (
            {"custom": {"logical": 512, "physical": 1000}},
            [(f"{_BLOCK}.custom.physical", "Provided size of 1000 is not a power of 2")],
        ),
    ],
)
def test_block_sizes(size: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    disks = [{"name": "d", "disk": {"bus": "virtio"}, "blockSize": size}]
    assert _causes({"domain": {"devices": {"disks": disks}}, "volumes": [_DISK]}) == expected


def test_pci_addresses_of_disks() -> None:
    odd = "spec.domain.devices.disks.domain.devices.disks.disk[0]"
    disks = [{"name": "d", "disk": {"bus": "scsi", "pciAddress": "81:01.0"}}]
    assert _causes({"domain": {"devices": {"disks": disks}}, "volumes": [_DISK]}) == [
        (
            f"{odd}.pciAddress",
            f"disk {odd}.name - setting a PCI address is only possible with bus type virtio.",
        ),
        (f"{odd}.pciAddress", f"disk {odd}.name has malformed PCI address (81:01.0)."),
    ]


def test_container_paths() -> None:
    path = {"name": "p", "containerPath": {"path": "/var/run/kubevirt/x"}}
    at = "spec.domain.volumes[0]"
    reserved = (
        f"{at}.containerPath.path",
        "ContainerPath volume 'p' uses reserved path prefix '/var/run/kubevirt'",
    )
    as_disk = {"devices": {"disks": [{"name": "p", "disk": {}}]}}
    assert _causes({"domain": as_disk, "volumes": [path]}) == [
        (at, "ContainerPath volume 'p' must be mapped to a filesystem, not a disk"),
        (
            at,
            "ContainerPath volume 'p' must have a matching filesystem defined in spec.domain.devices.filesystems",
        ),
        reserved,
    ]
    as_filesystem = {"devices": {"filesystems": [{"name": "p", "virtiofs": {}}]}}
    good = {"name": "p", "containerPath": {"path": "/data"}}
    assert _causes({"domain": as_filesystem, "volumes": [good]}) == []
    assert _causes({"domain": as_filesystem, "volumes": [path]}) == [reserved]
