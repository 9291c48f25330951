"""A VM with its instance type and preference in one YAML file: what is explained, what is refused, where it points."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.explain.companions import documents, resolve
from harness.explain.explain import exit_code, explain
from harness.explain.model import Explanation
from harness.explain.sources import read_manifest

_TYPE = """\
apiVersion: instancetype.kubevirt.io/v1beta1
kind: VirtualMachineClusterInstancetype
metadata: {name: small}
spec:
  cpu: {guest: 4}
  memory: {guest: 2Gi, overcommitPercent: 25}
"""
_PREFERENCE = """\
apiVersion: instancetype.kubevirt.io/v1beta1
kind: VirtualMachinePreference
metadata: {name: headless}
spec:
  cpu: {preferredCPUTopology: cores}
  devices: {preferredAutoattachGraphicsDevice: false}
  requirements: {memory: {guest: 1Gi}}
"""
_VM = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: vm}
spec:
  runStrategy: Always
  instancetype: {name: small}
  preference: {kind: virtualmachinepreference, name: headless}
  template:
    spec:
      domain:
        devices: {}
"""


def _explain(*parts: str, column: str = "main") -> Explanation:
    manifest = read_manifest("---\n".join(parts), "a.yaml", column=column)
    (explanation,) = explain([manifest], column=column)
    return explanation


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_vm_is_explained_with_what_its_instance_type_sets(order: tuple[int, int, int]) -> None:
    parts = (_TYPE, _PREFERENCE, _VM)
    explanation = _explain(*(parts[index] for index in order))
    assert explanation.mistakes == ()
    assert exit_code([explanation]) == 0
    assert explanation.pod is not None
    compute = explanation.pod.container("compute")
    # 2Gi - 25 % = 1536Mi, and an overhead of 283Mi: 3Mi of page tables, 4 vCPUs, no graphics
    requests = compute.resources["requests"]
    assert (requests["cpu"], requests["memory"]) == ("400m", "1819Mi")
    assert explanation.vmi is not None
    cpu = explanation.vmi["spec"]["template"]["spec"]["domain"]["cpu"]
    assert (cpu["sockets"], cpu["cores"], cpu["threads"]) == (1, 4, 1)
    assert [caution.id for caution in explanation.cautions if caution.id == "INSTANCETYPE"] == []


def test_the_clusters_percentage_does_not_apply_beside_the_instance_types() -> None:
    manifest = read_manifest(f"{_TYPE}---\n{_PREFERENCE}---\n{_VM}", "a.yaml")
    configuration = {"developerConfiguration": {"memoryOvercommit": 200}}
    (explanation,) = explain([manifest], kubevirt_config=configuration)
    assert explanation.pod is not None
    assert explanation.pod.container("compute").resources["requests"]["memory"] == "1819Mi"


def _lines(explanation: Explanation) -> list[str]:
    return [str(mistake) for mistake in explanation.mistakes]


def test_what_both_set_is_refused_where_it_stands() -> None:
    vm = _VM.replace("devices: {}", "devices: {}\n        memory: {guest: 1Gi}\n        cpu: {cores: 2}")
    explanation = _explain(_TYPE, _PREFERENCE, vm)
    words = "conflicts with selected instance type"
    at = "VM field(s) spec.template.spec.domain"
    assert explanation.admission.message == f"{at}.cpu.cores {words}, {at}.memory.guest {words}"
    assert explanation.admission.status is not None
    assert explanation.admission.status["message"].startswith(
        'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: VM field(s)'
    )
    assert _lines(explanation) == [
        f"a.yaml:28:22: {at}.cpu.cores {words}",
        f"a.yaml:27:25: {at}.memory.guest {words}",
    ]
    assert exit_code([explanation]) == 2


def test_what_a_preference_requires_is_asked_of_the_instance_type() -> None:
    explanation = _explain(_TYPE, _PREFERENCE.replace("guest: 1Gi", "guest: 3Gi"), _VM)
    text = "insufficient Memory resources of 2Gi provided by instance type, preference requires 3Gi"
    assert explanation.admission.message == f"failure checking preference requirements: {text}"
    assert _lines(explanation)[0].startswith("a.yaml:21:3: failure checking preference requirements")


def test_vcpus_that_cannot_be_spread_are_refused() -> None:
    explanation = _explain(_TYPE.replace("guest: 4", "guest: 5"), _PREFERENCE.replace("cores", "spread"), _VM)
    assert explanation.admission.message.startswith("5 vCPUs provided by the instance type are not divisible")


@pytest.mark.parametrize(
    ("part", "line"),
    [
        (
            _TYPE.replace("overcommitPercent", "overcommitPercentage"),
            "a.yaml:6:24: unknown field \"spec.memory.overcommitPercentage\" (did you mean 'overcommitPercent'?)",
        ),
        (
            _TYPE.replace("25", "125"),
            "a.yaml:6:43: spec.memory.overcommitPercent '125': must be in range between 0 and 100.",
        ),
        (_TYPE.replace("  cpu: {guest: 4}\n", ""), "a.yaml:4:1: spec.cpu is required"),
        (
            _TYPE.replace("v1beta1", "v1"),
            (
                "a.yaml:1:13: apiVersion 'instancetype.kubevirt.io/v1' is not served; "
                "expected instancetype.kubevirt.io/v1beta1"
            ),
        ),
    ],
)
def test_mistakes_of_an_instance_type_point_into_it(part: str, line: str) -> None:
    explanation = _explain(part, _PREFERENCE, _VM)
    assert _lines(explanation)[0] == line
    assert exit_code([explanation]) == 2


def test_a_field_newer_than_the_version_is_unknown_in_a_preference_too() -> None:
    preference = _PREFERENCE + "  preferredArchitecture: amd64\n"
    assert _lines(_explain(_TYPE, preference, _VM)) == []
    assert _lines(_explain(_TYPE, preference, _VM, column="v1.6"))[0] == (
        'a.yaml:15:3: unknown field "spec.preferredArchitecture"; KubeVirt has it since v1.7'
    )


def test_an_instance_type_that_is_not_in_the_file_is_asked_for() -> None:
    explanation = _explain(_VM)
    assert _lines(explanation) == [
        (
            "a.yaml:6:3: VirtualMachineClusterInstancetype small and VirtualMachinePreference headless: not in this "
            "file; add what the VM names as a further YAML document, after a line with ---"
        )
    ]


def test_a_preference_that_is_not_in_the_file_is_a_caution() -> None:
    explanation = _explain(_TYPE, _VM)
    assert explanation.mistakes == ()
    (caution,) = [caution for caution in explanation.cautions if caution.id == "INSTANCETYPE"]
    assert caution.text.startswith("VirtualMachinePreference headless: not in this file")


@pytest.mark.parametrize(
    "parts", [(_VM, _VM), (_TYPE, _PREFERENCE), (_TYPE, _VM, _VM), (_VM, "kind: ConfigMap\n")]
)
def test_other_sets_of_documents_are_refused(parts: tuple[str, ...]) -> None:
    (line,) = _lines(_explain(*parts))
    assert re.fullmatch(r"a\.yaml:\d+:1: a second YAML document begins here; one document a file", line)


def test_a_vmi_beside_an_instance_type_is_explained_as_if_alone() -> None:
    vmi = "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: a}\n"
    vmi += "spec: {domain: {devices: {}, memory: {guest: 64Mi}}}\n"
    explanation = _explain(_TYPE, vmi)
    assert explanation.mistakes == ()
    assert explanation.pod is not None
    assert explanation.pod.container("compute").resources["requests"]["memory"] == "352Mi"  # 64 + 288


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", ["a: 1\n"]),
        ("---\na: 1\n---\nb: 1\n", ["---\na: 1\n", "\n\n---\nb: 1\n"]),
        ("# only this\n---\na: 1\n---\n# nothing\n", ["\n---\na: 1\n"]),
        ("a: |\n  ---\n  b\n--- # c\nd: 1\n", ["a: |\n  ---\n  b\n", "\n\n\n--- # c\nd: 1\n"]),
        ("a: 1\n----\n", ["a: 1\n----\n"]),
    ],
)
def test_documents_stay_where_they_stood(text: str, expected: list[str]) -> None:
    assert documents(text) == expected


@pytest.mark.parametrize(
    ("matcher", "found"),
    [
        ({"name": "a"}, "cluster"),
        ({"name": "a", "kind": "VirtualMachineInstancetype"}, "own"),
        ({"name": "a", "kind": "virtualmachineinstancetypes"}, "own"),
        ({"name": "a", "kind": "VirtualMachineClusterInstancetype"}, "cluster"),
        ({"name": "b"}, None),
        ({"name": "a", "kind": "Flavour"}, None),
        ({"inferFromVolume": "root"}, None),
    ],
)
def test_which_instance_type_is_meant(matcher: dict[str, Any], found: str | None) -> None:
    companions = tuple(
        {"kind": kind, "metadata": {"name": "a"}, "spec": {"is": which}}
        for kind, which in (
            ("VirtualMachineInstancetype", "own"),
            ("VirtualMachineClusterInstancetype", "cluster"),
        )
    )
    resolved = resolve({"spec": {"instancetype": matcher}}, companions)
    assert resolved.instancetype == (None if found is None else {"is": found})
    assert (resolved.lacking == ()) is (found is not None)
