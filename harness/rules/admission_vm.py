"""What KubeVirt's VM validator refuses beside its template, with its words.

Source: KubeVirt pkg/virt-api/webhooks/validating-webhook/admitters/vms-admitter.go `validateRunStrategy`,
`validateLiveUpdateFeatures`, pkg/liveupdate/memory/memory.go `ValidateLiveUpdateMemory` (main). Not here: DataVolume templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.admission import validate_creation, validate_vmi
from harness.rules.causes import INVALID, Cause
from harness.rules.defaults import live_update
from harness.rules.quantities import Quantity
from harness.rules.vmi import get, guest, hugepage_size, mapping

_MI: Final = 1 << 20
_GI: Final = 1 << 30
_STRATEGIES: Final = ("Halted", "Manual", "Always", "RerunOnFailure", "Once")
RUNNING_DEPRECATED: Final = "spec.running is deprecated, please use spec.runStrategy instead."
"""Warning of the VM validator where `running` is set."""


def run_strategy_causes(
    vm_spec: Mapping[str, Any], *, column: str, configuration: Mapping[str, Any]
) -> Iterator[Cause]:
    """Exactly one of `running` and `runStrategy`, and a known one."""
    running, strategy = vm_spec.get("running"), vm_spec.get("runStrategy")
    if running is not None and strategy is not None:
        text = (
            "Running and RunStrategy are mutually exclusive. "
            "Note that Running is deprecated, please use RunStrategy instead"
        )
        yield Cause(INVALID, text, "spec.running")
    if running is None and strategy is None:
        yield Cause(INVALID, "RunStrategy must be specified", "spec.running")
    if strategy == "WaitAsReceiver":
        version, name = columns.column(column), "DecentralizedLiveMigration"
        if not columns.gate(name, column=version, configuration=configuration):
            text = (
                f"Invalid RunStrategy ({strategy}), {name} feature gate is not enabled in kubevirt resource"
            )
            yield Cause(INVALID, text, "spec.runStrategy")
    elif strategy is not None and strategy not in _STRATEGIES:
        yield Cause(INVALID, f"Invalid RunStrategy ({strategy})", "spec.runStrategy")


def live_update_causes(
    vmi_spec: Mapping[str, Any], *, column: str, configuration: Mapping[str, Any]
) -> Iterator[Cause]:
    """What hotplug asks of a defaulted template under vmRolloutStrategy LiveUpdate, its default."""
    if not live_update(configuration):
        return
    cpu, at = mapping(get(vmi_spec, "domain", "cpu")), "spec.template.spec.domain"
    if cpu.get("maxSockets") and int(cpu.get("sockets") or 0) > int(cpu["maxSockets"]):
        text = "Number of sockets in CPU topology is greater than the maximum sockets allowed"
        yield Cause(INVALID, text, f"{at}.cpu.sockets")
    maximum = get(vmi_spec, "domain", "memory", "maxGuest")
    if maximum is None:
        return
    if wrong := _no_hotplug(vmi_spec, Quantity.of(maximum), column=column):
        yield Cause(INVALID, wrong, f"{at}.memory.guest")


def _no_hotplug(vmi_spec: Mapping[str, Any], maximum: Quantity, *, column: str) -> str:
    """Why memory can't be plugged in up to `maximum`, or ''."""
    domain, amount = mapping(vmi_spec.get("domain")), guest(vmi_spec)
    words = "Memory hotplug is not compatible with"
    if get(domain, "cpu", "realtime") is not None:
        return f"{words} realtime VMs"
    if get(domain, "cpu", "numa", "guestMappingPassthrough") is not None:
        return f"{words} guest mapping passthrough"
    if domain.get("launchSecurity") is not None:
        return f"{words} encrypted VMs"
    block, name = (_GI, "1Gi") if hugepage_size(vmi_spec) == "1Gi" else (2 * _MI, "2Mi")
    if amount is None:
        return "Guest memory must be configured when memory hotplug is enabled"
    if amount.cmp(maximum) > 0:
        return "Guest memory is greater than the configured maxGuest memory"
    for what, size in (("Guest memory", amount), ("MaxGuest", maximum)):
        if size.value() % block:
            return f"{what} must be {name} aligned"
    both = not columns.column(column).since("v1.7")
    if vmi_spec.get("architecture") not in (("amd64", "arm64") if both else ("amd64",)):
        return f"Memory hotplug is only available for x86_64 {'and arm64 ' if both else ''}VMs"
    if amount.value() < _GI:
        return "Memory hotplug is only available for VMs with at least 1Gi of guest memory"
    return ""


def vm_causes(
    vm: Mapping[str, Any],
    defaulted: Mapping[str, Any],
    *,
    column: str,
    configuration: Mapping[str, Any],
    creating: bool = True,
) -> list[Cause]:
    """List what the VM validator refuses, in its order. `defaulted`: the template's spec as it leaves `default_spec`.

    Raises QuantityError, ManifestError, ColumnError.
    """
    template = {**mapping(get(vm, "spec", "template")), "spec": defaulted}
    if creating and (first := validate_creation(template, column=column, configuration=configuration)):
        return first
    return [
        *validate_vmi(template, column=column, configuration=configuration, field="spec.template.spec"),
        *run_strategy_causes(mapping(vm.get("spec")), column=column, configuration=configuration),
        *live_update_causes(defaulted, column=column, configuration=configuration),
    ]
