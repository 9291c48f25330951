"""What KubeVirt's create validator refuses of resource claims and the GPUs and host devices of them (DRA), with its words.

Source: KubeVirt pkg/dra/admitter/dra_admitter.go, the same in v1.9.0 and main. Older releases check less and otherwise, behind
gates that are off: not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as slot
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import DUPLICATE, INVALID, REQUIRED, Cause
from harness.rules.names import label_errors, subdomain_errors
from harness.rules.vmi import get, items, mapping

_SOURCES: Final = ("resourceClaimName", "resourceClaimTemplateName")


@dataclass(slots=True)
class _Claimed:
    """What the valid devices of one kind claim: names, and the first device of each pair `<claim>/<request>`."""

    names: set[str] = slot(default_factory=set)
    first: dict[str, int] = slot(default_factory=dict)


def claim_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """List what `draadmitter.ValidateCreation` refuses, in its order."""
    if not version.since("v1.9"):
        return
    gates = columns.Gates(version, configuration)
    claims = tuple(items(vmi_spec, "resourceClaims"))
    yield from _claims(claims, f"{field}.resourceClaims")
    at = f"{field}.domain.devices"
    gpus, others = _Claimed(), _Claimed()
    devices = mapping(get(vmi_spec, "domain", "devices"))
    yield from _devices(
        devices,
        gpus,
        kind="gpus",
        name="GPU",
        mixed=False,
        gate=not gates.closed("GPUsWithDRA", beta=True),
        at=f"{at}.gpus",
    )
    yield from _devices(
        devices,
        others,
        kind="hostDevices",
        name="HostDevice",
        mixed=True,
        gate=not gates.closed("HostDevicesWithDRA", beta=True),
        at=f"{at}.hostDevices",
    )
    networks: dict[str, int] = {}
    if not gates.closed("NetworkDevicesWithDRA"):
        networks = _networks(vmi_spec)
    owners: dict[str, str] = {}
    for kind, first, path in (
        ("GPUs", gpus.first, f"{at}.gpus"),
        ("HostDevices", others.first, f"{at}.hostDevices"),
        ("Networks", networks, f"{field}.networks"),
    ):
        for pair, index in first.items():
            owner = owners.setdefault(pair, f"{kind}[{index}]")
            if owner != f"{kind}[{index}]":
                text = f'duplicate claimName/requestName pair "{pair}" between {owner} and {kind}[{index}]'
                yield Cause(DUPLICATE, text, f"{path}[{index}]")
    if not gpus.names | others.names <= {str(claim.get("name") or "") for claim in claims}:
        yield Cause(
            INVALID,
            "vmi.spec.resourceClaims must specify all claims used in vmi.spec.domain.devices.gpus and "
            "vmi.spec.domain.devices.hostDevices",
            f"{field}.resourceClaims",
        )


def _claims(claims: tuple[Mapping[str, Any], ...], field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{field}[{index}]", str(claim.get("name") or "")
        if not name:
            yield Cause(REQUIRED, f"{at}.name is a required field", f"{at}.name")
        elif name in seen:
            yield Cause(DUPLICATE, f'duplicate resourceClaims name "{name}"', f"{at}.name")
        elif errors := label_errors(name):
            text = f"{at}.name does not conform to the kubernetes DNS_LABEL rules: {', '.join(errors)}"
            yield Cause(INVALID, text, f"{at}.name")
        seen.add(name)
        given = [source for source in _SOURCES if claim.get(source) is not None]
        if len(given) > 1:
            text = "at most one of resourceClaimName or resourceClaimTemplateName may be specified"
            yield Cause(INVALID, text, at)
        if not given:
            text = "must specify one of: resourceClaimName, resourceClaimTemplateName"
            yield Cause(INVALID, text, at)
        for source in given:
            for error in subdomain_errors(str(claim[source])):
                yield Cause(INVALID, error, f"{at}.{source}")


def _devices(
    devices: Mapping[str, Any],
    claimed: _Claimed,
    *,
    kind: str,
    name: str,
    mixed: bool,
    gate: bool,
    at: str,
) -> Iterator[Cause]:
    """List what is refused of the devices of a kind, and note in `claimed` what the valid ones claim."""
    where = f"vmi.spec.domain.devices.{kind} contains"
    indexed = tuple(enumerate(items(devices, kind)))
    claiming = [(i, d) for i, d in indexed if not d.get("deviceName") and _claims_something(d)]
    plain = [d for _, d in indexed if d.get("deviceName") or not _claims_something(d)]
    if claiming and plain and not mixed:
        text = f"{where} both DRA and non-DRA {name}s; each {name} must be either DRA or non-DRA"
        yield Cause(INVALID, text, at)
        return
    for device in plain:
        if not device.get("deviceName"):
            yield Cause(
                REQUIRED,
                f"{where} {name}s without deviceName or claimRequest; "
                f"each {name} must specify either a deviceName or a claimRequest",
                at,
            )
        elif _claims_something(device):
            yield Cause(INVALID, f"{where} {name}s with both deviceName and claimRequest", at)
    if claiming and not gate:
        yield Cause(INVALID, f"{where} DRA enabled {name}s but feature gate is not enabled", at)
        return
    for index, device in claiming:
        missing = [key for key in ("claimName", "requestName") if not device.get(key)]
        for key in missing:
            yield Cause(REQUIRED, f"{key} is required for DRA {name}", f"{at}[{index}].{key}")
        if missing:
            continue
        claimed.names.add(str(device["claimName"]))
        pair = f"{device['claimName']}/{device['requestName']}"
        if claimed.first.setdefault(pair, index) != index:
            yield Cause(DUPLICATE, f'duplicate claimName/requestName pair "{pair}"', f"{at}[{index}]")


def _claims_something(device: Mapping[str, Any]) -> bool:
    """Whether Go's decoder makes a `ClaimRequest` of it: either key is there, whatever it holds."""
    return "claimName" in device or "requestName" in device


def _networks(vmi_spec: Mapping[str, Any]) -> dict[str, int]:
    """Return pairs of networks of resource claims, and the first of each (`ExtractDRANetworkClaimRequestTuples`)."""
    first: dict[str, int] = {}
    for index, network in enumerate(items(vmi_spec, "networks")):
        source = mapping(network.get("resourceClaim"))
        claim, request = source.get("claimName"), source.get("requestName")
        if claim and request:
            first.setdefault(f"{claim}/{request}", index)
    return first
