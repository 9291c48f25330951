"""What KubeVirt's webhooks and CRD validation refuse, with their words.

Source: KubeVirt pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go,
pkg/util/webhooks/webhooks.go, pkg/virt-operator/webhooks/kubevirt-update-admitter.go (main); Kubernetes CRD validation.
The checks that bear on memory, cpu, disks, interfaces and sidecars are here, in the webhook's order; GPUs, NUMA, probes,
ports and storage beyond that are not. Checked on a VMI spec as rules.defaults leaves it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from harness.rules import columns
from harness.rules.admission_claims import claim_causes
from harness.rules.admission_cpu import cpu_causes, realtime_causes
from harness.rules.admission_devices import (
    architecture_causes,
    firmware_causes,
    gated_causes,
    host_name_causes,
    input_causes,
    io_thread_causes,
    migration_causes,
    other_architecture_causes,
    probe_causes,
    start_causes,
)
from harness.rules.admission_disks import (
    boot_order_causes,
    container_disk_causes,
    disk_causes,
    unmatched_volumes,
    utility_volume_causes,
    volume_causes,
)
from harness.rules.admission_guest import (
    acpi_causes,
    credential_causes,
    display_causes,
    dns_causes,
    service_account_causes,
)
from harness.rules.admission_hyperv import hyperv_causes
from harness.rules.admission_networks import creation_causes, network_causes
from harness.rules.causes import INVALID, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.defaults import live_update
from harness.rules.errors import QuantityError
from harness.rules.quantities import FORMAT_WRONG, ZERO, Quantity
from harness.rules.schema import Problem, body_message, type_name
from harness.rules.support import HOOKS_ANNOTATION
from harness.rules.vmi import (
    get,
    guest,
    hugepage_size,
    mapping,
    memory_or_zero,
    spec,
)

__all__ = [
    "CREATE_VALIDATOR", "INVALID", "MUTATOR", "NOT_SUPPORTED", "REQUIRED", "UPDATE_VALIDATOR", "VM_MUTATOR", "VM_VALIDATOR",
    "Cause", "Refusal", "combined", "denied", "kubevirt_status", "malformed", "refused", "status", "undecodable",
    "validate_configuration", "validate_creation", "validate_vmi",
]  # fmt: skip

MUTATOR: Final = "virtualmachineinstances-mutator.kubevirt.io"
CREATE_VALIDATOR: Final = "virtualmachineinstances-create-validator.kubevirt.io"
VM_MUTATOR: Final = "virtualmachines-mutator.kubevirt.io"
VM_VALIDATOR: Final = "virtualmachine-validator.kubevirt.io"
UPDATE_VALIDATOR: Final = "kubevirt-update-validator.kubevirt.io"
_MINIMUM_REQUEST: Final = Quantity.parse("1M")
_MACHINES: Final = {"amd64": ("q35*", "pc-q35*"), "arm64": ("virt*",), "s390x": ("s390-ccw-virtio*",)}
_SHOWN: Final = 10
_RESERVED_LABELS: Final = (
    "kubevirt.io/created-by",
    "kubevirt.io/migrationJobUID",
    "kubevirt.io/nodeName",
    "kubevirt.io/migrationTargetNodeName",
    "kubevirt.io/schedulable",
    "kubevirt.io/install-strategy",
)
MINIMUM_OVERCOMMIT: Final = 10


def denied(webhook: str, message: str) -> str:
    """Message of the Status the API server makes of a webhook's refusal."""
    return f'admission webhook "{webhook}" denied the request: {message}'


def combined(causes: Sequence[Cause]) -> str:
    """One message of several causes: the first ten, and how many more (ToAdmissionResponse)."""
    text = ", ".join(cause.message for cause in causes[:_SHOWN])
    rest = len(causes) - _SHOWN
    return f"{text}, and {rest} more validation errors" if rest > 0 else text


def status(message: str, *, code: int, reason: str = "", causes: Sequence[Cause] = ()) -> dict[str, Any]:
    """Build a Failure `Status` as served."""
    out: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        out["reason"] = reason
    if causes:
        out["details"] = {"causes": [cause.served() for cause in causes[:_SHOWN]]}
    return {**out, "code": code}


def refused(webhook: str, causes: Sequence[Cause]) -> dict[str, Any]:
    """Build the 422 Status of a validating webhook's refusal."""
    return status(denied(webhook, combined(causes)), code=422, reason="Invalid", causes=causes)


def malformed(webhook: str, problems: Sequence[Problem]) -> dict[str, Any]:
    """Build the 422 Status of a webhook's own schema validation: wrong types and missing fields, no reasons."""
    return refused(webhook, [Cause("", body_message(problem)) for problem in problems])


def undecodable(webhook: str, error: Exception) -> dict[str, Any]:
    """Build the 400 Status of a mutating webhook that can't read the object (a bad quantity)."""
    return status(denied(webhook, str(error)), code=400)


def validate_vmi(
    vmi: Mapping[str, Any],
    *,
    column: str,
    configuration: Mapping[str, Any] | None = None,
    field: str = "spec",
) -> list[Cause]:
    """List what the create validator refuses in a defaulted VMI (metadata and spec); empty: accepted.

    `field`: where the spec stands (`spec`, or `spec.template.spec` for a VM, whose mandatory fields aren't checked).
    Raises QuantityError, ManifestError, ColumnError.
    """
    configuration = configuration or {}
    version = columns.column(column)
    vmi_spec = spec(vmi)
    if field != "spec":
        template = get(vmi, "spec", "template")
        owner = vmi if template is None else mapping(template, "spec.template")
        return [
            *_metadata(owner, configuration, version, field),
            *_spec(vmi_spec, configuration, version, field),
        ]
    own = list(_spec(vmi_spec, configuration, version, field))
    causes = creation_causes(vmi_spec, configuration, version, field)
    if own:  # what is checked beforehand is checked again among these
        causes += network_causes(vmi_spec, configuration, version, field)
        if version.storage_checked_twice:
            causes += container_disk_causes(vmi_spec, field)
            causes += disk_causes(vmi_spec, version, field)
        causes += own
    causes += unmatched_volumes(vmi_spec, version, field)
    causes += _mandatory(vmi_spec, version, field)
    causes += _metadata(vmi, configuration, version, field)
    causes += hyperv_causes(vmi_spec, field)
    causes += architecture_causes(vmi_spec, version, field)
    return causes


def validate_creation(
    vm: Mapping[str, Any], *, column: str, configuration: Mapping[str, Any] | None = None
) -> list[Cause]:
    """What is refused of a new VM before all else, and alone: bindings that no longer exist. Raises ColumnError."""
    return creation_causes(spec(vm), configuration or {}, columns.column(column), "spec")


def _spec(
    vmi_spec: Mapping[str, Any],
    configuration: Mapping[str, Any],
    version: columns.Column,
    field: str,
) -> Iterator[Cause]:
    yield from host_name_causes(vmi_spec, field)
    yield from _memory_request(vmi_spec, field)
    yield from _memory_limit(vmi_spec, field)
    yield from _hugepages(vmi_spec, version, field)
    yield from _guest_limit(vmi_spec, configuration, field)
    yield from _machine(vmi_spec, configuration, field)
    yield from acpi_causes(vmi_spec, field)
    yield from cpu_causes(vmi_spec, version, field)
    yield from start_causes(vmi_spec, field)
    yield from realtime_causes(vmi_spec, field)
    yield from other_architecture_causes(vmi_spec, configuration, version, field)
    yield from network_causes(vmi_spec, configuration, version, field)
    yield from claim_causes(vmi_spec, configuration, version, field)
    yield from boot_order_causes(vmi_spec, configuration, version, field)
    yield from input_causes(vmi_spec, field)
    yield from io_thread_causes(vmi_spec, field)
    yield from probe_causes(vmi_spec, field)
    yield from disk_causes(vmi_spec, version, field)
    yield from firmware_causes(vmi_spec, version, field)
    yield from volume_causes(vmi_spec, configuration, version, field)
    yield from container_disk_causes(vmi_spec, field)
    yield from utility_volume_causes(vmi_spec, version, field)
    yield from credential_causes(vmi_spec, field)
    yield from dns_causes(vmi_spec, field)
    yield from migration_causes(vmi_spec, configuration, field)
    yield from display_causes(vmi_spec, version, field)
    yield from gated_causes(vmi_spec, configuration, version, field)
    reserved = get(vmi_spec, "domain", "memory", "reservedOverhead")
    if reserved is not None and not columns.gate(
        "ReservedOverheadMemlock", column=version, configuration=configuration, beta=False
    ):
        yield Cause(
            INVALID,
            "Reserved overhead memlock feature gate is not enabled in kubevirt-config",
            f"{field}.domain.memory.reservedOverhead",
        )
    yield from service_account_causes(vmi_spec, version, field)


def _at(field: str, kind: str, name: str) -> str:
    return f"{field}.domain.resources.{kind}.{name}"


def _memory_request(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    request, path = memory_or_zero(vmi_spec, "requests"), _at(field, "requests", "memory")
    if request.value() < 0:
        yield Cause(INVALID, f"{path} '{request}': must be greater than or equal to 0.", path)
    elif request.value() > 0 and request.cmp(_MINIMUM_REQUEST) < 0:
        yield Cause(INVALID, f"{path} '{request}': must be greater than or equal to 1M.", path)


def _memory_limit(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    request, limit = memory_or_zero(vmi_spec, "requests"), memory_or_zero(vmi_spec, "limits")
    path, limit_path = _at(field, "requests", "memory"), _at(field, "limits", "memory")
    if limit.value() < 0:
        yield Cause(INVALID, f"{limit_path} '{limit}': must be greater than or equal to 0.", limit_path)
    if limit.value() > 0 and request.value() > limit.value():
        yield Cause(INVALID, f"{path} '{request}' is greater than {limit_path} '{limit}'", path)


def _hugepages(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    size = hugepage_size(vmi_spec)
    if size is None:
        return
    page_path = f"{field}.domain.{'hugepages.size' if version.older_checks else 'memory.hugepages.pageSize'}"
    try:
        page = Quantity.parse(size)
    except QuantityError:
        yield Cause(INVALID, f"{page_path} '{size}': {FORMAT_WRONG}", page_path)
        return
    request, path = memory_or_zero(vmi_spec, "requests"), _at(field, "requests", "memory")
    amount = guest(vmi_spec) or ZERO
    memory = request.value()
    if not version.hugepages_of_request_alone:
        memory = memory or amount.value() or memory_or_zero(vmi_spec, "limits").value()
    if (memory != 0 or version.hugepages_of_request_alone) and memory < page.value():
        text = f"{path} '{request}' must be equal to or larger than page size {page_path} '{size}'"
        yield Cause(INVALID, text, path)
    elif page.value() and memory % page.value() != 0:
        yield Cause(
            INVALID, f"{path} '{request}' is not a multiple of the page size {page_path} '{size}'", path
        )


def _guest_limit(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], field: str
) -> Iterator[Cause]:
    """Only where vmRolloutStrategy isn't LiveUpdate: by default a guest larger than its limit is accepted."""
    amount = guest(vmi_spec)
    if live_update(configuration) or amount is None:
        return
    limit = memory_or_zero(vmi_spec, "limits")
    if limit.value() != 0 and limit.value() < amount.value():
        path = f"{field}.domain.memory.guest"
        yield Cause(
            INVALID,
            f"{path} '{amount}' must be equal to or less than the memory limit {_at(field, 'limits', 'memory')} '{limit}'",
            path,
        )


def _machine(vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], field: str) -> Iterator[Cause]:
    machine = str(get(vmi_spec, "domain", "machine", "type") or "")
    architecture = str(vmi_spec.get("architecture") or "amd64")
    allowed = configuration.get("emulatedMachines")
    if allowed is None:
        allowed = get(configuration, "architectureConfiguration", architecture, "emulatedMachines")
    patterns = [str(pattern) for pattern in allowed or _MACHINES.get(architecture, _MACHINES["amd64"])]
    if machine and not any(fnmatch.fnmatchcase(machine, pattern) for pattern in patterns):
        path = f"{field}.domain.machine.type"
        text = f"{path} is not supported: {machine} (allowed values: [{' '.join(patterns)}])"
        yield Cause(INVALID, text, path)


def _mandatory(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    if memory_or_zero(vmi_spec, "requests").value() != 0:
        return
    if guest(vmi_spec) is None and hugepage_size(vmi_spec) is None:
        yield Cause(
            REQUIRED,
            f"no memory requested, at least one of '{field}.domain.memory.guest', "
            f"'{field}.domain.memory.hugepages.{'size' if version.older_checks else 'pageSize'}' or '{_at(field, 'requests', 'memory')}' must be set",
        )


def _metadata(
    owner: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    at = field.removesuffix("spec") + "metadata"
    labels = mapping(get(owner, "metadata", "labels"))
    if any(label in _RESERVED_LABELS for label in labels):
        text = "creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
        yield Cause(NOT_SUPPORTED, text, f"{at}.labels")
    annotations = mapping(get(owner, "metadata", "annotations"))
    gate = columns.gate("Sidecar", column=version, configuration=configuration, beta=False)
    if annotations.get(HOOKS_ANNOTATION) and not gate:
        yield Cause(
            INVALID,
            "sidecar feature gate is not enabled in kubevirt-config, invalid entry "
            f"{at}.annotations.{HOOKS_ANNOTATION}",
            f"{at}.annotations",
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused KubeVirt CR: CRD validation (no webhook) or the update webhook."""

    causes: tuple[Cause, ...]
    by: Literal["schema", "webhook"]


def validate_configuration(configuration: Mapping[str, Any]) -> Refusal | None:
    """Check what of a KubeVirt CR's `spec.configuration` bears on memory; None: accepted.

    `memoryOvercommit` must be an integer >= 10 (CRD), `additionalGuestMemoryOverheadRatio` a string that is a float.
    """
    path = "spec.configuration.developerConfiguration.memoryOvercommit"
    value = get(configuration, "developerConfiguration", "memoryOvercommit")
    causes: list[Cause] = []
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, int):
            found = f'"{type_name(value)}"'
            text = f"Invalid value: {found}: {path} in body must be of type integer: {found}"
            causes.append(Cause("FieldValueTypeInvalid", text, path))
        elif value < MINIMUM_OVERCOMMIT:
            text = f"Invalid value: {value}: {path} in body should be greater than or equal to {MINIMUM_OVERCOMMIT}"
            causes.append(Cause(INVALID, text, path))
    ratio_path = "spec.configuration.additionalGuestMemoryOverheadRatio"
    ratio = configuration.get("additionalGuestMemoryOverheadRatio")
    if ratio is not None and not isinstance(ratio, str):
        found = f'"{type_name(ratio)}"'
        text = f"Invalid value: {found}: {ratio_path} in body must be of type string: {found}"
        causes.append(Cause("FieldValueTypeInvalid", text, ratio_path))
    if causes:
        return Refusal(tuple(causes), "schema")
    if ratio:
        try:
            float(ratio)
        except ValueError:
            text = (
                f"ratio provided, {ratio}, cannot be parsed into float: "
                f'strconv.ParseFloat: parsing "{ratio}": invalid syntax'
            )
            return Refusal((Cause(NOT_SUPPORTED, text),), "webhook")
    return None


def kubevirt_status(refusal: Refusal, name: str = "kubevirt") -> dict[str, Any]:
    """Build the 422 Status of a refused KubeVirt CR."""
    if refusal.by == "webhook":
        return refused(UPDATE_VALIDATOR, refusal.causes)
    listed = [f"{cause.field}: {cause.message}" for cause in refusal.causes]
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    out = status(
        f'KubeVirt.kubevirt.io "{name}" is invalid: {text}', code=422, reason="Invalid", causes=refusal.causes
    )
    out["details"] = {"name": name, "group": "kubevirt.io", "kind": "KubeVirt", **out["details"]}
    return out
