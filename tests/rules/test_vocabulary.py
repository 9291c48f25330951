"""Field tree, admission beyond the recordings, phases and durations."""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules import admission, schema
from harness.rules.defaults import default_vmi
from harness.rules.durations import parse_duration, text
from harness.rules.errors import ThresholdError
from harness.rules.phase import outcome, restarts, start_backoff

_KIND = "VirtualMachineInstance"


def _vmi(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "kubevirt.io/v1", "kind": _KIND, "metadata": {"name": "a"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "path", "kind", "suggestion"),
    [
        (
            {"domain": {"devices": {"autottachGraphicsDevice": False}}},
            "spec.domain.devices.autottachGraphicsDevice",
            "unknown",
            "autoattachGraphicsDevice",
        ),
        ({"domain": {"memory": {"Guest": "1Gi"}}}, "spec.domain.memory.Guest", "unknown", "guest"),
        ({"domain": {"memory": {"zzz": "1Gi"}}}, "spec.domain.memory.zzz", "unknown", ""),
        (
            {"domain": {"devices": {"disks": [{"name": "a", "dsk": {}}]}}},
            "spec.domain.devices.disks[0].dsk",
            "unknown",
            "disk",
        ),
        (
            {"volumes": [{"name": "a", "containerdisk": {}}]},
            "spec.volumes[0].containerdisk",
            "unknown",
            "containerDisk",
        ),
        (
            {"domain": {"devices": {"autoattachGraphicsDevice": "false"}}},
            "spec.domain.devices.autoattachGraphicsDevice",
            "type",
            "",
        ),
        ({"domain": {"cpu": {"cores": "2"}}}, "spec.domain.cpu.cores", "type", ""),
        ({"domain": {"memory": []}}, "spec.domain.memory", "type", ""),
        ({"volumes": {}}, "spec.volumes", "type", ""),
        ({"domain": {"memory": {"guest": "1GiB"}}}, "spec.domain.memory.guest", "quantity", ""),
        ({"domain": {"memory": {"guest": True}}}, "spec.domain.memory.guest", "type", ""),
        (
            {"domain": {"resources": {"requests": {"memory": "1K"}}}},
            "spec.domain.resources.requests.memory",
            "quantity",
            "",
        ),
    ],
)
def test_field_problems(spec: dict[str, Any], path: str, kind: str, suggestion: str) -> None:
    (problem,) = schema.check(_vmi(spec), _KIND)
    assert (problem.dotted, problem.kind, problem.suggestion) == (path, kind, suggestion)


def test_other_kinds_have_trees_too() -> None:
    vm = {"spec": {"runStrategy": "Always", "template": {"spec": {"domain": {"memmory": {}}}}}}
    (problem,) = schema.check(vm, "VirtualMachine")
    assert problem.dotted == "spec.template.spec.domain.memmory"
    assert problem.suggestion == "memory"
    cr = {
        "spec": {
            "configuration": {"developerConfiguration": {"memoryOvercommit": "150", "memory-overcommit": 1}}
        }
    }
    assert [problem.kind for problem in schema.check(cr, "KubeVirt")] == ["type", "unknown"]


def test_fields_in_the_wrong_place_are_found() -> None:
    assert (
        schema.elsewhere("overcommitGuestOverhead", _KIND) == "spec.domain.resources.overcommitGuestOverhead"
    )
    assert schema.elsewhere("bogus", _KIND) == ""


def test_several_unknown_fields_in_one_message() -> None:
    problems = schema.unknown(_vmi({"a": 1, "domain": {"b": 2}}), _KIND)
    assert schema.strict_message(_KIND, problems) == (
        'VirtualMachineInstance in version "v1" cannot be handled as a VirtualMachineInstance: '
        'strict decoding error: unknown field "spec.a", unknown field "spec.domain.b"'
    )


def test_required_fields_in_kubevirts_words() -> None:
    vmi = _vmi(
        {"domain": {"cpu": {"cores": "2"}, "memory": {"guest": "1Gi"}}, "volumes": [{"containerDisk": {}}]}
    )
    assert [schema.body_message(problem) for problem in schema.missing(vmi, _KIND)] == [
        "spec.domain.devices in body is required",
        "spec.volumes.0.name in body is required",
        "spec.volumes.0.containerDisk.image in body is required",
    ]
    assert [schema.body_message(problem) for problem in schema.check(vmi, _KIND)] == [
        'spec.domain.cpu.cores in body must be of type integer: "string"'
    ]
    status = admission.malformed(admission.MUTATOR, schema.missing(vmi, _KIND)[:1])
    assert status["message"] == (
        'admission webhook "virtualmachineinstances-mutator.kubevirt.io" denied the request: '
        "spec.domain.devices in body is required"
    )
    assert status["details"] == {"causes": [{"message": "spec.domain.devices in body is required"}]}


_POD = [{"name": "default", "pod": {}}]


@pytest.mark.parametrize(
    ("interfaces", "networks", "messages"),
    [
        ([{"name": "default", "masquerade": {}}], _POD, []),
        ([{"name": "default", "bridge": {}, "model": "e1000"}], _POD, []),
        (
            [{"name": "default", "masquerade": {}}],
            [],
            [
                "Masquerade interface only implemented with pod network",
                "spec.domain.devices.interfaces[0].name 'default' not found.",
            ],
        ),
        ([], _POD, ["spec.networks[0].name 'default' not found."]),
        (
            [{"name": "default"}],
            _POD,
            ["logical default interface must have exactly one binding method or binding plugin"],
        ),
        (
            [{"name": "default", "bridge": {}, "model": "vmxnet3"}],
            _POD,
            ["interface spec.domain.devices.interfaces[0].name uses model vmxnet3 that is not supported."],
        ),
        (
            [{"name": "a", "bridge": {}}, {"name": "b", "bridge": {}}],
            [{"name": "a", "pod": {}}, {"name": "b", "pod": {}}],
            ["more than one interface is connected to a pod network in spec.interfaces"],
        ),
        (
            [{"name": "a", "bridge": {}}, {"name": "a", "bridge": {}}],
            [{"name": "a", "multus": {}}],
            [
                "CNI delegating plugin must have a networkName",
                "Only one interface can be connected to one specific network",
            ],
        ),
        ([{"name": "a", "bridge": {}}], [{"name": "a"}], ["should have a network type"]),
    ],
)
def test_networks(
    interfaces: list[dict[str, Any]], networks: list[dict[str, Any]], messages: list[str]
) -> None:
    spec: dict[str, Any] = {
        "domain": {"devices": {"interfaces": interfaces}, "memory": {"guest": "1Gi"}},
        "networks": networks,
    }
    assert _refused(spec) == messages * 2, "the create validator checks networks twice (virt-api api.go)"


def test_pruning_keeps_what_is_known_and_free_maps() -> None:
    vmi = _vmi(
        {"nodeSelector": {"x": "y"}, "domain": {"devices": {"nope": 1, "disks": [{"name": "a", "b": 1}]}}}
    )
    vmi["metadata"]["annotations"] = {"any/thing": "goes"}
    vmi["status"] = {"whatever": 1}
    pruned = schema.prune(vmi, _KIND)
    assert pruned["spec"] == {"nodeSelector": {"x": "y"}, "domain": {"devices": {"disks": [{"name": "a"}]}}}
    assert pruned["metadata"]["annotations"] == {"any/thing": "goes"}
    assert pruned["status"] == {"whatever": 1}


def _refused(spec: dict[str, Any], configuration: dict[str, Any] | None = None) -> list[str]:
    vmi = default_vmi(_vmi(spec), column="main", configuration=configuration)
    return [
        cause.message for cause in admission.validate_vmi(vmi, column="main", configuration=configuration)
    ]


_AT = "spec.domain.resources"


@pytest.mark.parametrize(
    ("spec", "messages"),
    [
        (
            {"domain": {"resources": {"requests": {"memory": "-1Gi"}}}},
            [f"{_AT}.requests.memory '-1Gi': must be greater than or equal to 0."],
        ),
        (
            {"domain": {"resources": {"requests": {"memory": "64k"}}}},
            [f"{_AT}.requests.memory '64k': must be greater than or equal to 1M."],
        ),
        (
            {"domain": {"resources": {"limits": {"memory": "-1Gi"}}, "memory": {"guest": "1Gi"}}},
            [f"{_AT}.limits.memory '-1Gi': must be greater than or equal to 0."],
        ),
        (
            {"domain": {"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mb"}}}},
            [
                (
                    "spec.domain.memory.hugepages.pageSize '2Mb': quantities must match the regular expression "
                    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                )
            ],
        ),
        (
            {"domain": {"memory": {"guest": "1Mi", "hugepages": {"pageSize": "2Mi"}}}},
            [
                (
                    f"{_AT}.requests.memory '0' must be equal to or larger than page size "
                    "spec.domain.memory.hugepages.pageSize '2Mi'"
                )
            ],
        ),
        (
            {"domain": {"memory": {"guest": "1Gi"}, "machine": {"type": "pc"}}},
            ["spec.domain.machine.type is not supported: pc (allowed values: [q35* pc-q35*])"],
        ),
        (
            {"domain": {"memory": {"guest": "1Gi"}, "resources": {"requests": {"cpu": "-1"}}}},
            [f"{_AT}.requests.cpu '-1': must be greater than or equal to 0."],
        ),
        (
            {"domain": {"memory": {"guest": "1Gi"}, "cpu": {"cores": 1, "isolateEmulatorThread": True}}},
            ["IsolateEmulatorThread should be only set in combination with DedicatedCPUPlacement"],
        ),
        (
            {
                "domain": {
                    "cpu": {"dedicatedCpuPlacement": True},
                    "resources": {
                        "requests": {"cpu": "1500m", "memory": "1Gi"},
                        "limits": {"cpu": "1500m", "memory": "1Gi"},
                    },
                }
            },
            [
                "provided resources CPU requests must be an interger",
                "provided resources CPU limits must be an interger",
            ],
        ),
        (
            {"domain": {"memory": {"guest": "1Gi"}, "devices": {"disks": [{"name": "a"}]}}},
            ["spec.domain.devices.disks[0].Name 'a' not found."],
        ),
        (
            {
                "domain": {"memory": {"guest": "1Gi"}},
                "volumes": [{"name": "a", "containerDisk": {"image": "x"}}],
            },
            [],
        ),
        (
            {"domain": {"memory": {"guest": "1Gi", "reservedOverhead": {"addedOverhead": "1Mi"}}}},
            ["Reserved overhead memlock feature gate is not enabled in kubevirt-config"],
        ),
        ({"architecture": "vax", "domain": {"memory": {"guest": "1Gi"}}}, ["unsupported architecture: vax"]),
        ({"domain": {"memory": {"guest": "2Gi"}, "resources": {"limits": {"memory": "1Gi"}}}}, []),
    ],
)
def test_admission(spec: dict[str, Any], messages: list[str]) -> None:
    assert _refused(spec) == messages


def test_a_guest_above_its_limit_is_refused_without_live_update() -> None:
    spec = {"domain": {"memory": {"guest": "2Gi"}, "resources": {"limits": {"memory": "1Gi"}}}}
    assert _refused(spec, {"vmRolloutStrategy": "Stage"}) == [
        (
            "spec.domain.memory.guest '2Gi' must be equal to or less than the memory limit "
            "spec.domain.resources.limits.memory '1Gi'"
        )
    ]


def test_hook_sidecars_need_their_gate() -> None:
    vmi = _vmi({"domain": {"memory": {"guest": "1Gi"}}})
    vmi["metadata"]["annotations"] = {"hooks.kubevirt.io/hookSidecars": "[]"}
    defaulted = default_vmi(vmi, column="main")
    assert [cause.message for cause in admission.validate_vmi(defaulted, column="main")] == [
        (
            "sidecar feature gate is not enabled in kubevirt-config, invalid entry "
            "metadata.annotations.hooks.kubevirt.io/hookSidecars"
        )
    ]
    on = {"developerConfiguration": {"featureGates": ["Sidecar"]}}
    assert admission.validate_vmi(defaulted, column="main", configuration=on) == []


def test_more_than_ten_causes_are_counted() -> None:
    causes = [admission.Cause(admission.INVALID, str(number)) for number in range(12)]
    assert admission.combined(causes) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 2 more validation errors"
    assert len(admission.refused(admission.CREATE_VALIDATOR, causes)["details"]["causes"]) == 10


def test_phases_of_evictions() -> None:
    deaf = outcome("hard-eviction", column="main")
    assert (deaf.vmi_phase, deaf.pod_phase, deaf.pod_reason, deaf.exit_code) == (
        "Failed",
        "Failed",
        "Evicted",
        137,
    )
    assert deaf.disruption
    assert deaf.phase_lag == 39.5
    assert outcome("hard-eviction", column="v1.9").phase_lag == 0.0
    late = outcome("hard-eviction", column="main", clean=True, in_time=False)
    assert (late.vmi_phase, late.pod_phase, late.pod_reason) == ("Succeeded", "Failed", "Evicted")
    clean = outcome("soft-eviction", column="main", clean=True)
    assert (clean.vmi_phase, clean.pod_phase, clean.pod_reason, clean.exit_code) == (
        "Succeeded",
        "Succeeded",
        "",
        0,
    )
    assert clean.disruption
    assert clean.guest_events == ("ShuttingDown",)
    assert outcome("hard-eviction", column="main", vmi_grace=0).vmi_phase == "Succeeded"


def test_phases_of_other_deaths() -> None:
    whole = outcome("container-oom", column="main")
    assert (whole.vmi_phase, whole.pod_phase, whole.exit_code) == ("Failed", "Failed", 137)
    single = outcome("container-oom", column="main", group_kill=False)
    assert (single.vmi_phase, single.pod_phase, single.exit_code, single.container_reason) == (
        "Failed",
        "Succeeded",
        0,
        "OOMKilled",
    )
    assert outcome("guest-shutdown", column="main").vmi_phase == "Succeeded"
    assert outcome("guest-panic", column="main").vmi_phase == "Failed"
    assert outcome("qemu-killed", column="main").vmi_phase == "Failed"
    assert outcome("launcher-killed", column="main").pod_phase == "Failed"


def test_restarts() -> None:
    assert restarts("Always", "Succeeded")
    assert restarts("Always", "Failed")
    assert restarts("RerunOnFailure", "Failed")
    assert not restarts("RerunOnFailure", "Succeeded")
    assert not restarts("Manual", "Failed")
    assert not restarts("Always", "Running")
    assert [start_backoff(n) for n in (1, 2, 5, 6)] == [10.0, 40.0, 250.0, 300.0]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("500ms", 0.5),
        ("-1s", -1.0),
        ("0", 0.0),
        ("1.5m", 90.0),
        (".5s", 0.5),
    ],
)
def test_durations(written: str, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize("written", ["", "s", "1", "1x", "1s ", "--1s", "1 s"])
def test_bad_durations(written: str) -> None:
    with pytest.raises(ThresholdError, match=r"^time: "):
        parse_duration(written)


def test_durations_are_printed_as_go_does() -> None:
    assert [text(seconds) for seconds in (10, 90, 300, 3605)] == ["10s", "1m30s", "5m0s", "1h0m5s"]
