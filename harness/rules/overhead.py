"""The memory KubeVirt adds for a VMI's own infrastructure, term by term.

Source: KubeVirt pkg/hypervisor/kvm/hypervisorbackend.go `GetMemoryOverhead` (v1.8+), before that
pkg/virt-controller/services/renderresources.go; network term: pkg/virt-controller/services/template.go
`CalculateMemoryOverhead`, pkg/network/resources/memory.go. Unit: bytes. KubeVirt calls the result an estimation.
Expects the VMI as the mutating webhook leaves it (rules.defaults): in v1.6 the page-table term depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.rules import columns
from harness.rules.quantities import Format, Quantity
from harness.rules.vmi import (
    attached_by_default,
    dedicated_cpu,
    get,
    has_tpm,
    has_vfio,
    items,
    mapping,
    memory_or_zero,
    resource,
    spec,
    vcpus,
    wants_guaranteed,
)
from harness.units import Bytes

_MI: Final = 1 << 20
_KILO: Final = 3


@dataclass(frozen=True, slots=True)
class Overhead:
    """Terms in the order KubeVirt adds them (bytes; they sum up to `total`), and the sum as KubeVirt prints it."""

    terms: tuple[tuple[str, Bytes], ...]
    quantity: Quantity

    @property
    def total(self) -> Bytes:
        """Sum in bytes: VMI `status.memory.memoryOverhead`, annotation `kubevirt.io/memory-overhead-bytes`."""
        return self.quantity.value()


def vcpu_count(vmi: Mapping[str, Any]) -> int:
    """VCPUs that count: the topology, else the cpu limit, else the cpu request, at least 1."""
    vmi_spec = spec(vmi)
    cpu = get(vmi_spec, "domain", "cpu")
    if cpu is not None:
        count = vcpus(mapping(cpu, "spec.domain.cpu"))
    else:
        asked = resource(vmi_spec, "limits", "cpu") or resource(vmi_spec, "requests", "cpu")
        count = 0 if asked is None else int(asked.value())
    return max(1, count)


def page_tables(request: Quantity) -> Bytes:
    """The explicit memory request in kilobytes (rounded up), divided by 512 (integer division). Bytes."""
    return Bytes(request.scaled_value(_KILO) * 1000 // 512)


def overhead(
    vmi: Mapping[str, Any],
    *,
    column: str,
    ratio: str | None = None,
    arch: str = "amd64",
    bindings: Mapping[str, Any] | None = None,
) -> Overhead:
    """Compute the overhead of a VMI (or bare VMI spec).

    `ratio`: `additionalGuestMemoryOverheadRatio`, a string; one that is no float is ignored, as KubeVirt does.
    `bindings`: `networkConfiguration.binding`; `arch` counts where the VMI names none.
    Raises ColumnError, QuantityError, ManifestError.
    """
    constants = columns.column(column)
    vmi_spec = spec(vmi)
    request = memory_or_zero(vmi_spec, "requests")
    tables = Quantity.of_bytes(page_tables(request), Format.DECIMAL_SI)
    terms: list[tuple[str, Quantity]] = [("page-tables", tables)] if not tables.is_zero() else []
    terms += [(name, Quantity.of_bytes(amount)) for name, amount in _fixed(constants)]
    terms.append(("vcpus", Quantity.of_bytes(8 * _MI * vcpu_count(vmi))))
    terms.append(("iothread", Quantity.of_bytes(8 * _MI)))
    terms += [(name, amount) for name, amount in _optional(vmi_spec, constants, arch)]
    total = tables
    for name, amount in terms:
        if name != "page-tables":
            total += amount
    if ratio and (addition := _ratio_addition(total, ratio)) is not None:
        terms.append(("ratio", addition))
        total += addition
    network = _network(vmi_spec, bindings or {})
    if network:
        terms += network
        extra = Quantity(0)
        for _, amount in network:
            extra += amount
        total += extra
    return Overhead(tuple((name, amount.value()) for name, amount in terms), total)


def _fixed(constants: columns.Column) -> tuple[tuple[str, Bytes], ...]:
    return (
        ("virt-launcher-monitor", Bytes(25 * _MI)),
        ("virt-launcher", Bytes(100 * _MI)),
        ("virtlogd", Bytes(25 * _MI)),
        ("virtqemud", Bytes(40 * _MI)),
        ("qemu", constants.qemu),
    )


def _optional(
    vmi_spec: Mapping[str, Any], constants: columns.Column, arch: str
) -> list[tuple[str, Quantity]]:
    terms: list[tuple[str, Quantity]] = []

    def add(name: str, mebibytes: int, present: bool) -> None:
        if present:
            terms.append((name, Quantity.of_bytes(mebibytes * _MI)))

    add("video", 32, attached_by_default(vmi_spec, "autoattachGraphicsDevice"))
    add("uefi-pflash", 128, (vmi_spec.get("architecture") or arch) == "arm64")
    add("vfio", 1024, has_vfio(vmi_spec))
    add(
        "downward-metrics",
        1,
        any(volume.get("downwardMetrics") is not None for volume in items(vmi_spec, "volumes")),
    )
    liveness, readiness = (
        get(vmi_spec, probe, "exec") is not None for probe in ("livenessProbe", "readinessProbe")
    )
    add("liveness-exec", 10, liveness)
    add("readiness-exec", 10, readiness)
    add("virt-probe", 100, liveness or readiness)
    add("sev", 256, _sev(vmi_spec, constants))
    add("tpm", 53, has_tpm(vmi_spec))
    add("guaranteed", 100, dedicated_cpu(vmi_spec) or wants_guaranteed(vmi_spec))
    added = get(vmi_spec, "domain", "memory", "reservedOverhead", "addedOverhead")
    if constants.reserved_overhead and added is not None:
        terms.append(("reserved", Quantity.of(added)))
    return terms


def _sev(vmi_spec: Mapping[str, Any], constants: columns.Column) -> bool:
    security = mapping(get(vmi_spec, "domain", "launchSecurity"), "spec.domain.launchSecurity")
    return security.get("sev") is not None or (
        constants.sev_by_snp_and_es and security.get("snp") is not None
    )


def _ratio_addition(total: Quantity, ratio: str) -> Quantity | None:
    """`MultiplyMemory`: decimal kilobytes (rounded up) times (ratio - 1) as a float64, truncated."""
    try:
        factor = float(ratio)
    except ValueError:
        return None
    return Quantity.of_bytes(int(float(total.scaled_value(_KILO)) * (factor - 1.0)) * 1000, Format.DECIMAL_SI)


def _network(vmi_spec: Mapping[str, Any], bindings: Mapping[str, Any]) -> list[tuple[str, Quantity]]:
    """Passt core binding 250Mi; each registered binding plugin once, by its memory request. Added after the ratio."""
    terms: list[tuple[str, Quantity]] = []
    interfaces = tuple(items(vmi_spec, "domain", "devices", "interfaces"))
    if any(interface.get("passtBinding") is not None for interface in interfaces):
        terms.append(("passt", Quantity.of_bytes(250 * _MI)))
    seen: set[str] = set()
    for interface in interfaces:
        name = str(mapping(interface.get("binding"), "binding").get("name", ""))
        if not name or name in seen or name not in bindings:
            continue
        seen.add(name)
        request = get(mapping(bindings[name]), "computeResourceOverhead", "requests", "memory")
        if request is not None:
            terms.append((f"binding-{name}", Quantity.of(request)))
    return terms
