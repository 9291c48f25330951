"""What KubeVirt's mutating webhook writes into a VMI before anyone else sees it.

Source: KubeVirt pkg/defaults/defaults.go `SetDefaultVirtualMachineInstance` (main; v1.6 writes the memory request too),
pkg/liveupdate/memory/memory.go, pkg/network/vmispec/defaults.go, staging/…/core/v1/defaults.go; volumes, disks,
probes and what an architecture asks for: rules.defaults_devices.
Not here: random values (`firmware.uuid`), metadata, status, Hyper-V dependencies.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.defaults_devices import (
    architecture_devices,
    capacities,
    pull_policies,
    targets,
    volume_disks,
)
from harness.rules.errors import MutationError, QuantityError
from harness.rules.quantities import Format, Quantity
from harness.rules.vmi import get, guest, hugepage_size, mapping, memory_or_zero, resource

_BLOCK: Final = 2 << 20
_BLOCK_1GI: Final = 1 << 30
_MIN_HOTPLUG_GUEST: Final = 1 << 30
_DEFAULT_CPU_REQUEST: Final = Quantity.parse("100m")
_MAX_VCPUS: Final = 512


def memory_overcommit(configuration: Mapping[str, Any]) -> int:
    """`developerConfiguration.memoryOvercommit` in percent; 100 if unset."""
    value = get(configuration, "developerConfiguration", "memoryOvercommit")
    return 100 if value is None else int(value)


def live_update(configuration: Mapping[str, Any]) -> bool:
    """Whether vmRolloutStrategy is LiveUpdate, its default (virt-config.go)."""
    return configuration.get("vmRolloutStrategy") in (None, "", "LiveUpdate")


def overcommitted(memory: Quantity, percent: int) -> Quantity:
    """Memory x 100 / percent bytes, truncated; unchanged at 100 (renderresources.go WithMemoryRequests)."""
    return (
        memory if percent == 100 else Quantity.of_bytes(int(memory.value()) * 100 // percent, memory.format)
    )


def implicit_memory(vmi_spec: Mapping[str, Any]) -> Quantity | None:
    """What a request is made from when none is written: the guest's memory, else one hugepage."""
    if (memory := guest(vmi_spec)) is not None:
        return memory
    if size := hugepage_size(vmi_spec):
        try:
            return Quantity.parse(size)
        except QuantityError:
            return None
    return None


def default_spec(
    vmi_spec: Mapping[str, Any],
    *,
    column: str,
    configuration: Mapping[str, Any] | None = None,
    template: bool = False,
) -> dict[str, Any]:
    """Return a copy of a VMI spec with KubeVirt's defaults, every memory and cpu quantity in canonical form.

    `template`: only what the VM's validator sets before it checks the template (`SetDefaultVirtualMachineInstanceSpec`).

    Raises QuantityError for what is no quantity, ManifestError for fields of the wrong type, MutationError where the
    default interface is a bridge and bridges are not permitted.
    """
    configuration = configuration or {}
    version = columns.column(column)
    out: dict[str, Any] = copy.deepcopy(dict(vmi_spec))
    domain = _child(out, "domain")
    for name in ("devices", "resources"):
        _child(domain, name)
    _canonical(domain)
    capacities(out)
    out["architecture"] = out.get("architecture") or _default_architecture(configuration)
    machine = _child(domain, "machine")
    machine["type"] = machine.get("type") or _machine_type(str(out["architecture"]), configuration)
    _requests(out, domain, version, configuration)
    _guest(out, domain)
    _topology(out, domain)
    pull_policies(out)
    _network(out, domain, configuration)
    volume_disks(out, domain["devices"])
    if out.get("evictionStrategy") is None:
        out["evictionStrategy"] = configuration.get("evictionStrategy") or "None"
    if template:
        return out
    cpu = domain["cpu"]
    acpi = _child(_child(domain, "features"), "acpi")
    if acpi.get("enabled") is None:
        acpi["enabled"] = out["architecture"] != "s390x"
    targets(out, domain["devices"])
    architecture_devices(domain, str(out["architecture"]), version)
    cpu["model"] = cpu.get("model") or configuration.get("cpuModel") or "host-model"
    if live_update(configuration) and out["architecture"] != "arm64":
        _cpu_hotplug(cpu, configuration)
        _memory_hotplug(out, domain, configuration)
    return out


def default_vmi(
    vmi: Mapping[str, Any], *, column: str, configuration: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a copy of a VMI with its spec defaulted; metadata and status untouched."""
    return {
        **vmi,
        "spec": default_spec(mapping(vmi.get("spec"), "spec"), column=column, configuration=configuration),
    }


def _child(parent: dict[str, Any], name: str) -> dict[str, Any]:
    child = dict(mapping(parent.get(name), name))
    parent[name] = child
    return child


def _canonical(domain: dict[str, Any]) -> None:
    resources = domain["resources"]
    for kind in ("requests", "limits"):
        if resources.get(kind) is not None:
            resources[kind] = {
                name: str(Quantity.of(value))
                for name, value in mapping(resources[kind], f"spec.domain.resources.{kind}").items()
                if value is not None
            }
    if domain.get("memory") is not None:
        memory = _child(domain, "memory")
        for name in ("guest", "maxGuest"):
            if memory.get(name) is not None:
                memory[name] = str(Quantity.of(memory[name]))
        if get(memory, "reservedOverhead", "addedOverhead") is not None:
            reserved = _child(memory, "reservedOverhead")
            reserved["addedOverhead"] = str(Quantity.of(reserved["addedOverhead"]))
    if domain.get("cpu") is not None:
        cpu = _child(domain, "cpu")
        for name in ("dedicatedCpuPlacement", "isolateEmulatorThread"):
            if not cpu.get(name):
                cpu.pop(name, None)
    if not resources.get("overcommitGuestOverhead"):
        resources.pop("overcommitGuestOverhead", None)


def _default_architecture(configuration: Mapping[str, Any]) -> str:
    return str(get(configuration, "architectureConfiguration", "defaultArchitecture") or "amd64")


def _machine_type(architecture: str, configuration: Mapping[str, Any]) -> str:
    if configuration.get("machineType"):
        return str(configuration["machineType"])
    if machine := get(configuration, "architectureConfiguration", architecture, "machineType"):
        return str(machine)
    return {"arm64": "virt", "s390x": "s390-ccw-virtio"}.get(architecture, "q35")


def _requests(
    out: dict[str, Any],
    domain: dict[str, Any],
    version: columns.Column,
    configuration: Mapping[str, Any],
) -> None:
    resources = domain["resources"]
    limit, request = resource(out, "limits", "cpu"), resource(out, "requests", "cpu")
    if limit is not None and not limit.is_zero() and (request is None or request.is_zero()):
        _child(resources, "requests")["cpu"] = str(limit)
    if version.webhook_writes_request:
        memory_limit = memory_or_zero(out, "limits")
        if not memory_limit.is_zero() and memory_or_zero(out, "requests").is_zero():
            _child(resources, "requests")["memory"] = str(memory_limit)
        if resource(out, "requests", "memory") is None:
            memory = implicit_memory(out)
            if memory is not None and memory.value() > 0:
                percent = 100 if version.overcommits_every_request else memory_overcommit(configuration)
                written = overcommitted(memory, percent)
                _child(resources, "requests")["memory"] = str(written)
    default = configuration.get("cpuRequest")
    if default is None or Quantity.of(default).cmp(_DEFAULT_CPU_REQUEST) == 0:
        return
    if resource(out, "requests", "cpu") is None and not get(out, "domain", "cpu", "dedicatedCpuPlacement"):
        _child(resources, "requests")["cpu"] = str(Quantity.of(default))


def _guest(out: dict[str, Any], domain: dict[str, Any]) -> None:
    memory = _child(domain, "memory")
    if memory.get("guest") is not None:
        return
    for kind in ("requests", "limits"):
        if not (amount := memory_or_zero(out, kind)).is_zero():
            memory["guest"] = str(amount)
            return
    if size := hugepage_size(out):
        try:
            memory["guest"] = str(Quantity.parse(size))
        except QuantityError:
            return


def _topology(out: dict[str, Any], domain: dict[str, Any]) -> None:
    cpu = _child(domain, "cpu")
    if cpu.get("cores") or cpu.get("sockets") or cpu.get("threads"):
        return
    asked = resource(out, "limits", "cpu")
    if asked is None:
        asked = resource(out, "requests", "cpu")
    cpu |= {"sockets": 1 if asked is None else int(asked.value()) % (1 << 32), "cores": 1, "threads": 1}
    if not cpu["sockets"]:
        del cpu["sockets"]


def _network(out: dict[str, Any], domain: dict[str, Any], configuration: Mapping[str, Any]) -> None:
    devices = domain["devices"]
    if devices.get("autoattachPodInterface") is False or out.get("networks") or devices.get("interfaces"):
        return
    kind = str(get(configuration, "network", "defaultNetworkInterface") or "bridge")
    if kind == "bridge" and get(configuration, "network", "permitBridgeInterfaceOnPodNetwork") is False:
        raise MutationError("bridge interface is not enabled in kubevirt-config")
    devices["interfaces"] = [{kind: {}, "name": "default"}]
    out["networks"] = [{"name": "default", "pod": {}}]


def _cpu_hotplug(cpu: dict[str, Any], configuration: Mapping[str, Any]) -> None:
    sockets = int(cpu.get("sockets") or 0)
    if cpu.get("maxSockets"):
        return
    maximum = int(get(configuration, "liveUpdateConfiguration", "maxCpuSockets") or 0)
    if maximum and sockets > maximum:
        maximum = sockets
    if not maximum:
        per_socket = int(cpu.get("cores") or 0) * int(cpu.get("threads") or 0)
        maximum = sockets * _hotplug_ratio(configuration)
        if maximum * per_socket > _MAX_VCPUS:
            maximum = max(_MAX_VCPUS // per_socket, sockets)
    if maximum:
        cpu["maxSockets"] = maximum


def _hotplug_ratio(configuration: Mapping[str, Any]) -> int:
    return int(get(configuration, "liveUpdateConfiguration", "maxHotplugRatio") or 4)


def _memory_hotplug(out: dict[str, Any], domain: dict[str, Any], configuration: Mapping[str, Any]) -> None:
    memory = domain["memory"]
    amount = guest(out)
    if memory.get("maxGuest") is not None or amount is None:
        return
    configured = get(configuration, "liveUpdateConfiguration", "maxGuest")
    maximum = (
        Quantity.of(configured)
        if configured is not None
        else Quantity.of_bytes(int(amount.value()) * _hotplug_ratio(configuration), Format.BINARY_SI)
    )
    cpu = domain["cpu"]
    block = _BLOCK_1GI if hugepage_size(out) == "1Gi" else _BLOCK
    incompatible = (
        cpu.get("realtime") is not None
        or get(cpu, "numa", "guestMappingPassthrough") is not None
        or domain.get("launchSecurity") is not None
        or amount.cmp(maximum) > 0
        or amount.value() % block
        or maximum.value() % block
        or out["architecture"] != "amd64"
        or amount.value() < _MIN_HOTPLUG_GUEST
    )
    if not incompatible:
        memory["maxGuest"] = str(maximum)
