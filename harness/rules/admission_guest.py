"""What KubeVirt's create validator refuses of ACPI tables, credentials, DNS settings, displays, service accounts, with its words.

Source: KubeVirt pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go (main).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import INVALID, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.names import subdomain_errors
from harness.rules.vmi import get, items, mapping

_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", "")
_NAMESERVERS: Final = 3
_SEARCH_PATHS: Final = 6
_SEARCH_CHARACTERS: Final = 256


def acpi_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """`firmware.acpi`: SLIC and MSDM tables come from secret volumes (`validateFirmwareACPI`)."""
    acpi = get(vmi_spec, "domain", "firmware", "acpi")
    if acpi is None:
        return
    at = f"{field}.acpi"
    references = {name: mapping(acpi).get(name) for name in ("slicNameRef", "msdmNameRef")}
    if not any(references.values()):
        yield Cause(INVALID, "ACPI was set but no SLIC nor MSDM volume reference was set", at)
    volumes = {str(volume.get("name", "")): volume for volume in reversed(tuple(items(vmi_spec, "volumes")))}
    for name, reference in references.items():
        if not reference:
            continue
        if reference not in volumes:
            yield Cause(INVALID, f"{at} does not have a matching Volume.", f"{at}.{name}")
        elif volumes[reference].get("secret") is None:
            yield Cause(INVALID, f"{at} refers to Volume of unsupported type.", f"{at}.{name}")


def credential_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """`accessCredentials`: one kind, one source and one way to the guest each (`validateAccessCredentials`)."""
    volumes = tuple(items(vmi_spec, "volumes"))
    for index, credential in enumerate(items(vmi_spec, "accessCredentials")):
        at = f"{field}.accessCredentials[{index}]"
        if credential.get("sshPublicKey") is not None:
            yield from _public_key(mapping(credential["sshPublicKey"]), volumes, at)
        if credential.get("userPassword") is not None:
            password = mapping(credential["userPassword"])
            methods = get(password, "propagationMethod", "qemuGuestAgent") is not None
            yield from _one_each(password, methods=int(methods), at=at, name="userPassword")
        if sum(credential.get(kind) is not None for kind in ("sshPublicKey", "userPassword")) != 1:
            yield Cause(INVALID, f"{at} must have exactly one access credential type set", at)


def _public_key(key: Mapping[str, Any], volumes: tuple[Mapping[str, Any], ...], at: str) -> Iterator[Cause]:
    method, path = mapping(key.get("propagationMethod")), f"{at}.sshPublicKey.propagationMethod"
    for name, volume in (("noCloud", "cloudInitNoCloud"), ("configDrive", "cloudInitConfigDrive")):
        if method.get(name) is not None and all(item.get(volume) is None for item in volumes):
            text = f"{at} requires a {name} volume to exist when the {name} propagationMethod is in use."
            yield Cause(INVALID, text, path)
    agent = method.get("qemuGuestAgent")
    if agent is not None and not mapping(agent).get("users"):
        text = f"{at} requires at least one user to be present in the users list"
        yield Cause(INVALID, text, f"{path}.qemuGuestAgent.users")
    methods = sum(method.get(name) is not None for name in ("noCloud", "configDrive", "qemuGuestAgent"))
    yield from _one_each(key, methods=methods, at=at, name="sshPublicKey")


def _one_each(credential: Mapping[str, Any], *, methods: int, at: str, name: str) -> Iterator[Cause]:
    if get(credential, "source", "secret") is None:
        yield Cause(INVALID, f"{at} must have exactly one source set", f"{at}.{name}.source")
    if methods != 1:
        text = f"{at} must have exactly one propagationMethod set"
        yield Cause(INVALID, text, f"{at}.{name}.propagationMethod")


def dns_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """`dnsPolicy` and `dnsConfig`."""
    policy = str(vmi_spec.get("dnsPolicy") or "")
    if policy not in _DNS_POLICIES:
        text = f"DNSPolicy: {policy} is not supported, valid values: [{' '.join(_DNS_POLICIES)}]"
        yield Cause(NOT_SUPPORTED, text, f"{field}.dnsPolicy")
    config = vmi_spec.get("dnsConfig")
    if policy == "None" and config is None:
        text = "must provide `dnsConfig` when `dnsPolicy` is None"
        yield Cause(REQUIRED, text, f"{field}.dnsConfig")
    if config is None:
        return
    nameservers, searches = (
        [str(item) for item in mapping(config).get(key) or ()] for key in ("nameservers", "searches")
    )
    if policy == "None" and not nameservers:
        text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield Cause(REQUIRED, text, "nameservers")
        return
    if len(nameservers) > _NAMESERVERS:
        text = f"must not have more than {_NAMESERVERS} nameservers: [{' '.join(nameservers)}]"
        yield Cause(INVALID, text, "nameservers")
    for server in nameservers:
        if not _is_address(server):
            yield Cause(INVALID, f"must be valid IP address: {server}", "nameservers")
    if len(searches) > _SEARCH_PATHS:
        yield Cause(INVALID, f"must not have more than {_SEARCH_PATHS} search paths", "searchDomains")
    if len(" ".join(searches)) > _SEARCH_CHARACTERS:
        text = (
            f"must not have more than {_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        )
        yield Cause(INVALID, text, "searchDomains")
    for search in searches:
        for error in subdomain_errors(search):
            yield Cause(INVALID, error, "searchDomains")
    for option in items(mapping(config), "options"):
        if not option.get("name"):
            yield Cause(INVALID, "Option.Name must not be empty", "options")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # Go's net.ParseIP knows no zones


def display_causes(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    """Only one vGPU may have a display with ramfb; one whose ramfb is left unset counts on main alone."""
    unset = version.name == "main"
    count = 0
    for gpu in items(vmi_spec, "domain", "devices", "gpus"):
        display = get(gpu, "virtualGPUOptions", "display")
        if display is None or mapping(display).get("enabled") is False:
            continue
        ramfb = mapping(display).get("ramFB")
        enabled = None if ramfb is None else mapping(ramfb).get("enabled")
        count += ramfb is None or enabled is True or (enabled is None and unset)
    if count > 1:
        text = "configuring multiple displays with ramfb is not valid "
        yield Cause(INVALID, text, f"{field}.GPUs")


def service_account_causes(
    vmi_spec: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """`serviceAccountName` (since v1.9), and that volumes name the same one."""
    account = str(vmi_spec.get("serviceAccountName") or "")
    if not account or not version.since("v1.9"):
        return
    at = f"{field}.serviceAccountName"
    if errors := subdomain_errors(account):
        yield Cause(INVALID, f"{at} is not a valid service account name: {'; '.join(errors)}", at)
    for volume in items(vmi_spec, "volumes"):
        if volume.get("serviceAccount") is None:
            continue
        other = str(mapping(volume["serviceAccount"]).get("serviceAccountName") or "")
        if other != account:
            text = (
                f'spec.serviceAccountName "{account}" and serviceAccount volume "{other}" '
                "must reference the same service account"
            )
            yield Cause(INVALID, text, at)
            return
