"""Requests and limits of every container of a virt-launcher pod, as the API server serves them.

Source: KubeVirt pkg/virt-controller/services/{renderresources,template,serialconsolelog,virtiofs}.go,
pkg/container-disk/container-disk.go, pkg/virtiofs/resources.go, pkg/network/netbinding (main; columns differ
as rules.columns says); Kubernetes pkg/apis/core/v1/defaults.go (request := limit, rounding up to milli).
Unit: quantities as strings in canonical form; their format (M or Mi) follows resource.Quantity.Add.
Not here: claims of Dynamic Resource Allocation, SR-IOV resource names (they come from NetworkAttachmentDefinitions),
hotplug attachment pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness.rules import columns
from harness.rules.defaults import default_spec, implicit_memory, memory_overcommit, overcommitted
from harness.rules.device_plugins import plugin_devices, virtualization
from harness.rules.overhead import Overhead, overhead
from harness.rules.quantities import ZERO, Format, Quantity
from harness.rules.support import Resources, Supports, console_log, hook_count, sidecar, support
from harness.rules.vmi import (
    container_disks,
    dedicated_cpu,
    get,
    guest,
    hugepage_size,
    items,
    kernel_boot,
    mapping,
    memory_or_zero,
    spec,
    vcpus,
    wants_equal_sidecars,
)

_EPHEMERAL: Final = Quantity.parse("50M")
_ONE: Final = Quantity.parse("1")
DEFAULT_LIMIT_RATIO: Final = 2.0
"""`DefaultMemoryLimitOverheadRatio` (renderresources.go)."""
RATIO_LABEL: Final = "alpha.kubevirt.io/auto-memory-limits-ratio"
PARITY_ANNOTATION: Final = "alpha.kubevirt.io/EmulatorThreadCompleteToEvenParity"
KERNEL_BOOT_VOLUME: Final = "kernel-boot-volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """What of a namespace changes a virt-launcher pod."""

    labels: Mapping[str, str] = field(default_factory=dict)
    memory_quota: bool = False
    """A ResourceQuota with `limits.memory` exists there: memory limits are set automatically."""
    cpu_quota: bool = False
    """A ResourceQuota with `limits.cpu`."""
    limit_range: Mapping[str, Any] | None = None
    """`{default: {memory: …}, defaultRequest: {…}}` of a LimitRange's Container item (Kubernetes' LimitRanger)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodResources:
    """Containers in pod order: `{"name", "resources"}`, init containers also `restartPolicy` where it is set."""

    containers: tuple[dict[str, Any], ...]
    init_containers: tuple[dict[str, Any], ...]
    overhead: Overhead
    vmi_spec: Mapping[str, Any]
    """The VMI spec as the mutating webhook left it."""

    def pod_spec(self) -> dict[str, Any]:
        """`containers` and `initContainers` of the pod, as served; no empty `initContainers`."""
        out: dict[str, Any] = {"containers": [dict(container) for container in self.containers]}
        if self.init_containers:
            out["initContainers"] = [dict(container) for container in self.init_containers]
        return out


def render_resources(
    vmi: Mapping[str, Any],
    *,
    column: str,
    configuration: Mapping[str, Any] | None = None,
    namespace: Namespace | None = None,
    defaulted: bool = False,
) -> PodResources:
    """Render the resources of the virt-launcher pod of a VMI, of a VM's template or of a bare VMI spec.

    `configuration`: KubeVirt CR `spec.configuration`. `defaulted`: rules.defaults was there already (saves doing it again).
    Raises ColumnError, QuantityError, ManifestError.
    """
    configuration = configuration or {}
    namespace = namespace or Namespace()
    version = columns.column(column)
    vmi_spec = spec(vmi) if defaulted else default_spec(spec(vmi), column=column, configuration=configuration)
    extra = overhead(
        vmi_spec,
        column=column,
        ratio=configuration.get("additionalGuestMemoryOverheadRatio"),
        bindings=mapping(get(configuration, "network", "binding")),
    )
    annotations = _annotations(vmi)
    supports = Supports(configuration)
    equal = wants_equal_sidecars(vmi_spec)
    containers = [
        _container(
            "compute",
            _compute(
                vmi_spec, configuration, namespace, version, annotations=annotations, extra=extra.quantity
            ),
        )
    ]
    init: list[dict[str, Any]] = []
    if console_log(vmi_spec, configuration):
        log = support(supports, "guest-console-log", ("5m", "35M"), ("15m", "60M"), equal=equal)
        init.append(_container("guest-console-log", log, restart="Always"))
    disks = support(supports, "container-disk", ("1m", "1M"), ("10m", "40M"), equal=equal)
    disks[0]["ephemeral-storage"] = _EPHEMERAL
    names = list(container_disks(vmi_spec)) + ([KERNEL_BOOT_VOLUME] if kernel_boot(vmi_spec) else [])
    if columns.image_volume(version, configuration):
        if annotations.get("kubevirt.io/image-volume-skip-digest-resolution") != "true":
            init += [_container(f"volume{name}", disks) for name in names]
    elif names:
        containers += [_container(f"volume{name}", disks) for name in names]
        binary = support(
            supports, "container-disk", ("10m", "1M"), ("10m" if equal else "100m", "40M"), equal=equal
        )
        init.append(_container("container-disk-binary", binary))
        init += [_container(f"volume{name}-init", disks) for name in names]
    shared = {
        str(filesystem.get("name")) for filesystem in items(vmi_spec, "domain", "devices", "filesystems")
    }
    virtiofs = support(supports, "virtiofs", ("10m", "1M"), ("100m", "80M"), equal=equal)
    containers += [
        _container(f"virtiofs-{volume['name']}", virtiofs)
        for volume in items(vmi_spec, "volumes")
        if volume.get("name") in shared and volume.get("containerPath") is None
    ]
    hook = sidecar(supports, equal=equal)
    containers += [
        _container(f"hook-sidecar-{index}", hook)
        for index in range(hook_count(vmi_spec, annotations, configuration))
    ]
    return PodResources(
        containers=tuple(_served(container, namespace) for container in containers),
        init_containers=tuple(_served(container, namespace) for container in init),
        overhead=extra,
        vmi_spec=vmi_spec,
    )


def memory_limit_ratio(labels: Mapping[str, str]) -> float:
    """Automatic limit per request: the namespace's label if it is a number of at least 1.0, else 2.0."""
    try:
        ratio = float(labels[RATIO_LABEL])
    except (KeyError, ValueError):
        return DEFAULT_LIMIT_RATIO
    return ratio if ratio >= 1.0 else DEFAULT_LIMIT_RATIO


def _annotations(vmi: Mapping[str, Any]) -> Mapping[str, Any]:
    template = get(vmi, "spec", "template")
    owner = vmi if template is None else mapping(template, "spec.template")
    return mapping(get(owner, "metadata", "annotations"), "metadata.annotations")


def _compute(
    vmi_spec: Mapping[str, Any],
    configuration: Mapping[str, Any],
    namespace: Namespace,
    version: columns.Column,
    *,
    annotations: Mapping[str, Any],
    extra: Quantity,
) -> Resources:
    """The compute container, in the order of `VMIResourcePredicates` (template.go)."""
    written = mapping(get(vmi_spec, "domain", "resources"))
    requests, limits = (
        {name: Quantity.of(value) for name, value in mapping(written.get(kind)).items()}
        for kind in ("requests", "limits")
    )
    calculated_requests: dict[str, Quantity] = {}
    calculated_limits: dict[str, Quantity] = {}
    requests["ephemeral-storage"] = requests.get("ephemeral-storage", ZERO) + _EPHEMERAL
    if "ephemeral-storage" in limits:
        limits["ephemeral-storage"] += _EPHEMERAL
    limits |= virtualization(vmi_spec, configuration)

    percent = memory_overcommit(configuration)
    if version.overcommits_every_request:
        if percent != 100:
            requests["memory"] = overcommitted(requests.get("memory", ZERO), percent)
    elif memory_or_zero(vmi_spec, "requests").is_zero() and not version.webhook_writes_request:
        _implicit_request(vmi_spec, requests, limits, percent=percent)
    if dedicated_cpu(vmi_spec):
        _pin(vmi_spec, requests, limits, annotations)
    else:
        _share_cpu(vmi_spec, configuration, namespace, calculated_requests, calculated_limits)
    if hugepage_size(vmi_spec) is not None:
        _hugepages(
            vmi_spec, requests, limits, calculated=(calculated_requests, calculated_limits), extra=extra
        )
    else:
        request = requests.get("memory", ZERO)
        if not written.get("overcommitGuestOverhead"):
            request += extra
        requests["memory"] = request
        if "memory" in limits:
            limits["memory"] += extra
    if namespace.memory_quota and get(written, "limits", "memory") is None:
        request = requests["memory"]
        ratio = memory_limit_ratio(namespace.labels)
        calculated_limits["memory"] = Quantity.of_bytes(int(float(request.value()) * ratio), request.format)
    for name in plugin_devices(vmi_spec, version, configuration):
        for merged in (calculated_requests, calculated_limits):
            merged[name] = merged.get(name, ZERO) + _ONE
    return calculated_requests | requests, calculated_limits | limits


def _implicit_request(
    vmi_spec: Mapping[str, Any],
    requests: dict[str, Quantity],
    limits: dict[str, Quantity],
    *,
    percent: int,
) -> None:
    """`WithMemoryRequests`: a limit becomes the request as it is; else guest (or hugepage) x 100 / percent."""
    limit = limits.get("memory")
    if limit is not None and not limit.is_zero() and requests.get("memory", ZERO).is_zero():
        requests["memory"] = limit
    if "memory" in requests:
        return
    memory = implicit_memory(vmi_spec)
    if memory is not None and memory.value() > 0:
        requests["memory"] = overcommitted(memory, percent)


def _io_threads(vmi_spec: Mapping[str, Any]) -> int:
    return int(get(vmi_spec, "domain", "ioThreads", "supplementalPoolThreadCount") or 0)


def _share_cpu(
    vmi_spec: Mapping[str, Any],
    configuration: Mapping[str, Any],
    namespace: Namespace,
    requests: dict[str, Quantity],
    limits: dict[str, Quantity],
) -> None:
    """`WithoutDedicatedCPU`: vCPUs and I/O threads over cpuAllocationRatio (10), printed with Go's %g."""
    cpu = get(vmi_spec, "domain", "cpu")
    total = (1 if cpu is None else vcpus(mapping(cpu))) + _io_threads(vmi_spec)
    configured = get(configuration, "developerConfiguration", "cpuAllocationRatio")
    ratio = 10 if configured is None else int(configured)
    if not total or ratio <= 0:
        return
    share = total / ratio
    requests["cpu"] = Quantity.parse(f"{share * 1000!r}m" if share < 1 else repr(share))
    if _auto_cpu_limits(vmi_spec, configuration, namespace):
        limits["cpu"] = Quantity.parse(str(total))


def _auto_cpu_limits(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], namespace: Namespace
) -> bool:
    if get(vmi_spec, "domain", "resources", "limits", "cpu") is not None:
        return False
    if namespace.cpu_quota:
        return True
    selector = configuration.get("autoCPULimitNamespaceLabelSelector")
    return selector is not None and selects(mapping(selector), namespace.labels)


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(str(expression.get("key")))
    values = list(expression.get("values") or ())
    match expression.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches labels; an empty one matches everything (apimachinery LabelSelectorAsSelector)."""
    if any(labels.get(key) != value for key, value in mapping(selector.get("matchLabels")).items()):
        return False
    return all(_expression(expression, labels) for expression in items(selector, "matchExpressions"))


def _pin(
    vmi_spec: Mapping[str, Any],
    requests: dict[str, Quantity],
    limits: dict[str, Quantity],
    annotations: Mapping[str, Any],
) -> None:
    """`WithCPUPinning`: whole CPUs, request = limit; the memory limit becomes the memory request."""
    cpu = mapping(get(vmi_spec, "domain", "cpu"))
    threads = _io_threads(vmi_spec)
    if count := vcpus(cpu):
        total = Quantity.of_bytes(count + threads, Format.BINARY_SI)
        limits["cpu"] = requests["cpu"] = total
    else:
        for chosen in (limits, requests):
            if "cpu" in chosen:
                chosen["cpu"] += Quantity.of_bytes(threads, Format.BINARY_SI)
    if cpu.get("isolateEmulatorThread"):
        additional = threads if get(vmi_spec, "domain", "ioThreadsPolicy") == "supplementalPool" else 0
        current = limits.get("cpu", ZERO)
        even = PARITY_ANNOTATION in annotations and (current.value() + additional) % 2 == 0
        emulator = Quantity.of_bytes(2 if even else 1, Format.BINARY_SI)
        limits["cpu"] = current + emulator
        if "cpu" in requests:
            requests["cpu"] += emulator
    if "memory" in requests:
        limits["memory"] = requests["memory"]


def _hugepages(
    vmi_spec: Mapping[str, Any],
    requests: dict[str, Quantity],
    limits: dict[str, Quantity],
    *,
    calculated: tuple[dict[str, Quantity], dict[str, Quantity]],
    extra: Quantity,
) -> None:
    """`WithHugePages`: pages for the guest, plain memory for the overhead (always, whatever overcommitGuestOverhead says)."""
    request, limit = requests.get("memory", ZERO), limits.get("memory", ZERO)
    amount = guest(vmi_spec)
    pages = amount if amount is not None and request.value() > amount.value() else request
    for chosen in calculated:
        chosen[f"hugepages-{hugepage_size(vmi_spec)}"] = pages
    rest, limit_rest = ZERO, ZERO
    if amount is not None:
        if request.value() > amount.value():
            rest = (rest + request) - amount
        if limit.value() > amount.value():
            limit_rest = (limit_rest + limit) - amount
    requests["memory"] = rest + extra
    if "memory" in limits:
        limits["memory"] = limit_rest + extra


def _container(name: str, resources: Resources, *, restart: str | None = None) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "resources": resources}
    if restart is not None:
        container["restartPolicy"] = restart
    return container


def _served(container: dict[str, Any], namespace: Namespace) -> dict[str, Any]:
    """Defaulting of the pod by the API server: request := limit, then rounding up to milli; LimitRanger in between."""
    requests, limits = (dict(side) for side in container["resources"])
    requests = limits | requests
    if namespace.limit_range is not None:
        for name, value in mapping(namespace.limit_range.get("default")).items():
            limits.setdefault(name, Quantity.of(value))
        for name, value in mapping(namespace.limit_range.get("defaultRequest")).items():
            requests.setdefault(name, Quantity.of(value))
    out: dict[str, Any] = {}
    for kind, side in (("limits", limits), ("requests", requests)):
        if side:
            out[kind] = {name: str(side[name].round_up_milli()) for name in sorted(side)}
    return {**container, "resources": out}
