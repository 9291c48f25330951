"""The whole recorded matrix: every container's requests and limits and the QoS class, byte for byte; every rejection."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.rules import admission, kubectl, schema
from harness.rules.defaults import default_vmi
from harness.rules.errors import QuantityError
from harness.rules.grace import pod_grace_seconds
from harness.rules.qos import qos_class
from harness.rules.resources import render_resources
from tests.rules.matrix import MATRIX, configuration

_IDS = [f"{line['settings']}/{line['case']}" for line in MATRIX]
_ACCEPTED = [line for line in MATRIX if line["kubectl"]["rc"] == 0]
_REJECTED = [line for line in MATRIX if line["kubectl"]["rc"] != 0]


def _id(line: dict[str, Any]) -> str:
    return f"{line['settings']}/{line['case']}"


def test_the_matrix_is_whole() -> None:
    assert len(_ACCEPTED) == 29
    assert len(_REJECTED) == 4
    assert all(line["pod"] for line in _ACCEPTED), "an accepted case without a pod would go untested"


@pytest.mark.parametrize("line", _ACCEPTED, ids=_id)
def test_containers_are_served_as_recorded(line: dict[str, Any]) -> None:
    rendered = render_resources(line["request"], column="main", configuration=configuration(line["settings"]))
    served = line["pod"]["spec"]
    for group, ours in (
        ("containers", rendered.containers),
        ("initContainers", rendered.init_containers),
    ):
        theirs = [
            {key: container[key] for key in ("name", "resources", "restartPolicy") if key in container}
            for container in served.get(group, [])
        ]
        assert list(ours) == theirs


@pytest.mark.parametrize("line", _ACCEPTED, ids=_id)
def test_class_overhead_and_grace_are_as_recorded(line: dict[str, Any]) -> None:
    rendered = render_resources(line["request"], column="main", configuration=configuration(line["settings"]))
    pod, vmi = line["pod"], line["vmi"]
    assert qos_class(rendered.pod_spec()) == pod["status"]["qosClass"]
    assert qos_class(pod["spec"]) == pod["status"]["qosClass"]
    annotation = pod["metadata"]["annotations"]["kubevirt.io/memory-overhead-bytes"]
    assert str(int(rendered.overhead.total)) == annotation
    assert str(rendered.overhead.quantity) == vmi["status"]["memory"]["memoryOverhead"]
    assert pod_grace_seconds(line["request"]) == pod["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("line", _ACCEPTED, ids=_id)
def test_the_vmi_is_defaulted_as_recorded(line: dict[str, Any]) -> None:
    defaulted = default_vmi(line["request"], column="main", configuration=configuration(line["settings"]))
    theirs = copy.deepcopy(line["vmi"]["spec"])
    theirs["domain"]["firmware"].pop("uuid")
    defaulted["spec"]["domain"].setdefault("firmware", {})
    assert defaulted["spec"] == theirs


@pytest.mark.parametrize("line", _ACCEPTED, ids=_id)
def test_what_was_accepted_is_accepted(line: dict[str, Any]) -> None:
    assert schema.check(line["request"], "VirtualMachineInstance") == []
    assert schema.check(line["vmi"], "VirtualMachineInstance") == []
    defaulted = default_vmi(line["request"], column="main", configuration=configuration(line["settings"]))
    assert admission.validate_vmi(defaulted, column="main") == []


def _stderr(line: dict[str, Any]) -> str:
    request, kind = line["request"], "VirtualMachineInstance"
    if unknown := schema.unknown(request, kind):
        status = admission.status(schema.strict_message(kind, unknown), code=400, reason="BadRequest")
        return kubectl.stderr(status)
    try:
        defaulted = default_vmi(request, column="main")
    except QuantityError as error:
        return kubectl.stderr(admission.undecodable(admission.MUTATOR, error))
    causes = admission.validate_vmi(defaulted, column="main")
    return kubectl.stderr(admission.refused(admission.CREATE_VALIDATOR, causes))


@pytest.mark.parametrize("line", _REJECTED, ids=_id)
def test_rejections_use_the_recorded_words(line: dict[str, Any]) -> None:
    assert _stderr(line) == line["kubectl"]["stderr"]


def test_every_case_is_in_scope() -> None:
    assert len(_IDS) == len(set(_IDS)) == 33
