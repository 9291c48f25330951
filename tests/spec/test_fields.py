"""Names of fields: what Kubernetes and KubeVirt know is never taken for a misspelling.

The rules keep the API's types (from swagger); the loader may not import them, so the two lists are held together here.
"""

from __future__ import annotations

import re

import pytest

from harness.rules.kubelet_fields import KUBELET_FIELDS
from harness.rules.kubevirt_fields import KUBEVIRT_FIELDS
from harness.rules.vmi_fields import VMI_FIELDS
from harness.spec import fragments
from harness.spec.errors import SpecError
from harness.spec.manifests import check_path
from harness.spec.nodes import Mark, from_plain

HERE = Mark("here", 1, 1)


def _types(table: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in table.splitlines():
        fields = line
        if not line.startswith(" "):
            name, _, fields = line.partition(":")
            found[name] = []
        found[name] += [re.sub(r"[!:].*", "", word) for word in fields.split()]
    return found


VMI, KUBEVIRT = _types(VMI_FIELDS), _types(KUBEVIRT_FIELDS)


def test_the_fragments_know_every_field() -> None:
    assert set(fragments.KUBELET_FIELDS) == set(KUBELET_FIELDS)
    assert set(fragments.KUBEVIRT_FIELDS) == set(KUBEVIRT["KubeVirtConfiguration"])
    assert set(fragments.DEVELOPER_FIELDS) == set(KUBEVIRT["DeveloperConfiguration"])


@pytest.mark.parametrize(
    ("above", "type_name"),
    [
        ("", "VirtualMachineInstance"),
        ("metadata", "ObjectMeta"),
        ("spec", "VirtualMachineInstanceSpec"),
        ("spec.domain", "DomainSpec"),
        ("spec.domain.memory", "Memory"),
        ("spec.domain.resources", "ResourceRequirements"),
        ("spec.domain.devices", "Devices"),
    ],
)
def test_no_field_of_a_vmi_is_a_near_miss(above: str, type_name: str) -> None:
    assert len(VMI[type_name]) >= 3
    for name in VMI[type_name]:
        path = f"{above}.{name}" if above else name
        check_path(path, HERE, kind="VirtualMachineInstance")
        if above not in {"", "metadata"}:
            check_path(f"spec.template.{path}", HERE, kind="VirtualMachine")


@pytest.mark.parametrize(
    ("path", "kind", "near"),
    [
        ("spec.domain.devices.autottachGraphicsDevice", "VirtualMachineInstance", "autoattachGraphicsDevice"),
        (
            "spec.domain.resources.overcommitGuestOverheads",
            "VirtualMachineInstance",
            "overcommitGuestOverhead",
        ),
        ("spec.template.spec.domain.memory.gest", "VirtualMachine", "guest"),
        ("spec.runStrategi", "VirtualMachine", "runStrategy"),
    ],
)
def test_near_misses(path: str, kind: str, near: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_path(path, HERE, kind=kind)
    assert caught.value.suggestion == near


def test_what_is_like_nothing_is_left_to_the_api_server() -> None:
    check_path("spec.domain.devices.quantumEntangler", HERE, kind="VirtualMachineInstance")
    assert fragments.kubelet(from_plain({"wormhole": 1}, HERE)) == {"wormhole": 1}
