"""What an instance type makes of a VM's VMI.

Source: KubeVirt pkg/instancetype/apply/*.go, pkg/instancetype/conflict/conflicts.go, pkg/instancetype/webhooks/admitter.go
(main; v1.6's validateMemory). Unit: bytes; percentages are applied in float32.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import INVALID, Cause
from harness.rules.preference import apply_preference, topology
from harness.rules.quantities import Quantity
from harness.rules.vmi import get, mapping

KINDS: Final = ("VirtualMachineClusterInstancetype", "VirtualMachineInstancetype")
API_VERSION: Final = "instancetype.kubevirt.io/v1beta1"
_CPU: Final = (
    ("model", "model"),
    ("dedicatedCPUPlacement", "dedicatedCpuPlacement"),
    ("isolateEmulatorThread", "isolateEmulatorThread"),
    ("numa", "numa"),
    ("realtime", "realtime"),
)
"""Names in an instance type and in a VMI."""
_FULL: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A template after instance type and preference, or why they don't fit it."""

    template: dict[str, Any]
    """The VMI template: metadata and spec."""
    conflicts: tuple[Cause, ...] = ()
    """Fields that both the VM and the instance type set; the template is then as it was."""


def _float32(value: float) -> float:
    (narrow,) = struct.unpack("f", struct.pack("f", value))
    return float(narrow)


def overcommit_request(memory: Quantity, percent: int) -> Quantity:
    """Request of `overcommitPercent`: guest x (1 - percent / 100), every step in float32, truncated.

    15 means 15 % less, unlike the cluster's memoryOvercommit, where 150 means a guest of 150 % of the request.
    """
    factor = _float32(1.0 - _float32(_float32(percent) / 100.0))
    return Quantity.of_bytes(int(_float32(_float32(float(memory.value())) * factor)), memory.format)


def instancetype_causes(instancetype: Mapping[str, Any]) -> Iterator[Cause]:
    """What the instance type's own webhook refuses. `instancetype`: its spec."""
    memory = mapping(instancetype.get("memory"), "spec.memory")
    percent, at = int(memory.get("overcommitPercent") or 0), "spec.memory.overcommitPercent"
    if not 0 <= percent <= _FULL:
        yield Cause(INVALID, f"{at} '{percent}': must be in range between 0 and 100.", at)
    if percent and memory.get("hugepages") is not None:
        yield Cause(INVALID, f"{at} and spec.memory.hugepages should not be requested together.", at)


def apply(
    template: Mapping[str, Any],
    *,
    instancetype: Mapping[str, Any] | None,
    preference: Mapping[str, Any] | None,
    column: str,
) -> Applied:
    """Apply the specs of an instance type and a preference to a VM's template (`ApplyToVMI`).

    The cluster's overcommit percentage is ignored once a request is written. Raises QuantityError, ManifestError, ColumnError.
    """
    out: dict[str, Any] = copy.deepcopy(dict(template))
    vmi_spec = out["spec"] = dict(mapping(out.get("spec"), "spec.template.spec"))
    domain = vmi_spec["domain"] = dict(mapping(vmi_spec.get("domain"), "spec.template.spec.domain"))
    if instancetype is not None:
        conflicts = tuple(_conflicts(out, instancetype, columns.column(column)))
        if conflicts:
            return Applied(template=dict(template), conflicts=conflicts)
        _pod_settings(out, vmi_spec, instancetype)
        _cpu(domain, mapping(instancetype.get("cpu"), "spec.cpu"), preference)
        _memory(domain, mapping(instancetype.get("memory"), "spec.memory"))
        _devices(domain, instancetype)
    if preference is not None:
        apply_preference(out, preference)
    return Applied(template=out)


def _conflicts(
    template: Mapping[str, Any], instancetype: Mapping[str, Any], version: columns.Column
) -> Iterator[Cause]:
    vmi_spec = mapping(template.get("spec"))
    domain = mapping(vmi_spec.get("domain"))
    resources = mapping(domain.get("resources"))
    cpu, asked = mapping(domain.get("cpu")), mapping(instancetype.get("cpu"))
    paths = [name for name in ("nodeSelector", "schedulerName") if _both(vmi_spec, instancetype, name)]
    paths += [
        f"domain.resources.{kind}.cpu"
        for kind in ("requests", "limits")
        if mapping(resources.get(kind)).get("cpu") is not None
    ]
    paths += [f"domain.cpu.{part}" for part in ("sockets", "cores", "threads") if cpu.get(part)]
    paths += [
        f"domain.cpu.{name}" for name, field in _CPU if asked.get(name) is not None and _set(cpu.get(field))
    ]
    paths += _memory_conflict(domain, mapping(instancetype.get("memory")), version)
    threads = "supplementalPoolThreadCount"
    if get(instancetype, "ioThreads", threads) is not None and get(domain, "ioThreads", threads) is not None:
        paths.append(f"domain.ioThreads.{threads}")
    paths += [
        f"domain.{name}"
        for name in ("ioThreadsPolicy", "launchSecurity")
        if _both(domain, instancetype, name)
    ]
    devices = mapping(domain.get("devices"))
    paths += [
        f"domain.devices.{name}"
        for name in ("gpus", "hostDevices")
        if instancetype.get(name) and devices.get(name)
    ]
    full = [f"spec.template.spec.{path}" for path in paths]
    given = mapping(get(template, "metadata", "annotations"))
    full += [
        f"annotations.{key}"
        for key, value in mapping(instancetype.get("annotations")).items()
        if key in given and given[key] != value
    ]
    for path in full:
        yield Cause(INVALID, f"VM field(s) {path} conflicts with selected instance type", path)


def _both(vm: Mapping[str, Any], instancetype: Mapping[str, Any], name: str) -> bool:
    return instancetype.get(name) not in (None, "") and vm.get(name) not in (None, "")


def _set(value: Any) -> bool:
    """Whether a CPU field counts as set: false and '' don't, an empty `numa` does."""
    return value is not None and value is not False and value != ""


def _memory_conflict(
    domain: Mapping[str, Any], asked: Mapping[str, Any], version: columns.Column
) -> list[str]:
    """The first field of memory that both set; in v1.6 any `memory` at all was one."""
    memory = domain.get("memory")
    if not version.since("v1.7"):
        found = [("memory", memory is not None)]
    else:
        memory = mapping(memory)
        found = [("memory.guest", memory.get("guest") is not None)]
        found += [
            (f"memory.{name}", memory.get(name) is not None and asked.get(name) is not None)
            for name in ("hugepages", "maxGuest")
        ]
    found += [
        (f"resources.{kind}.memory", get(domain, "resources", kind, "memory") is not None)
        for kind in ("requests", "limits")
    ]
    return [f"domain.{path}" for path, set_ in found if set_][:1]


def _pod_settings(
    template: dict[str, Any], vmi_spec: dict[str, Any], instancetype: Mapping[str, Any]
) -> None:
    for name in ("nodeSelector", "schedulerName"):
        if instancetype.get(name):
            vmi_spec[name] = copy.deepcopy(instancetype[name])
    if added := mapping(instancetype.get("annotations")):
        metadata = dict(mapping(template.get("metadata")))
        metadata["annotations"] = {**added, **mapping(metadata.get("annotations"))}
        template["metadata"] = metadata


def _cpu(domain: dict[str, Any], asked: Mapping[str, Any], preference: Mapping[str, Any] | None) -> None:
    cpu = domain["cpu"] = dict(mapping(domain.get("cpu")))
    for name, field in (*_CPU, ("maxSockets", "maxSockets")):
        if asked.get(name) is not None:
            cpu[field] = copy.deepcopy(asked[name])
    cpu |= topology(int(asked.get("guest") or 0), preference)


def _memory(domain: dict[str, Any], asked: Mapping[str, Any]) -> None:
    memory = domain["memory"] = dict(mapping(domain.get("memory")))
    amount = Quantity.of(asked.get("guest", "0"))
    memory["guest"] = str(amount)
    for name in ("hugepages", "maxGuest"):
        if asked.get(name) is not None:
            memory[name] = copy.deepcopy(asked[name])
    if percent := int(asked.get("overcommitPercent") or 0):
        resources = domain["resources"] = dict(mapping(domain.get("resources")))
        requests = dict(mapping(resources.get("requests")))
        resources["requests"] = {**requests, "memory": str(overcommit_request(amount, percent))}


def _devices(domain: dict[str, Any], instancetype: Mapping[str, Any]) -> None:
    count = get(instancetype, "ioThreads", "supplementalPoolThreadCount")
    if count is not None:
        domain["ioThreads"] = {
            **mapping(domain.get("ioThreads")), "supplementalPoolThreadCount": count,
        }  # fmt: skip
    for name in ("ioThreadsPolicy", "launchSecurity"):
        if instancetype.get(name) is not None:
            domain[name] = copy.deepcopy(instancetype[name])
    for name in ("gpus", "hostDevices"):
        if instancetype.get(name):
            domain["devices"] = {
                **mapping(domain.get("devices")), name: copy.deepcopy(instancetype[name]),
            }  # fmt: skip
