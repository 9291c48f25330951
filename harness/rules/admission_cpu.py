"""What KubeVirt's create validator refuses of a VMI's CPUs, with its words, spelling included.

Source: KubeVirt pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go (main).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import INVALID, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.quantities import ZERO
from harness.rules.vmi import (
    dedicated_cpu,
    get,
    guest,
    hugepage_size,
    items,
    mapping,
    memory_or_zero,
    resource,
    vcpus,
)

_POLICIES: Final = ("", "force", "require", "optional", "disable", "forbid")


def cpu_causes(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    """List what is refused, in the validator's order: requests and limits, pinning, NUMA, features, hotplug."""
    yield from _cpu(vmi_spec, field)
    if dedicated_cpu(vmi_spec):
        yield from _pinning(vmi_spec, version, field)
    yield from _numa(vmi_spec, field)
    if get(vmi_spec, "domain", "cpu", "isolateEmulatorThread") and not dedicated_cpu(vmi_spec):
        yield Cause(
            INVALID,
            "IsolateEmulatorThread should be only set in combination with DedicatedCPUPlacement",
            f"{field}.domain.cpu.isolateEmulatorThread",
        )
    for index, feature in enumerate(items(vmi_spec, "domain", "cpu", "features")):
        policy = feature.get("policy") or ""
        if policy not in _POLICIES:
            yield Cause(
                NOT_SUPPORTED,
                f"CPU feature {feature.get('name')} uses policy {policy} that is not supported.",
                f"{field}.domain.cpu.features[{index}].policy",
            )
    cpu = mapping(get(vmi_spec, "domain", "cpu"))
    if cpu.get("maxSockets") and int(cpu.get("sockets") or 0) > int(cpu["maxSockets"]):
        yield Cause(
            INVALID,
            "Number of sockets in CPU topology is greater than the maximum sockets allowed",
            f"{field}.domain.cpu.sockets",
        )


def realtime_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """Realtime wants pinned CPUs and the host's NUMA topology."""
    cpu = mapping(get(vmi_spec, "domain", "cpu"))
    if cpu.get("realtime") is None:
        return
    realtime = f"{field}.domain.cpu.realtime"
    if not cpu.get("dedicatedCpuPlacement"):
        path = f"{field}.domain.cpu.dedicatedCpuPlacement"
        yield Cause(REQUIRED, f"{path} must be set to true when {realtime} is used", path)
    if get(cpu, "numa", "guestMappingPassthrough") is None:
        path = f"{field}.domain.cpu.numa.guestMappingPassthrough"
        yield Cause(REQUIRED, f"{path} must be defined when {realtime} is used", path)


def _numa(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    if get(vmi_spec, "domain", "cpu", "numa", "guestMappingPassthrough") is None:
        return
    path = f"{field}.domain.cpu.numa.guestMappingPassthrough"
    if not dedicated_cpu(vmi_spec):
        text = f"{field}.domain.cpu.dedicatedCpuPlacement must be set to true when NUMA topology strategy is set in {path}"
        yield Cause(INVALID, text, path)
    if hugepage_size(vmi_spec) is None:
        text = (
            f"{field}.domain.memory.hugepages must be requested when NUMA topology strategy is set in {path}"
        )
        yield Cause(INVALID, text, path)


def _at(field: str, kind: str, name: str) -> str:
    return f"{field}.domain.resources.{kind}.{name}"


def _cpu(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    request, limit = (resource(vmi_spec, kind, "cpu") or ZERO for kind in ("requests", "limits"))
    path, limit_path = _at(field, "requests", "cpu"), _at(field, "limits", "cpu")
    for amount, where in ((request, path), (limit, limit_path)):
        if amount.milli_value() < 0:
            yield Cause(INVALID, f"{where} '{amount}': must be greater than or equal to 0.", where)
    if limit.milli_value() > 0 and request.milli_value() > limit.milli_value():
        yield Cause(INVALID, f"{path} '{request}' is greater than {limit_path} '{limit}'", path)


def _pinning(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    """`validateCpuPinning`, spelling included."""
    cpu = mapping(get(vmi_spec, "domain", "cpu"))
    count = vcpus(cpu)
    request, limit = (resource(vmi_spec, kind, "cpu") or ZERO for kind in ("requests", "limits"))
    memory, memory_limit = memory_or_zero(vmi_spec, "requests"), memory_or_zero(vmi_spec, "limits")
    path, limit_path = _at(field, "requests", "cpu"), _at(field, "limits", "cpu")
    where, cores = f"{field}.domain.cpu.dedicatedCpuPlacement", f"{field}.domain.cpu.cores"
    amount = guest(vmi_spec)
    asked = [_at(field, "requests", "memory"), _at(field, "limits", "memory")]
    given = hugepage_size(vmi_spec) is not None or not (amount is None or amount.is_zero())
    if version.webhook_writes_request:
        given = False
    else:
        asked += [f"{field}.domain.memory.hugepages", f"{field}.domain.memory.guest"]
    if memory.is_zero() and memory_limit.is_zero() and not given:
        text = f"{', '.join(asked[:-1])} or {asked[-1]} should be provided"
        yield Cause(INVALID, text, _at(field, "limits", "memory"))
    for kind, quantity, name in (("requests", request, path), ("limits", limit, limit_path)):
        if quantity.value() > 0 and quantity.value() * 1000 != quantity.milli_value():
            yield Cause(INVALID, f"provided resources CPU {kind} must be an interger", name)
    if memory.value() > 0 and memory_limit.value() > 0 and memory.value() != memory_limit.value():
        memory_path = _at(field, "requests", "memory")
        yield Cause(INVALID, f"{memory_path} must be equal to {_at(field, 'limits', 'memory')}", memory_path)
    if request.value() == 0 and limit.value() == 0 and count == 0:
        text = (
            f"either {path} or {limit_path} or {cores} must be provided when DedicatedCPUPlacement is true "
        )
        yield Cause(INVALID, text, where)
    if request.value() > 0 and limit.value() > 0 and request.value() != limit.value():
        text = f"{path} or {limit_path} must be equal when DedicatedCPUPlacement is true "
        yield Cause(INVALID, text, where)
    if (
        (request.value() > 0 or limit.value() > 0)
        and count > 0
        and request.value() != count
        and limit.value() != count
    ):
        yield Cause(
            INVALID,
            f"{path} or {limit_path} must not be provided at the same time with {cores} when DedicatedCPUPlacement is true ",
            where,
        )
    threads = int(cpu.get("threads") or 0)
    if threads > 1 and vmi_spec.get("architecture") == "arm64":
        architecture = f"{field}.architecture"
        text = f"threads must not be greater than 1 at {field}.domain.cpu.threads (got {threads}) when {architecture} is arm64"
        yield Cause(INVALID, text, architecture)
    if threads > 2:
        yield Cause(
            INVALID,
            f"Not more than two threads must be provided at {field}.domain.cpu.threads (got {threads}) "
            "when DedicatedCPUPlacement is true",
            where,
        )
