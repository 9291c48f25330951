"""Hyper-V enlightenments: which the mutator completes by itself, and what is refused of the rest, word for word.

Source: KubeVirt pkg/virt-api/webhooks/hyperv.go, and the create validator's tests (main).
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.admission import validate_vmi
from harness.rules.defaults import default_vmi

_AT = "spec.domain.features.hyperv.domain.features.hyperv"
_ON: dict[str, Any] = {"enabled": True}
_OFF: dict[str, Any] = {"enabled": False}
_BOTH = (
    "spec.domain.features.hyperv",
    "Cannot explicitly set hyperV features if HypervPassthrough is being used. Please use either HyperV or HypervPassthrough.",
)


def _needs(name: str, needed: str) -> tuple[str, str]:
    return f"{_AT}.{name}", f"'{_AT}.{name}' requires '{_AT}.{needed}', which was disabled."


def _causes(
    hyperv: Any, *, cpu: Any = None, column: str = "main", kind: str = "spec", **features: Any
) -> list[tuple[str, str]]:
    domain: dict[str, Any] = {
        "devices": {},
        "memory": {"guest": "1Gi"},
        "features": {"hyperv": hyperv, **features},
    }
    if cpu is not None:
        domain["cpu"] = {"features": cpu}
    vmi = default_vmi({"metadata": {}, "spec": {"domain": domain}}, column=column)
    return [(cause.field, cause.message) for cause in validate_vmi(vmi, column=column, field=kind)]


@pytest.mark.parametrize("column", ["v1.6", "v1.7", "v1.8", "v1.9", "main"])
@pytest.mark.parametrize(
    "hyperv",
    [
        None,
        {},
        {"relaxed": {}, "vpindex": _OFF},
        {"synic": {}, "vpindex": {}},
        {"synictimer": {}},  # synic and vpindex are added
        {"ipi": _ON, "tlbflush": {}},
        {"evmcs": {}},  # vapic and the CPU feature are added
        {"ipi": _OFF, "vpindex": _OFF},
        {"evmcs": _OFF, "vapic": _OFF},
    ],
)
def test_what_lacks_something_is_completed(hyperv: Any, column: str) -> None:
    assert _causes(hyperv, column=column) == []


@pytest.mark.parametrize(
    ("hyperv", "expected"),
    [
        ({"synic": {}, "vpindex": _OFF}, [_needs("synic", "vpindex")]),
        ({"synictimer": {}, "synic": _OFF}, [_needs("synictimer", "synic")]),
        ({"synictimer": _ON, "vpindex": _OFF}, [_needs("synic", "vpindex")]),  # synic was added before
        # the mutator stops at the first that can't be: what the timer needs is no longer added
        (
            {"ipi": {}, "tlbflush": {}, "synictimer": {}, "vpindex": _OFF},
            [_needs("ipi", "vpindex"), _needs("tlbflush", "vpindex"), _needs("synictimer", "synic")],
        ),
    ],
)
def test_what_was_disabled_is_not_enabled(hyperv: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert _causes(hyperv) == expected
    assert _causes(hyperv, kind="spec.template.spec") == []


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        (None, [("spec.domain.cpu.features", "vmx cpu feature is required when evmcs is set")]),
        ([{"name": "vmx", "policy": "require"}], []),
        ([{"name": "pcid"}], []),
        (
            [{"name": "pcid"}, {"name": "vmx", "policy": "disable"}],
            [("spec.domain.cpu.features[1].policy", "vmx cpu feature has to be set to require policy")],
        ),
    ],
)
def test_evmcs_needs_vmx_which_only_a_complete_set_is_given(
    cpu: list[dict[str, str]] | None, expected: list[tuple[str, str]]
) -> None:
    assert _causes({"evmcs": {}, "vapic": _OFF}, cpu=cpu) == [_needs("evmcs", "vapic"), *expected]
    assert _causes({"evmcs": {}}, cpu=cpu) == []


def test_either_hyperv_or_its_passthrough() -> None:
    assert _causes({}, hypervPassthrough={}) == [_BOTH]
    assert _causes({"relaxed": {}}, hypervPassthrough=_OFF) == [_BOTH]
    assert _causes(None, hypervPassthrough={}) == []
