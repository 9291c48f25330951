"""What a real API server answered to good and bad manifests and settings."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from harness.rules import admission, schema
from harness.rules.defaults import default_vmi
from harness.rules.errors import QuantityError
from tests.rules.matrix import ANSWERS

_KIND = "VirtualMachineInstance"
_CREATED = [
    case for case, line in ANSWERS.items() if line["method"] == "POST" and line["answer"]["status"] == 201
]
_VMI_REFUSED = [
    case for case, line in ANSWERS.items() if line["method"] == "POST" and line["answer"]["status"] >= 400
]
_CR = [case for case, line in ANSWERS.items() if line["method"] == "PATCH"]
_ELSEWHERE = {
    "vnc-headless": "answered by the subresource API, not by admission",
    "vnc-missing": "answered by the subresource API, not by admission",
    "console-missing": "answered by the subresource API, not by admission",
    "kubelet-bad-node": "answered by the API server's node proxy",
}


def test_every_answer_is_judged_or_named() -> None:
    assert {*_CREATED, *_VMI_REFUSED, *_CR, *_ELSEWHERE} == set(ANSWERS)
    assert len(ANSWERS) == 25


def _warnings(line: dict[str, Any]) -> list[str] | None:
    out: list[str] = []
    request = line["request"]
    if request["apiVersion"].endswith("v1alpha3"):
        out.append(schema.DEPRECATED_V1ALPHA3)
    if "fieldValidation=Ignore" not in line["path"] and "Strict" not in line["path"]:
        out += [schema.warning(problem) for problem in schema.unknown(request, _KIND)]
    return [f"299 - {json.dumps(text)}" for text in out] or None


@pytest.mark.parametrize("case", _CREATED)
def test_created_objects_are_pruned_and_defaulted_as_recorded(case: str) -> None:
    line = ANSWERS[case]
    assert _warnings(line) == line["answer"]["warnings"]
    defaulted = default_vmi(schema.prune(line["request"], _KIND), column="main")
    assert admission.validate_vmi(defaulted, column="main") == []
    theirs = copy.deepcopy(line["answer"]["body"]["spec"])
    theirs["domain"]["firmware"].pop("uuid")
    defaulted["spec"]["domain"].setdefault("firmware", {})
    assert defaulted["spec"] == theirs


def _answer(line: dict[str, Any]) -> dict[str, Any]:
    request = line["request"]
    unknown = schema.unknown(request, _KIND)
    if unknown and "fieldValidation=Strict" in line["path"]:
        return admission.status(schema.strict_message(_KIND, unknown), code=400, reason="BadRequest")
    try:
        defaulted = default_vmi(request, column="main")
    except QuantityError as error:
        return admission.undecodable(admission.MUTATOR, error)
    causes = admission.validate_vmi(defaulted, column="main")
    assert causes
    return admission.refused(admission.CREATE_VALIDATOR, causes)


@pytest.mark.parametrize("case", _VMI_REFUSED)
def test_refused_manifests_get_the_recorded_status(case: str) -> None:
    line = ANSWERS[case]
    assert _answer(line) == line["answer"]["body"]
    assert line["answer"]["warnings"] is None


@pytest.mark.parametrize("case", _CR)
def test_settings_get_the_recorded_answer(case: str) -> None:
    line = ANSWERS[case]
    refusal = admission.validate_configuration(line["request"]["spec"]["configuration"])
    if line["answer"]["status"] == 200:
        assert refusal is None
    else:
        assert refusal is not None
        assert admission.kubevirt_status(refusal) == line["answer"]["body"]
