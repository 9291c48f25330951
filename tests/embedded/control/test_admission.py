"""What admission lets through and refuses is what a real cluster's API answered."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness.embedded.api.errors import ApiError
from harness.embedded.api.resources import KUBEVIRTS, PODS, VMIS
from harness.embedded.clock import Clock
from harness.embedded.control.admission import Admission, Admitted
from harness.units import Seconds
from tests.embedded.recorded import RECORDINGS

CONFIGURATION: dict[str, Any] = {"developerConfiguration": {"useEmulation": True}}


def answers() -> Iterator[Any]:
    with gzip.open(RECORDINGS / "kubevirt-api-answers.ndjson.gz") as lines:
        for case in map(json.loads, lines):
            if case["method"] == "POST":
                yield pytest.param(case, id=case["case"])


def cr_answers() -> Iterator[Any]:
    with gzip.open(RECORDINGS / "kubevirt-api-answers.ndjson.gz") as lines:
        for case in map(json.loads, lines):
            if case["method"] == "PATCH":
                yield pytest.param(case, id=case["case"])


def accepted() -> Iterator[Any]:
    with gzip.open(RECORDINGS / "kubevirt-resource-matrix.ndjson.gz") as lines:
        for case in map(json.loads, lines):
            if case["kubectl"]["rc"] == 0:
                yield pytest.param(case, id=f"{case['settings']}-{case['case']}")


def admit(
    resource: Any, obj: dict[str, Any], *, operation: Any = "CREATE", strict: bool, **more: Any
) -> Admitted:
    async def main() -> Admitted:
        configuration = more.get("configuration", CONFIGURATION)
        admission = Admission(
            Clock(Seconds(1.8e9)), column="main", configuration=lambda: configuration, seed=1
        )
        return admission(resource, operation, obj, more.get("old"), strict=strict)

    return asyncio.run(main())


def named(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "namespace": "default"}}


@pytest.mark.parametrize("case", list(answers()))
def test_vmis_are_answered_as_recorded(case: dict[str, Any]) -> None:
    strict = "fieldValidation=Strict" in case["path"]
    answer = case["answer"]
    if answer["status"] >= 400:
        with pytest.raises(ApiError) as refused:
            admit(VMIS, named(case["request"]), strict=strict)
        assert refused.value.status == answer["body"]
        return
    admitted = admit(VMIS, named(case["request"]), strict=strict)
    if "fieldValidation=Ignore" not in case["path"]:  # the server drops these warnings itself
        assert [f"299 - {json.dumps(text)}" for text in admitted.warnings] == (answer["warnings"] or [])
    ours, theirs = admitted.obj, answer["body"]
    assert without_uuid(ours["spec"]) == without_uuid(theirs["spec"])
    for status in (ours["status"], theirs["status"]):
        status["phaseTransitionTimestamps"][0].pop("phaseTransitionTimestamp")
    assert ours["status"] == theirs["status"]
    assert ours["metadata"]["finalizers"] == theirs["metadata"]["finalizers"]
    assert ours["metadata"]["annotations"] == theirs["metadata"]["annotations"]


def without_uuid(spec: dict[str, Any]) -> dict[str, Any]:
    uuid = spec["domain"]["firmware"].pop("uuid")
    assert len(uuid) == 36
    return spec


@pytest.mark.parametrize("case", list(accepted()))
def test_what_is_stored_of_a_vmi_is_what_was_stored(case: dict[str, Any]) -> None:
    percent = {"default": 100, "overcommit-150": 150}[case["settings"]]
    configuration = {"developerConfiguration": {"useEmulation": True, "memoryOvercommit": percent}}
    admitted = admit(VMIS, named(case["request"]), strict=True, configuration=configuration)
    assert without_uuid(admitted.obj["spec"]) == without_uuid(case["vmi"]["spec"])


@pytest.mark.parametrize("case", list(cr_answers()))
def test_the_kubevirt_cr_is_answered_as_recorded(case: dict[str, Any]) -> None:
    cr = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        **case["request"],
    }
    if case["answer"]["status"] >= 400:
        with pytest.raises(ApiError) as refused:
            admit(KUBEVIRTS, cr, operation="UPDATE", strict=False)
        assert refused.value.status == case["answer"]["body"]
    else:
        assert admit(KUBEVIRTS, cr, operation="UPDATE", strict=False).obj["spec"] == case["request"]["spec"]


def vmi(**domain: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}, **domain}},
    }


def test_a_value_of_the_wrong_type_is_named() -> None:
    with pytest.raises(ApiError) as refused:
        admit(VMIS, vmi(cpu={"cores": "two"}), strict=True)
    assert refused.value.status["code"] == 422
    assert refused.value.status["details"]["causes"][0]["field"] == "spec.domain.cpu.cores"


def test_the_spec_of_a_vmi_may_not_be_changed() -> None:
    old = admit(VMIS, vmi(), strict=True).obj
    new = {**old, "spec": {**old["spec"], "terminationGracePeriodSeconds": 5}}
    with pytest.raises(ApiError, match="update of VMI object is restricted"):
        admit(VMIS, new, operation="UPDATE", strict=True, old=old)
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    assert admit(VMIS, labelled, operation="UPDATE", strict=True, old=old).obj == labelled


def test_a_pod_gets_its_qos_class() -> None:
    amounts = {"cpu": "1", "memory": "1Gi"}
    pod = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "containers": [{"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}}]
        },
    }
    assert admit(PODS, pod, strict=True).obj["status"]["qosClass"] == "Guaranteed"
