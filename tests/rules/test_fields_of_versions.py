"""Which fields each KubeVirt version has: a later one's are unknown to it.

Source: api/openapi-spec/swagger.json of v1.6.6, v1.7.4, v1.8.4, v1.9.0 and main.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules import schema
from harness.rules.errors import ColumnError
from harness.rules.vocabulary import vocabulary

_KIND = "VirtualMachineInstance"


def _vmi(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "kubevirt.io/v1", "kind": _KIND, "metadata": {"name": "a"}, "spec": spec}


@pytest.mark.parametrize(
    ("path", "value", "since"),
    [
        ("spec.domain.launchSecurity.snp", {}, "v1.7"),
        ("spec.domain.launchSecurity.tdx", {}, "v1.7"),
        ("spec.domain.memory.reservedOverhead", {"addedOverhead": "1Mi"}, "v1.8"),
        ("spec.domain.rebootPolicy", "Reboot", "v1.8"),
        ("spec.domain.features.hyperv.tlbflush.direct", {}, "v1.8"),
        ("spec.utilityVolumes", [], "v1.8"),
        ("spec.serviceAccountName", "a", "v1.9"),
    ],
)
def test_a_field_is_unknown_before_the_version_that_brought_it(path: str, value: Any, since: str) -> None:
    spec: dict[str, Any] = {}
    inner = spec
    *steps, last = path.split(".")[1:]
    for step in steps:
        inner = inner.setdefault(step, {})
    inner[last] = value
    order = ["v1.6", "v1.7", "v1.8", "v1.9", "main"]
    for column in order:
        problems = schema.unknown(_vmi(spec), _KIND, column=column)
        expected = [(path, since)] if order.index(column) < order.index(since) else []
        assert [(problem.dotted, problem.since) for problem in problems] == expected
        pruned = schema.prune(_vmi(spec), _KIND, column=column)
        assert (pruned == _vmi(spec)) is (not expected)


@pytest.mark.parametrize(
    ("path", "since"),
    [
        ("changedBlockTrackingLabelSelectors", "v1.7"),
        ("roleAggregationStrategy", "v1.8"),
        ("virtTemplateDeployment", "v1.8"),
        ("developerConfiguration.disabledFeatureGates", "v1.8"),
        ("migrations.utilityVolumesTimeout", "v1.8"),
        ("migrations.maxDowntimeMs", "v1.9"),
        ("confidentialCompute", "v1.9"),
    ],
)
def test_a_setting_is_unknown_before_the_version_that_brought_it(path: str, since: str) -> None:
    *outer, last = path.split(".")
    configuration: dict[str, Any] = {outer[0]: {last: None}} if outer else {last: None}
    before = {"v1.7": "v1.6", "v1.8": "v1.7", "v1.9": "v1.8"}[since]
    (problem,) = schema.check(configuration, "KubeVirtConfiguration", column=before)
    assert (problem.kind, problem.dotted, problem.since) == ("unknown", path, since)
    assert schema.check(configuration, "KubeVirtConfiguration", column=since) == []


def test_every_later_field_is_one_that_main_has_and_its_version_a_column() -> None:
    newer = vocabulary("v1.6").newer
    assert len(newer) == 31
    for (kind, name), since in newer.items():
        assert name in vocabulary("main").types[kind]
        assert name not in vocabulary("v1.6").types[kind]
        assert name in vocabulary(since).types[kind]
    assert vocabulary("main").newer == vocabulary("v1.9").newer == {}


def test_v1_6_requires_both_sizes_of_a_block() -> None:
    disk = {"name": "d", "disk": {}, "blockSize": {"custom": {"logical": 512}}}
    vmi = _vmi({"domain": {"devices": {"disks": [disk]}}})
    (problem,) = schema.missing(vmi, _KIND, column="v1.6")
    assert problem.dotted == "spec.domain.devices.disks[0].blockSize.custom.physical"
    assert schema.missing(vmi, _KIND, column="v1.7") == []


def test_a_misspelt_field_is_taken_for_one_that_the_version_has() -> None:
    spec: dict[str, Any] = {"domain": {"memory": {"reservedOverheads": {}}}}
    (now,) = schema.unknown(_vmi(spec), _KIND)
    (before,) = schema.unknown(_vmi(spec), _KIND, column="v1.7")
    assert (now.suggestion, before.suggestion) == ("reservedOverhead", "")


def test_an_unknown_version_has_no_fields() -> None:
    with pytest.raises(ColumnError, match=r"no KubeVirt version column 'v0\.9'"):
        schema.check({}, _KIND, column="v0.9")
