"""Instance types and preferences: what they make of a template, what they clash with, what they require.

Source: KubeVirt pkg/instancetype/{apply,preference,webhooks} (main), their unit tests' cases among these; v1.6.0 …/apply/memory.go.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.instancetype import apply, instancetype_causes, overcommit_request
from harness.rules.preference import (
    apply_preference,
    preference_causes,
    requirement_causes,
    spread_causes,
    topology,
)
from harness.rules.quantities import Quantity


@pytest.mark.parametrize(
    ("guest", "percent", "request_"),
    [
        ("1Gi", 15, "912680576"),  # 1073741824 x 0.85 in float32
        ("2Gi", 50, "1Gi"),
        ("128Mi", 10, "120795952"),
        ("1G", 20, "800M"),
        ("1Gi", 100, "0"),
        ("1Gi", 0, "1Gi"),
    ],
)
def test_percentages_are_float32(guest: str, percent: int, request_: str) -> None:
    assert str(overcommit_request(Quantity.parse(guest), percent)) == request_


def _applied(
    template: dict[str, Any],
    *,
    instancetype: dict[str, Any] | None = None,
    preference: dict[str, Any] | None = None,
    column: str = "main",
) -> dict[str, Any]:
    applied = apply(template, instancetype=instancetype, preference=preference, column=column)
    assert applied.conflicts == ()
    return applied.template


def test_all_that_an_instance_type_sets() -> None:
    before = {"metadata": {"annotations": {"a": "vm"}}, "spec": {"domain": {"devices": {"rng": {}}}}}
    template = _applied(
        before,
        instancetype={
            "annotations": {"a": "vm", "b": "type"},
            "cpu": {
                "guest": 2,
                "dedicatedCPUPlacement": True,
                "isolateEmulatorThread": True,
                "maxSockets": 4,
            },
            "gpus": [{"name": "g"}],
            "ioThreads": {"supplementalPoolThreadCount": 3},
            "ioThreadsPolicy": "supplementalPool",
            "launchSecurity": {"sev": {}},
            "memory": {"guest": "2Gi", "maxGuest": "4Gi", "overcommitPercent": 50},
            "nodeSelector": {"n": "1"},
            "schedulerName": "s",
        },
    )
    assert template == {
        "metadata": {"annotations": {"a": "vm", "b": "type"}},
        "spec": {
            "domain": {
                "cpu": {
                    "cores": 1,
                    "dedicatedCpuPlacement": True,
                    "isolateEmulatorThread": True,
                    "maxSockets": 4,
                    "sockets": 2,
                    "threads": 1,
                },
                "devices": {"gpus": [{"name": "g"}], "rng": {}},
                "ioThreads": {"supplementalPoolThreadCount": 3},
                "ioThreadsPolicy": "supplementalPool",
                "launchSecurity": {"sev": {}},
                "memory": {"guest": "2Gi", "maxGuest": "4Gi"},
                "resources": {"requests": {"memory": "1Gi"}},
            },
            "nodeSelector": {"n": "1"},
            "schedulerName": "s",
        },
    }
    assert before["spec"] == {"domain": {"devices": {"rng": {}}}}  # left as it was


def test_hugepages_of_an_instance_type() -> None:
    instancetype = {"cpu": {"guest": 1}, "memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}}
    template = _applied({"spec": {"domain": {"devices": {}}}}, instancetype=instancetype)
    assert template["spec"]["domain"]["memory"] == {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}
    assert "resources" not in template["spec"]["domain"]


_TYPE = {"cpu": {"guest": 1}, "memory": {"guest": "1Gi"}}


@pytest.mark.parametrize(
    ("domain", "more", "column", "paths"),
    [
        ({"memory": {"guest": "1Gi"}}, {}, "main", ["domain.memory.guest"]),
        ({"memory": {"guest": "1Gi"}}, {}, "v1.6", ["domain.memory"]),
        ({"memory": {"hugepages": {"pageSize": "2Mi"}}}, {}, "main", []),
        ({"memory": {"hugepages": {"pageSize": "2Mi"}}}, {}, "v1.6", ["domain.memory"]),
        (
            {"memory": {"hugepages": {"pageSize": "2Mi"}}},
            {"memory": {"guest": "1Gi", "hugepages": {"pageSize": "1Gi"}}},
            "main",
            ["domain.memory.hugepages"],
        ),
        (
            {"memory": {"maxGuest": "2Gi"}},
            {"memory": {"guest": "1Gi", "maxGuest": "4Gi"}},
            "main",
            ["domain.memory.maxGuest"],
        ),
        (
            {
                "resources": {
                    "requests": {"memory": "1Gi", "cpu": "1"},
                    "limits": {"memory": "1Gi", "cpu": "1"},
                }
            },
            {},
            "main",
            [
                "domain.resources.requests.cpu",
                "domain.resources.limits.cpu",
                "domain.resources.requests.memory",
            ],
        ),
        ({"resources": {"limits": {"memory": "1Gi"}}}, {}, "v1.7", ["domain.resources.limits.memory"]),
        (
            {"cpu": {"sockets": 1, "cores": 1, "threads": 1, "model": "host-model"}},
            {},
            "main",
            ["domain.cpu.sockets", "domain.cpu.cores", "domain.cpu.threads"],
        ),
        (
            {"cpu": {"model": "m", "dedicatedCpuPlacement": True, "numa": {}, "realtime": {}}},
            {"cpu": {"guest": 1, "model": "n", "dedicatedCPUPlacement": False, "numa": {}, "realtime": {}}},
            "main",
            [
                "domain.cpu.model",
                "domain.cpu.dedicatedCPUPlacement",
                "domain.cpu.numa",
                "domain.cpu.realtime",
            ],
        ),
        (
            {"cpu": {"dedicatedCpuPlacement": False}},
            {"cpu": {"guest": 1, "dedicatedCPUPlacement": True}},
            "main",
            [],
        ),
        ({"launchSecurity": {}}, {"launchSecurity": {"sev": {}}}, "main", ["domain.launchSecurity"]),
        ({"ioThreadsPolicy": "auto"}, {"ioThreadsPolicy": "shared"}, "main", ["domain.ioThreadsPolicy"]),
        ({"devices": {"gpus": [{}]}}, {"gpus": [{}]}, "main", ["domain.devices.gpus"]),
    ],
)
def test_what_both_set_is_a_conflict(
    domain: dict[str, Any], more: dict[str, Any], column: str, paths: list[str]
) -> None:
    template = {"spec": {"domain": {"devices": {}, **domain}}}
    applied = apply(template, instancetype=_TYPE | more, preference=None, column=column)
    full = [f"spec.template.spec.{path}" for path in paths]
    assert [cause.field for cause in applied.conflicts] == full
    words = [f"VM field(s) {path} conflicts with selected instance type" for path in full]
    assert [cause.message for cause in applied.conflicts] == words
    if paths:
        assert applied.template == template


def test_annotations_conflict_when_they_differ() -> None:
    template = {"metadata": {"annotations": {"a": "1"}}, "spec": {"domain": {}}}
    instancetype = _TYPE | {"annotations": {"a": "2"}}
    (cause,) = apply(template, instancetype=instancetype, preference=None, column="main").conflicts
    assert cause.message == "VM field(s) annotations.a conflicts with selected instance type"


@pytest.mark.parametrize(
    ("memory", "messages"),
    [
        ({"guest": "1Gi", "overcommitPercent": 100}, []),
        (
            {"guest": "1Gi", "overcommitPercent": 101},
            ["spec.memory.overcommitPercent '101': must be in range between 0 and 100."],
        ),
        (
            {"guest": "1Gi", "overcommitPercent": -1, "hugepages": {}},
            [
                "spec.memory.overcommitPercent '-1': must be in range between 0 and 100.",
                "spec.memory.overcommitPercent and spec.memory.hugepages should not be requested together.",
            ],
        ),
    ],
)
def test_instance_types_that_are_refused(memory: dict[str, Any], messages: list[str]) -> None:
    assert [cause.message for cause in instancetype_causes({"memory": memory})] == messages


def _spread(across: str | None = None, ratio: int | None = None, **more: Any) -> dict[str, Any]:
    options = {name: value for name, value in (("across", across), ("ratio", ratio)) if value is not None}
    return {"cpu": {"preferredCPUTopology": "spread", "spreadOptions": options}, **more}


@pytest.mark.parametrize(
    ("vcpus", "preference", "expected"),
    [
        (1, {"cpu": {"preferredCPUTopology": "cores"}}, (1, 1, 1)),
        (4, None, (4, 1, 1)),
        (4, {}, (4, 1, 1)),
        (4, {"cpu": {"preferredCPUTopology": "any"}}, (4, 1, 1)),
        (4, {"cpu": {"preferredCPUTopology": "preferCores"}}, (1, 4, 1)),
        (4, {"cpu": {"preferredCPUTopology": "threads"}}, (1, 1, 4)),
        (8, _spread(), (4, 2, 1)),
        (8, _spread(preferSpreadSocketToCoreRatio=4), (2, 4, 1)),
        (8, _spread("SocketsCores", 4, preferSpreadSocketToCoreRatio=2), (2, 4, 1)),
        (8, _spread("CoresThreads"), (1, 4, 2)),
        (8, _spread("SocketsCoresThreads"), (2, 2, 2)),
    ],
)
def test_topologies(vcpus: int, preference: dict[str, Any] | None, expected: tuple[int, int, int]) -> None:
    found = topology(vcpus, preference)
    assert (found["sockets"], found["cores"], found["threads"]) == expected


@pytest.mark.parametrize(
    ("vcpus", "preference", "message"),
    [
        (
            5,
            _spread(),
            (
                "5 vCPUs provided by the instance type are not divisible by the Spec.PreferSpreadSocketToCoreRatio "
                "or Spec.CPU.PreferSpreadOptions.Ratio of 2 provided by the preference"
            ),
        ),
        (
            5,
            _spread("CoresThreads"),
            "5 vCPUs provided by the instance type are not divisible by the number of threads per core 2",
        ),
        (
            6,
            _spread("SocketsCoresThreads"),
            (
                "6 vCPUs provided by the instance type are not divisible by the number of threads per core 2 and "
                "Spec.PreferSpreadSocketToCoreRatio or Spec.CPU.PreferSpreadOptions.Ratio of 2"
            ),
        ),
        (8, _spread("SocketsCoresThreads"), ""),
        (5, {"cpu": {"preferredCPUTopology": "cores"}}, ""),
    ],
)
def test_vcpus_that_cannot_be_spread(vcpus: int, preference: dict[str, Any], message: str) -> None:
    causes = spread_causes({"cpu": {"guest": vcpus}}, preference)
    assert [cause.message for cause in causes] == ([message] if message else [])
    assert spread_causes(None, preference) == []


@pytest.mark.parametrize(
    ("preference", "messages"),
    [
        ({}, []),
        (_spread(), []),
        (_spread("CoresThreads", 2), []),
        (
            _spread("CoresThreads", 4),
            ["only a ratio of 2 (1 core 2 threads) is allowed when spreading vCPUs over cores and threads"],
        ),
        (_spread("Everything"), ["across Everything is not supported"]),
        (
            {"cpu": {"preferredCPUTopology": "preferEverything"}},
            ["unknown preferredCPUTopology preferEverything"],
        ),
    ],
)
def test_preferences_that_are_refused(preference: dict[str, Any], messages: list[str]) -> None:
    assert [cause.message for cause in preference_causes(preference)] == messages


def test_a_preference_fills_in_and_never_overwrites_but_acpi() -> None:
    preference = {
        "annotations": {"a": "preference", "b": "preference"},
        "cpu": {"preferredCPUFeatures": [{"name": "x"}, {"name": "y", "policy": "require"}]},
        "devices": {
            "preferredAutoattachGraphicsDevice": False,
            "preferredAutoattachSerialConsole": False,
            "preferredTPM": {},
            "preferredVideoType": "bochs",
        },
        "features": {"preferredAcpi": {}, "preferredSmm": {}},
        "firmware": {"preferredUseEfi": True, "preferredUseSecureBoot": True},
        "machine": {"preferredMachineType": "pc-q35-rhel9.4.0"},
        "preferredArchitecture": "amd64",
        "preferredSubdomain": "s",
        "preferredTerminationGracePeriodSeconds": 180,
    }
    empty: dict[str, Any] = {"spec": {"domain": {"devices": {}}}}
    apply_preference(empty, preference)
    assert empty == {
        "metadata": {"annotations": {"a": "preference", "b": "preference"}},
        "spec": {
            "architecture": "amd64",
            "domain": {
                "cpu": {"features": [{"name": "x"}, {"name": "y", "policy": "require"}]},
                "devices": {
                    "autoattachGraphicsDevice": False,
                    "autoattachSerialConsole": False,
                    "tpm": {},
                    "video": {"type": "bochs"},
                },
                "features": {"acpi": {}, "smm": {}},
                "firmware": {"bootloader": {"efi": {"secureBoot": True}}},
                "machine": {"type": "pc-q35-rhel9.4.0"},
            },
            "subdomain": "s",
            "terminationGracePeriodSeconds": 180,
        },
    }
    full: dict[str, Any] = {
        "metadata": {"annotations": {"a": "vm"}},
        "spec": {
            "architecture": "s390x",
            "domain": {
                "cpu": {"features": [{"name": "y"}]},
                "devices": {
                    "autoattachGraphicsDevice": True,
                    "autoattachSerialConsole": True,
                    "tpm": {"enabled": False},
                    "video": {"type": "vga"},
                },
                "features": {"acpi": {"enabled": False}, "smm": {"enabled": False}},
                "firmware": {"bootloader": {"bios": {}}},
                "machine": {"type": "q35"},
            },
            "subdomain": "t",
            "terminationGracePeriodSeconds": 0,
        },
    }
    apply_preference(full, preference)
    assert full == {
        "metadata": {"annotations": {"a": "vm", "b": "preference"}},
        "spec": {
            "architecture": "s390x",
            "domain": {
                "cpu": {"features": [{"name": "y"}, {"name": "x"}]},
                "devices": {
                    "autoattachGraphicsDevice": True,
                    "autoattachSerialConsole": True,
                    "tpm": {"enabled": False},
                    "video": {"type": "vga"},
                },
                "features": {"acpi": {}, "smm": {"enabled": False}},
                "firmware": {"bootloader": {"bios": {}}},
                "machine": {"type": "q35"},
            },
            "subdomain": "t",
            "terminationGracePeriodSeconds": 0,
        },
    }


_NEEDS = {"requirements": {"cpu": {"guest": 4}, "memory": {"guest": "2Gi"}, "architecture": "amd64"}}
_CHECKING = "failure checking preference requirements: "


@pytest.mark.parametrize(
    ("instancetype", "spec", "field", "message"),
    [
        (
            {"cpu": {"guest": 2}, "memory": {"guest": "2Gi"}},
            {},
            "spec.instancetype",
            "insufficient CPU resources of 2 vCPU provided by instance type, preference requires 4 vCPU",
        ),
        (
            {"cpu": {"guest": 4}, "memory": {"guest": "1Gi"}},
            {"domain": {"memory": {"guest": "1Gi"}}},
            "spec.instancetype",
            "insufficient Memory resources of 1Gi provided by instance type, preference requires 2Gi",
        ),
        (
            None,
            {"domain": {"cpu": {"sockets": 2, "cores": 2, "threads": 1}, "memory": {"guest": "2Gi"}}},
            "spec.template.spec.domain.cpu.sockets",
            (
                "insufficient CPU resources of 2 vCPU provided by VirtualMachine, preference requires 4 vCPU "
                "provided as sockets"
            ),
        ),
        (
            None,
            {"domain": {"cpu": {"sockets": 4, "cores": 1, "threads": 1}, "memory": {"guest": "1Gi"}}},
            "spec.template.spec.domain.memory",
            "insufficient Memory resources of 1Gi provided by VirtualMachine, preference requires 2Gi",
        ),
        (
            {"cpu": {"guest": 4}, "memory": {"guest": "2Gi"}},
            {"architecture": "arm64"},
            "spec.template.spec.architecture",
            "preference requires architecture amd64 but arm64 is being requested",
        ),
    ],
)
def test_what_a_preference_requires(
    instancetype: dict[str, Any] | None, spec: dict[str, Any], field: str, message: str
) -> None:
    spec = {"architecture": "amd64", "domain": {}, **spec}
    (cause,) = requirement_causes(spec, instancetype=instancetype, preference=_NEEDS)
    assert (cause.field, cause.message) == (field, _CHECKING + message)
    assert requirement_causes(spec, instancetype=instancetype, preference=None) == []


def test_what_is_required_as_spread_names_all_its_parts() -> None:
    preference = _spread("SocketsCoresThreads") | {"requirements": {"cpu": {"guest": 16}}}
    spec = {"domain": {"cpu": {"sockets": 2, "cores": 2, "threads": 2}}}
    (cause,) = requirement_causes(spec, instancetype=None, preference=preference)
    parts = ("sockets", "cores", "threads")
    assert cause.field == ", ".join(f"spec.template.spec.domain.cpu.{part}" for part in parts)
    assert cause.message.endswith("requires 16 vCPU provided as SocketsCoresThreads")
