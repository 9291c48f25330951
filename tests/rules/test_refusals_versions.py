"""What the create validators of v1.6 … v1.9 refuse differently: words, fields, order.

Source: git diff of vmi-create-admitter.go, pkg/virt-api/webhooks/{amd64,arm64,s390x,ppc64le}.go, pkg/storage/admitters,
pkg/liveupdate/memory/memory.go between v1.6.0, v1.6.6, v1.7.0, v1.8.0, v1.8.4, v1.9.0 and main.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.admission import validate_vmi
from harness.rules.admission_vm import vm_causes
from harness.rules.defaults import default_spec, default_vmi

_COLUMNS = ("v1.6", "v1.7", "v1.8", "v1.9", "main")


def _gates(*names: str) -> dict[str, Any]:
    return {"developerConfiguration": {"featureGates": list(names)}}


def _causes(
    spec: dict[str, Any], column: str, configuration: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    configuration = configuration or {}
    vmi = default_vmi({"metadata": {}, "spec": spec}, column=column, configuration=configuration)
    causes = validate_vmi(vmi, column=column, configuration=configuration)
    return [(cause.field, cause.message) for cause in causes]


def _machine(**domain: Any) -> dict[str, Any]:
    return {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, **domain}}


_SECURE_BOOT_ON_ARM = [
    (
        "spec.domain.firmware.bootloader.efi.secureboot",
        "UEFI secure boot is currently not supported on aarch64 Arch",
    )
]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("v1.6", _SECURE_BOOT_ON_ARM),
        ("v1.7", _SECURE_BOOT_ON_ARM),
        ("v1.8", _SECURE_BOOT_ON_ARM),
        ("v1.8.2", _SECURE_BOOT_ON_ARM),
        ("v1.8.3", []),
        ("v1.9", []),
        ("main", []),
    ],
)
def test_secure_boot_on_arm64(column: str, expected: list[tuple[str, str]]) -> None:
    for efi in ({}, {"secureBoot": True}):
        spec = _machine(firmware={"bootloader": {"efi": efi}}, features={"smm": {}}) | {
            "architecture": "arm64"
        }
        assert _causes(spec, column, _gates("MultiArchitecture")) == expected
    spec = _machine(firmware={"bootloader": {"efi": {"secureBoot": False}}}) | {"architecture": "arm64"}
    assert _causes(spec, column, _gates("MultiArchitecture")) == []


_SEV_CLOSED = ("spec.launchSecurity", "WorkloadEncryptionSEV feature gate is not enabled in kubevirt-config")
_SEV_FIRMWARE = ("spec.launchSecurity", "SEV requires OVMF (UEFI)")


@pytest.mark.parametrize(
    ("column", "architecture", "configuration", "expected"),
    [
        ("v1.6", "amd64", {}, [_SEV_CLOSED]),
        ("v1.7", "amd64", {}, [_SEV_CLOSED]),
        ("v1.8", "amd64", {}, [_SEV_CLOSED]),
        ("v1.9", "amd64", {}, [_SEV_FIRMWARE]),
        ("v1.6", "amd64", _gates("WorkloadEncryptionSEV"), [_SEV_FIRMWARE]),
        ("v1.7", "amd64", _gates("WorkloadEncryptionSEV"), [_SEV_FIRMWARE]),
        ("v1.6", "arm64", _gates("MultiArchitecture"), [_SEV_CLOSED]),
        (
            "v1.7",
            "arm64",
            _gates("MultiArchitecture"),
            [("spec.architecture", "No launchSecurity support for architecture: arm64")],
        ),
        (
            "v1.6",
            "s390x",
            _gates("MultiArchitecture"),
            [
                ("spec.launchSecurity", "SecureExecution feature gate is not enabled in kubevirt-config"),
                _SEV_CLOSED,
            ],
        ),
        (
            "v1.7",
            "s390x",
            _gates("MultiArchitecture"),
            [("spec.launchSecurity", "SecureExecution feature gate is not enabled in kubevirt-config")],
        ),
        ("v1.9", "s390x", {}, []),
    ],
)
def test_sev(
    column: str, architecture: str, configuration: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    spec = _machine(launchSecurity={"sev": {}}) | {"architecture": architecture}
    assert _causes(spec, column, configuration) == expected


def test_an_empty_launch_security_was_accepted_by_v1_6() -> None:
    spec = _machine(launchSecurity={})
    assert _causes(spec, "v1.6") == []
    assert _causes(spec, "v1.7") == [
        ("spec.launchSecurity", "One and only one launchSecurity type can be set")
    ]


def test_sev_of_v1_6_with_everything_wrong() -> None:
    spec = {
        "domain": {
            "devices": {"interfaces": [{"name": "a", "bridge": {}, "bootOrder": 1}]},
            "memory": {"guest": "1Gi"},
            "features": {"smm": {}},
            "firmware": {"bootloader": {"efi": {}}},
            "launchSecurity": {"sev": {"attestation": {}}},
        },
        "networks": [{"name": "a", "pod": {}}],
    }
    assert _causes(spec, "v1.6", _gates("WorkloadEncryptionSEV")) == [
        ("spec.launchSecurity", "SEV does not work along with SecureBoot"),
        ("spec.launchSecurity", "SEV attestation requires VMI StartStrategy 'Paused'"),
        ("spec.launchSecurity", "SEV does not work with bootable NICs: a"),
    ]


@pytest.mark.parametrize(
    ("column", "memory", "messages"),
    [
        (
            "v1.6.0",
            {"hugepages": {"pageSize": "2Mi"}, "guest": "0"},
            [
                (
                    "spec.domain.resources.requests.memory '0' must be equal to or larger than page size "
                    "spec.domain.hugepages.size '2Mi'"
                )
            ],
        ),
        ("v1.6.4", {"hugepages": {"pageSize": "2Mi"}, "guest": "0"}, []),
        ("v1.7", {"hugepages": {"pageSize": "2Mi"}, "guest": "0"}, []),
        ("main", {"hugepages": {"pageSize": "2Mi"}, "guest": "0"}, []),
        (
            "v1.6.0",
            {"hugepages": {"pageSize": "2Mi"}, "guest": "65Mi"},
            [
                (
                    "spec.domain.resources.requests.memory '65Mi' is not a multiple of the page size "
                    "spec.domain.hugepages.size '2Mi'"
                )
            ],
        ),
        (
            "v1.6.4",
            {"hugepages": {"pageSize": "2Mi"}, "guest": "65Mi"},
            [
                (
                    "spec.domain.resources.requests.memory '0' is not a multiple of the page size "
                    "spec.domain.hugepages.size '2Mi'"
                )
            ],
        ),
    ],
)
def test_hugepages(column: str, memory: dict[str, Any], messages: list[str]) -> None:
    spec = {"domain": {"devices": {}, "memory": memory}}
    assert [message for _, message in _causes(spec, column)] == messages


def test_hugepages_of_v1_6_0_are_not_held_against_a_limit() -> None:
    """The webhook makes the limit the request, so it is the request that is too small."""
    spec = {
        "domain": {
            "devices": {},
            "memory": {"hugepages": {"pageSize": "1Gi"}},
            "resources": {"limits": {"memory": "64Mi"}},
        }
    }
    (cause,) = _causes(spec, "v1.6.0")
    assert cause[1].startswith(
        "spec.domain.resources.requests.memory '64Mi' must be equal to or larger than page size"
    )


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("v1.6", []),
        ("v1.7", [("spec.architecture", "unsupported architecture: ppc64le")]),
        ("main", [("spec.architecture", "unsupported architecture: ppc64le")]),
    ],
)
def test_ppc64le(column: str, expected: list[tuple[str, str]]) -> None:
    spec = _machine(machine={"type": "q35"}) | {"architecture": "ppc64le"}
    assert _causes(spec, column, _gates("MultiArchitecture")) == expected


def test_panic_devices_on_s390x() -> None:
    spec = {
        "architecture": "s390x",
        "domain": {"devices": {"panicDevices": [{"model": "pvpanic"}]}, "memory": {"guest": "1Gi"}},
    }
    at = "spec.domain.devices.panicDevices"
    assert _causes(spec, "main") == [(at, "custom panic devices are not supported on s390x architecture")]
    closed = _gates("MultiArchitecture")
    assert _causes(spec, "v1.8", closed) == [
        (at, "Panic Devices feature gate is not enabled in kubevirt-config")
    ]


@pytest.mark.parametrize("column", _COLUMNS)
def test_logical_blocks_of_sata_disks(column: str) -> None:
    spec = {
        "domain": {
            "devices": {
                "disks": [
                    {
                        "name": "a",
                        "disk": {"bus": "sata"},
                        "blockSize": {"custom": {"logical": 4096, "physical": 4096}},
                    }
                ]
            },
            "memory": {"guest": "1Gi"},
        },
        "volumes": [{"name": "a", "containerDisk": {"image": "i"}}],
    }
    at = "spec.domain.devices.disks[0].blockSize.custom.logical"
    expected = [] if column == "v1.6" else [(at, "Logical size 4096 must be 512 for SATA devices")]
    assert list(dict.fromkeys(_causes(spec, column))) == expected


@pytest.mark.parametrize("column", _COLUMNS)
def test_utility_volumes_and_service_accounts(column: str) -> None:
    spec = _machine() | {
        "utilityVolumes": [{"name": "u", "claimName": "c"}],
        "serviceAccountName": "a",
        "volumes": [{"name": "v", "serviceAccount": {"serviceAccountName": "b"}}],
    }
    spec["domain"]["devices"] = {"disks": [{"name": "v", "disk": {}}]}
    utility = (
        "spec.utilityVolumes",
        "cannot create VMI with utility volumes in spec, utility volumes can only be added via hotplug",
    )
    account = (
        "spec.serviceAccountName",
        'spec.serviceAccountName "a" and serviceAccount volume "b" must reference the same service account',
    )
    expected = {"v1.6": [], "v1.7": [], "v1.8": [utility]}.get(column, [utility, account])
    assert _causes(spec, column) == expected


def _vm(spec: dict[str, Any], **vm: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"runStrategy": "Always", "template": {"spec": spec}, **vm}}


def _vm_messages(vm: dict[str, Any], column: str, *, creating: bool = True) -> list[tuple[str, str]]:
    defaulted = default_spec(vm["spec"]["template"]["spec"], column=column, configuration={}, template=True)
    causes = vm_causes(vm, defaulted, column=column, configuration={}, creating=creating)
    return [(cause.field, cause.message) for cause in causes]


def test_a_new_vm_with_a_binding_that_is_gone_hears_of_nothing_else() -> None:
    spec = _machine(cpu={"sockets": 4, "maxSockets": 2}) | {"networks": [{"name": "a", "pod": {}}]}
    spec["domain"]["devices"] = {"interfaces": [{"name": "a", "macvtap": {}}]}
    vm = _vm(spec, runStrategy="Sometimes")
    assert _vm_messages(vm, "v1.8") == [
        (
            "spec.domain.devices.interfaces[0].macvtap",
            "Macvtap network binding has been discontinued since v1.3",
        )
    ]
    text = "Number of sockets in CPU topology is greater than the maximum sockets allowed"
    at = "spec.template.spec.domain.cpu.sockets"
    assert _vm_messages(vm, "v1.8", creating=False) == [
        (at, text),
        ("spec.runStrategy", "Invalid RunStrategy (Sometimes)"),
        (at, text),
    ]


@pytest.mark.parametrize(
    ("spec", "column", "message"),
    [
        (_machine(memory={"guest": "1Gi", "maxGuest": "4Gi"}), "main", ""),
        (
            _machine(memory={"guest": "2Gi", "maxGuest": "1Gi"}),
            "main",
            "Guest memory is greater than the configured maxGuest memory",
        ),
        (
            _machine(memory={"guest": "1025Mi", "maxGuest": "4Gi"}),
            "main",
            "Guest memory must be 2Mi aligned",
        ),
        (_machine(memory={"guest": "1Gi", "maxGuest": "4097Mi"}), "main", "MaxGuest must be 2Mi aligned"),
        (
            _machine(memory={"guest": "1025Mi", "maxGuest": "4Gi", "hugepages": {"pageSize": "1Gi"}}),
            "v1.7",
            "Guest memory must be 1Gi aligned",
        ),
        (
            _machine(memory={"guest": "512Mi", "maxGuest": "4Gi"}),
            "main",
            "Memory hotplug is only available for VMs with at least 1Gi of guest memory",
        ),
        (
            _machine(memory={"guest": "1Gi", "maxGuest": "4Gi"}) | {"architecture": "s390x"},
            "main",
            "Memory hotplug is only available for x86_64 VMs",
        ),
        (
            _machine(
                memory={"guest": "1Gi", "maxGuest": "4Gi"},
                launchSecurity={"sev": {}},
                firmware={"bootloader": {"efi": {"secureBoot": False}}},
            ),
            "main",
            "Memory hotplug is not compatible with encrypted VMs",
        ),
    ],
)
def test_what_memory_hotplug_asks_of_a_template(spec: dict[str, Any], column: str, message: str) -> None:
    expected = [("spec.template.spec.domain.memory.guest", message)] if message else []
    found = [cause for cause in _vm_messages(_vm(spec), column) if "page size" not in cause[1]]
    assert found == expected


def test_memory_hotplug_on_arm64_ended_with_v1_7() -> None:
    spec = _machine(memory={"guest": "1Gi", "maxGuest": "4Gi"}) | {"architecture": "arm64"}
    last = "Memory hotplug is only available for x86_64 VMs"
    assert [cause[1] for cause in _vm_messages(_vm(spec), "main")] == [last]
    gate = "MultiArchitecture feature gate is not enabled in kubevirt-config, invalid entry "
    at = "spec.template.spec.architecture"
    assert [cause[1] for cause in _vm_messages(_vm(spec), "v1.7")] == [gate + at, last]
    assert [cause[1] for cause in _vm_messages(_vm(spec), "v1.6")] == [gate + at]
