"""What the create validator answers to resource claims, and GPUs and host devices of them, that it refuses.

Source: KubeVirt pkg/dra/admitter/dra_admitter.go (v1.9.0 and main, which do not differ).
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.admission import validate_vmi
from harness.rules.defaults import default_vmi

_CLAIM = {"name": "c", "resourceClaimName": "real"}
_GPU = {"name": "g", "claimName": "c", "requestName": "r"}
_PLAIN = {"name": "p", "deviceName": "nvidia.com/T4"}
_HOST_GATE = {"developerConfiguration": {"featureGates": ["HostDevices"]}}
_AT = "spec.domain.devices"
_UNCLAIMED = (
    "spec.resourceClaims",
    (
        "vmi.spec.resourceClaims must specify all claims used in vmi.spec.domain.devices.gpus and "
        "vmi.spec.domain.devices.hostDevices"
    ),
)


def _causes(
    *,
    claims: list[Any] | None = None,
    column: str = "main",
    configuration: dict[str, Any] | None = None,
    **devices: Any,
) -> list[tuple[str, str]]:
    spec: dict[str, Any] = {"domain": {"devices": devices, "memory": {"guest": "1Gi"}}}
    if claims is not None:
        spec["resourceClaims"] = claims
    vmi = default_vmi({"metadata": {}, "spec": spec}, column=column)
    found = validate_vmi(vmi, column=column, configuration={**_HOST_GATE, **(configuration or {})})
    return [(cause.field, cause.message) for cause in found]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (_CLAIM, []),
        ({"name": "c", "resourceClaimTemplateName": "template"}, []),
        (
            {"name": "c"},
            [("spec.resourceClaims[0]", "must specify one of: resourceClaimName, resourceClaimTemplateName")],
        ),
        (
            {"name": "c", "resourceClaimName": "a", "resourceClaimTemplateName": "b"},
            [
                (
                    "spec.resourceClaims[0]",
                    "at most one of resourceClaimName or resourceClaimTemplateName may be specified",
                )
            ],
        ),
        (
            {"name": "", "resourceClaimName": "a"},
            [("spec.resourceClaims[0].name", "spec.resourceClaims[0].name is a required field")],
        ),
    ],
)
def test_claims(claim: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert _causes(claims=[claim]) == expected


def test_names_of_claims() -> None:
    twice, odd, bad = _causes(
        claims=[
            _CLAIM,
            _CLAIM,
            {"name": "A_", "resourceClaimName": "x"},
            {**_CLAIM, "name": "d", "resourceClaimName": "_"},
        ]
    )
    assert twice == ("spec.resourceClaims[1].name", 'duplicate resourceClaims name "c"')
    assert odd[0] == "spec.resourceClaims[2].name"
    assert odd[1].startswith(
        "spec.resourceClaims[2].name does not conform to the kubernetes DNS_LABEL rules: a lowercase RFC 1123 label must"
    )
    assert bad[0] == "spec.resourceClaims[3].resourceClaimName"
    assert bad[1].startswith("a lowercase RFC 1123 subdomain must consist of")


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ([_GPU], []),
        ([_PLAIN], []),
        (
            [_PLAIN, _GPU],
            [
                (
                    f"{_AT}.gpus",
                    "vmi.spec.domain.devices.gpus contains both DRA and non-DRA GPUs; each GPU must be either DRA or non-DRA",
                )
            ],
        ),
        (
            [{"name": "g"}],
            [
                (
                    f"{_AT}.gpus",
                    (
                        "vmi.spec.domain.devices.gpus contains GPUs without deviceName or claimRequest; "
                        "each GPU must specify either a deviceName or a claimRequest"
                    ),
                )
            ],
        ),
        (
            [{**_PLAIN, **_GPU}],
            [
                (
                    f"{_AT}.gpus",
                    "vmi.spec.domain.devices.gpus contains GPUs with both deviceName and claimRequest",
                )
            ],
        ),
        (
            [{"name": "g", "claimName": "c"}],
            [(f"{_AT}.gpus[0].requestName", "requestName is required for DRA GPU")],
        ),
        ([_GPU, {**_GPU, "name": "h"}], [(f"{_AT}.gpus[1]", 'duplicate claimName/requestName pair "c/r"')]),
        ([{**_GPU, "claimName": "other"}], [_UNCLAIMED]),
    ],
)
def test_gpus(gpus: list[Any], expected: list[tuple[str, str]]) -> None:
    assert _causes(claims=[_CLAIM], gpus=gpus) == expected


def test_host_devices_may_be_of_both_kinds_but_not_claim_what_a_gpu_claims() -> None:
    host = {**_GPU, "name": "h"}
    assert _causes(claims=[_CLAIM], hostDevices=[_PLAIN, host]) == []
    assert _causes(claims=[_CLAIM], gpus=[_GPU], hostDevices=[_PLAIN, host]) == [
        (
            f"{_AT}.hostDevices[1]",
            'duplicate claimName/requestName pair "c/r" between GPUs[0] and HostDevices[1]',
        )
    ]


def test_gates_are_on_unless_they_are_disabled_and_older_releases_are_not_told() -> None:
    disabled = {"developerConfiguration": {"disabledFeatureGates": ["GPUsWithDRA"]}}
    assert _causes(claims=[_CLAIM], gpus=[_GPU], configuration=disabled) == [
        (
            f"{_AT}.gpus",
            "vmi.spec.domain.devices.gpus contains DRA enabled GPUs but feature gate is not enabled",
        )
    ]
    assert _causes(claims=[_CLAIM], gpus=[_GPU], column="v1.9") == []
    assert _causes(claims=[_CLAIM, _CLAIM], gpus=[{"name": "g"}], column="v1.8") == []
