"""What KubeVirt's create validator refuses of `launchSecurity`, with its words.

Source: KubeVirt pkg/virt-api/webhooks/amd64.go `ValidateLaunchSecurityAmd64` (v1.7 and later), …/s390x.go (v1.7, v1.8),
…/admitters/vmi-create-admitter.go `validateLaunchSecurity` (v1.6 knows SEV alone, on any architecture).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import FORBIDDEN, INVALID, Cause
from harness.rules.vmi import get, items, mapping

_KINDS: Final = ("sev", "snp", "tdx")


def smm(vmi_spec: Mapping[str, Any]) -> bool:
    """`features.smm` is there and not switched off."""
    found = get(vmi_spec, "domain", "features", "smm")
    return found is not None and mapping(found).get("enabled") is not False


def launch_security_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """List what is refused, in the validator's order."""
    closed = columns.Gates(version, configuration).closed
    found = get(vmi_spec, "domain", "launchSecurity")
    if found is None:
        return
    security, at = mapping(found), f"{field}.launchSecurity"
    architecture = vmi_spec.get("architecture") or "amd64"
    if architecture == "s390x" and not version.since("v1.9") and closed("SecureExecution"):
        yield Cause(INVALID, "SecureExecution feature gate is not enabled in kubevirt-config", at)
    if not version.since("v1.7"):
        yield from _sev_alone(vmi_spec, security, at, gated=closed("WorkloadEncryptionSEV"))
        return
    if architecture == "s390x":
        return
    if architecture != "amd64":
        text = f"No launchSecurity support for architecture: {architecture}"
        yield Cause(INVALID, text, f"{field}.architecture")
        return
    chosen = [kind.upper() for kind in _KINDS if security.get(kind) is not None]
    if len(chosen) != 1:
        yield Cause(FORBIDDEN, "One and only one launchSecurity type can be set", at)
        return
    (kind,) = chosen
    gate = "WorkloadEncryptionTDX" if kind == "TDX" else "WorkloadEncryptionSEV"
    if closed(gate, beta=kind != "TDX"):
        yield Cause(INVALID, f"{gate} feature gate is not enabled in kubevirt-config", at)
        return
    if kind == "TDX" and smm(vmi_spec):
        yield Cause(INVALID, "TDX does not work along with SMM", at)
    yield from _firmware(vmi_spec, kind, at)
    yield from _start_and_network(vmi_spec, security, kind, at)


def _sev_alone(
    vmi_spec: Mapping[str, Any], security: Mapping[str, Any], at: str, *, gated: bool
) -> Iterator[Cause]:
    if security.get("sev") is None:
        return
    if gated:
        yield Cause(INVALID, "WorkloadEncryptionSEV feature gate is not enabled in kubevirt-config", at)
        return
    yield from _firmware(vmi_spec, "SEV", at)
    yield from _start_and_network(vmi_spec, security, "SEV", at)


def _firmware(vmi_spec: Mapping[str, Any], kind: str, at: str) -> Iterator[Cause]:
    efi = get(vmi_spec, "domain", "firmware", "bootloader", "efi")
    if efi is None:
        yield Cause(INVALID, f"{kind} requires OVMF (UEFI)", at)
        return
    if kind != "TDX" and mapping(efi).get("secureBoot") is not False:
        yield Cause(INVALID, f"{kind} does not work along with SecureBoot", at)
    if kind != "SEV" and mapping(efi).get("persistent"):
        yield Cause(INVALID, f"{kind} does not work along with Persistent EFI variables", at)


def _start_and_network(
    vmi_spec: Mapping[str, Any], security: Mapping[str, Any], kind: str, at: str
) -> Iterator[Cause]:
    attests = get(security, "sev", "attestation") is not None
    if kind == "SEV" and attests and vmi_spec.get("startStrategy") != "Paused":
        yield Cause(INVALID, "SEV attestation requires VMI StartStrategy 'Paused'", at)
    for interface in items(vmi_spec, "domain", "devices", "interfaces"):
        if interface.get("bootOrder") is not None:
            text = f"{kind} does not work with bootable NICs: {interface.get('name', '')}"
            yield Cause(INVALID, text, at)
