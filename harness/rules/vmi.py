"""Reading a VMI manifest as KubeVirt's predicates do: presence, booleans that may be null, CPU topology.

Source: KubeVirt staging/src/kubevirt.io/api/core/v1/types.go, pkg/vmitrait, pkg/tpm, pkg/util, pkg/util/hardware (main).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules.errors import ManifestError
from harness.rules.quantities import ZERO, Quantity

_EMPTY: Final[Mapping[str, Any]] = {}
DEFAULT_GRACE_SECONDS: Final = 30
"""`DefaultGracePeriodSeconds` (types.go): what a VMI without terminationGracePeriodSeconds gets."""


def mapping(value: Any, path: str = "") -> Mapping[str, Any]:
    """Return a mapping, {} for null. Raises ManifestError for anything else."""
    if type(value) is dict:  # the usual case; isinstance against an abstract class is ten times slower
        return value
    if value is None:
        return _EMPTY
    if isinstance(value, Mapping):
        return value
    raise ManifestError(f"{path or 'value'}: expected a mapping, found {type(value).__name__}")


def get(obj: Mapping[str, Any], *path: str) -> Any:
    """Return the value at a path, None where a step is missing or null. Raises ManifestError at a non-mapping."""
    value: Any = obj
    for step in path:
        if type(value) is dict:
            value = value.get(step)
        elif value is None:
            return None
        else:
            return _get_carefully(obj, path)
    return value


def _get_carefully(obj: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = obj
    for index, step in enumerate(path):
        value = mapping(value, ".".join(path[:index])).get(step)
    return value


def items(obj: Mapping[str, Any], *path: str) -> Iterator[Mapping[str, Any]]:
    """Iterate over a list of mappings at a path."""
    value = get(obj, *path)
    if value is None:
        return
    if not isinstance(value, list | tuple):
        raise ManifestError(f"{'.'.join(path)}: expected a list, found {type(value).__name__}")
    for index, item in enumerate(value):
        yield item if type(item) is dict else mapping(item, f"{'.'.join(path)}[{index}]")


def spec(vmi: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the VMI spec of a VMI, of a VM (its template) or of a bare spec."""
    if "spec" not in vmi:
        return vmi
    inner = mapping(vmi["spec"], "spec")
    template = inner.get("template")
    return mapping(get(inner, "template", "spec"), "spec.template.spec") if template is not None else inner


def resource(vmi_spec: Mapping[str, Any], kind: str, name: str) -> Quantity | None:
    """`spec.domain.resources.<kind>.<name>`, None if absent. `kind`: requests or limits. Raises QuantityError."""
    value = get(vmi_spec, "domain", "resources", kind, name)
    return None if value is None else Quantity.of(value)


def memory_or_zero(vmi_spec: Mapping[str, Any], kind: str) -> Quantity:
    """`Resources.Requests.Memory()` and its like: zero if absent."""
    return resource(vmi_spec, kind, "memory") or ZERO


def guest(vmi_spec: Mapping[str, Any]) -> Quantity | None:
    """`spec.domain.memory.guest`."""
    value = get(vmi_spec, "domain", "memory", "guest")
    return None if value is None else Quantity.of(value)


def hugepage_size(vmi_spec: Mapping[str, Any]) -> str | None:
    """`spec.domain.memory.hugepages.pageSize`; '' if hugepages are asked for without a size, None if not at all."""
    if get(vmi_spec, "domain", "memory", "hugepages") is None:
        return None
    return str(get(vmi_spec, "domain", "memory", "hugepages", "pageSize") or "")


def vcpus(cpu: Mapping[str, Any]) -> int:
    """Sockets x cores x threads, absent ones not counting (hw_utils.go GetNumberOfVCPUs)."""
    product = 0
    for part in ("cores", "sockets", "threads"):
        if count := int(cpu.get(part) or 0):
            product = product * count if product else count
    return product


def dedicated_cpu(vmi_spec: Mapping[str, Any]) -> bool:
    """`IsCPUDedicated`."""
    return bool(get(vmi_spec, "domain", "cpu", "dedicatedCpuPlacement"))


def wants_guaranteed(vmi_spec: Mapping[str, Any]) -> bool:
    """`WantsToHaveQOSGuaranteed` (types.go): cpu and memory requests equal limits on the VMI.

    A memory limit without a request counts as equal (the pod's request becomes the limit); the cpu request is written by the webhook.
    """
    request, limit = memory_or_zero(vmi_spec, "requests"), memory_or_zero(vmi_spec, "limits")
    cpu, cpu_limit = (resource(vmi_spec, kind, "cpu") or ZERO for kind in ("requests", "limits"))
    memory = not limit.is_zero() if request.is_zero() else request.cmp(limit) == 0
    return memory and not cpu.is_zero() and cpu.cmp(cpu_limit) == 0


def wants_equal_sidecars(vmi_spec: Mapping[str, Any]) -> bool:
    """Whether the other containers' requests are raised to their limits."""
    return dedicated_cpu(vmi_spec) or wants_guaranteed(vmi_spec)


def attached_by_default(vmi_spec: Mapping[str, Any], device: str) -> bool:
    """A device that is there unless switched off (`autoattachGraphicsDevice` and its like: null or true)."""
    return get(vmi_spec, "domain", "devices", device) is not False


def has_vfio(vmi_spec: Mapping[str, Any]) -> bool:
    """Host devices, GPUs or SR-IOV (vmitrait.HasVFIO)."""
    devices = get(vmi_spec, "domain", "devices") or _EMPTY
    return (
        bool(devices.get("hostDevices"))
        or bool(devices.get("gpus"))
        or any(
            interface.get("sriov") is not None
            for interface in items(vmi_spec, "domain", "devices", "interfaces")
        )
    )


def has_tpm(vmi_spec: Mapping[str, Any]) -> bool:
    """A vTPM that is not switched off (tpm.HasDevice)."""
    tpm = get(vmi_spec, "domain", "devices", "tpm")
    return tpm is not None and mapping(tpm, "spec.domain.devices.tpm").get("enabled") is not False


def kernel_boot(vmi_spec: Mapping[str, Any]) -> bool:
    """A kernelBoot container (util.HasKernelBootContainerImage)."""
    return get(vmi_spec, "domain", "firmware", "kernelBoot", "container") is not None


def container_disks(vmi_spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the containerDisk volumes, in order."""
    return tuple(
        str(volume.get("name", ""))
        for volume in items(vmi_spec, "volumes")
        if volume.get("containerDisk") is not None
    )


def grace_seconds(vmi_spec: Mapping[str, Any]) -> int:
    """The VMI's own termination grace period in seconds (default 30)."""
    value = vmi_spec.get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_SECONDS if value is None else int(value)
